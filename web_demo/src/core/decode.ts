/** Small decoders from parsed JSON to typed values; each names the field where a value is of another type or range. */

import type { Json } from "./json";

/** at: the field's path, for messages. Raises TypeError. */
export type Decoder<T> = (json: Json, at: string) => T;

interface Field<T> {
  readonly decode: Decoder<T>;
  /** What a missing field counts as; undefined: it must be there. */
  readonly missing?: { readonly value: T };
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type Struct<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export const required = <T>(decode: Decoder<T>): Field<T> => ({ decode });
export const optional = <T>(decode: Decoder<T>, value: T): Field<T> => ({ decode, missing: { value } });

function refuse(at: string, wanted: string): never {
  throw new TypeError(`${wanted} is expected at ${at}`);
}

/** Of a whole number, its sign among them: as many as Python reads. */
const MOST_DIGITS = 4300;

/** A whole number between two bounds, exact. */
export const int =
  (least: number, most = Infinity): Decoder<bigint> =>
  (json, at) => {
    const value = json.kind === "int" && json.digits.length <= MOST_DIGITS ? BigInt(json.digits) : null;
    return value !== null && value >= least && value <= most ? value : refuse(at, "a whole number in range");
  };

/** A finite number; `above`: an excluded lower bound. */
export const float =
  ({ least = -Infinity, most = Infinity, above = -Infinity } = {}): Decoder<number> =>
  (json, at) => {
    const number = json.kind === "int" ? Number(json.digits) : json.kind === "float" ? json.value : NaN;
    return Number.isFinite(number) && number >= least && number <= most && number > above ? number : refuse(at, "a number in range");
  };

/** Text; lengths count Unicode characters. */
export const str =
  ({ least = 0, most = Infinity, pattern = /^/ } = {}): Decoder<string> =>
  (json, at) => {
    if (json.kind !== "str" || !pattern.test(json.value)) return refuse(at, "other text");
    const length = [...json.value].length;
    return length >= least && length <= most ? json.value : refuse(at, "text of another length");
  };

export const bool: Decoder<boolean> = (json, at) => (json.kind === "bool" ? json.value : refuse(at, "true or false"));

/** One of some words. */
export const oneOf =
  <T extends string>(words: readonly T[]): Decoder<T> =>
  (json, at) =>
    json.kind === "str" && words.includes(json.value as T) ? (json.value as T) : refuse(at, `one of ${words.join(", ")}`);

export const nullable =
  <T>(decode: Decoder<T>): Decoder<T | null> =>
  (json, at) =>
    json.kind === "null" ? null : decode(json, at);

export const list =
  <T>(decode: Decoder<T>, least = 0): Decoder<readonly T[]> =>
  (json, at) => {
    if (json.kind !== "array" || json.items.length < least) return refuse(at, "a list");
    return json.items.map((item, i) => decode(item, `${at}[${i}]`));
  };

/** An object of any keys. */
export const record =
  <T>(decode: Decoder<T>): Decoder<ReadonlyMap<string, T>> =>
  (json, at) => {
    if (json.kind !== "object") return refuse(at, "an object");
    return new Map(json.pairs.map(([key, value]) => [key, decode(value, `${at}.${key}`)]));
  };

/** An object of these fields; of a field that is there twice both are decoded and the last counts. */
export const struct =
  <F extends Fields>(fields: F, unknownFields: "forbidden" | "ignored" = "forbidden"): Decoder<Struct<F>> =>
  (json, at) => {
    if (json.kind !== "object") return refuse(at, "an object");
    const values = new Map<string, unknown>();
    for (const [key, value] of json.pairs) {
      const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
      if (field) values.set(key, field.decode(value, `${at}.${key}`));
      else if (unknownFields === "forbidden") refuse(at, `no field ${JSON.stringify(key)}`);
    }
    for (const [key, field] of Object.entries(fields)) {
      if (values.has(key)) continue;
      if (!field.missing) refuse(at, `the field ${key}`);
      values.set(key, field.missing.value);
    }
    return Object.fromEntries(values) as Struct<F>;
  };

/** The same with its whole numbers as numbers. */
export type Counted<T> = T extends bigint
  ? number
  : T extends ReadonlyMap<infer K, infer V>
    ? ReadonlyMap<K, Counted<V>>
    : T extends object
      ? { readonly [K in keyof T]: Counted<T[K]> }
      : T;

/** Whole numbers beyond 2^53 become the nearest that there is. */
export function counted<T>(value: T): Counted<T> {
  const copy = (of: unknown): unknown => {
    if (typeof of === "bigint") return Number(of);
    if (Array.isArray(of)) return of.map(copy);
    if (of instanceof Map) return new Map([...of].map(([key, each]) => [key, copy(each)]));
    return of !== null && typeof of === "object" ? Object.fromEntries(Object.entries(of).map(([key, each]) => [key, copy(each)])) : of;
  };
  return copy(value) as Counted<T>;
}
