/**
 * JSON as the manifest's reader takes it: every pair of an object in order, whole numbers apart from others, and no
 * text that is not Unicode. JSON.parse keeps the last of two equal keys alone and takes 5.0 for 5.
 */

export type Json =
  | { readonly kind: "null" }
  | { readonly kind: "bool"; readonly value: boolean }
  /** A whole number has neither point nor exponent. It stays as it is written: who asks for it may want all its digits. */
  | { readonly kind: "int"; readonly digits: string }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "str"; readonly value: string }
  | { readonly kind: "array"; readonly items: readonly Json[] }
  | { readonly kind: "object"; readonly pairs: readonly (readonly [string, Json])[] };

/** Of objects and arrays in one another; the same in every language. */
const MOST_DEPTH = 500;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Parse a whole text; raises SyntaxError. */
export function parseJson(text: string): Json {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(depth: number): Json {
    this.match(SPACE);
    const first = this.text[this.at];
    if (depth === MOST_DEPTH && (first === "{" || first === "[")) throw new SyntaxError("it is nested too deeply");
    if (first === "{") return { kind: "object", pairs: this.list("}", () => this.pair(depth)) };
    if (first === "[") return { kind: "array", items: this.list("]", () => this.value(depth + 1)) };
    if (first === '"') return { kind: "str", value: this.string() };
    for (const word of ["true", "false", "null"]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return word === "null" ? { kind: "null" } : { kind: "bool", value: word === "true" };
      }
    }
    return this.number();
  }

  end(): void {
    this.match(SPACE);
    if (this.at < this.text.length) this.fail();
  }

  private list<Item>(close: string, item: () => Item): Item[] {
    const items: Item[] = [];
    this.at += 1;
    this.match(SPACE);
    if (this.take(close)) return items;
    for (;;) {
      items.push(item());
      this.match(SPACE);
      if (this.take(close)) return items;
      if (!this.take(",")) this.fail();
    }
  }

  private pair(depth: number): [string, Json] {
    this.match(SPACE);
    const key = this.string();
    this.match(SPACE);
    if (!this.take(":")) this.fail();
    return [key, this.value(depth + 1)];
  }

  private string(): string {
    const found = this.match(STRING) ?? this.fail();
    const value = JSON.parse(found[0]) as string;
    if (LONE_SURROGATE.test(value)) throw new SyntaxError(`half a surrogate pair at character ${this.at}`);
    return value;
  }

  private number(): Json {
    const found = this.match(NUMBER) ?? this.fail();
    return found[1] || found[2] ? { kind: "float", value: Number(found[0]) } : { kind: "int", digits: found[0] };
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  private take(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }

  private fail(): never {
    throw new SyntaxError(`unexpected ${this.at < this.text.length ? "text" : "end"} at character ${this.at}`);
  }
}
