/** CLIP's byte-pair tokenizer, from a bundle's tokenizer.json: NFC, white space collapsed, lower case, split, pairs. */

import { normalised } from "./aligned";
import { BYTE_SYMBOLS, BytePairs } from "./bpe";
import { LiraError, badInput } from "./errors";
import { PROMPT_TOKENS } from "./interface";

export const START_ID = 49406;
export const END_ID = 49407;
const [START_TEXT, END_TEXT] = ["<|startoftext|>", "<|endoftext|>"];
const SPECIAL = /<\|startoftext\|>|<\|endoftext\|>/g;
const ROOM = PROMPT_TOKENS - 2;
/** CLIP's own split, and then that of the byte level, which takes the special names apart where they were not meant. */
const WORDS = /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
const PARTS = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}+|[^\p{White_Space}\p{L}\p{N}]+/gu;
/** What the file says of these steps where it is CLIP's. */
const NORMALIZER =
  '{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"\\\\s+"},"content":" "},{"type":"Lowercase"}]}';
const SPLIT = String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;

/** ids int32 (1, 77): start ... end, padded with the end token. dropped: the tail of the prompt that did not fit. */
export interface Tokens {
  readonly ids: Int32Array;
  readonly truncated: boolean;
  readonly dropped: string;
}

interface Token {
  readonly id: number;
  /** Where it began in the prompt, in UTF-16 units. */
  readonly start: number;
}

/** As much of a tokenizer's file as is looked at. */
interface TokenizerFile {
  normalizer?: unknown;
  pre_tokenizer?: { type?: unknown; pretokenizers?: { type?: unknown; pattern?: { Regex?: unknown } }[] };
  model?: {
    type?: unknown;
    dropout?: unknown;
    continuing_subword_prefix?: unknown;
    end_of_word_suffix?: unknown;
    vocab?: Record<string, number>;
    merges?: unknown[];
  };
}

export class ClipTokenizer {
  private constructor(private readonly pairs: BytePairs) {}

  /** Read a tokenizer.json; raises tokenizer_unreadable where it is not CLIP's. */
  static parse(file: Uint8Array): ClipTokenizer {
    try {
      return new ClipTokenizer(readPairs(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(file)) as TokenizerFile));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new LiraError(`the tokenizer's file is not CLIP's tokenizer: ${why}.`, "tokenizer_unreadable");
    }
  }

  /** The prompt's tokens, the empty prompt's too; raises bad_input where it is not valid Unicode. */
  encode(prompt: string): Tokens {
    if (/\p{Surrogate}/u.test(prompt)) throw badInput("the prompt is not valid Unicode text.");
    const found: Token[] = [];
    for (const token of this.tokens(prompt)) if (found.push(token) > ROOM) break; // the rest is dropped anyway
    const ids = new Int32Array(PROMPT_TOKENS).fill(END_ID);
    ids.set([START_ID, ...found.slice(0, ROOM).map((token) => token.id)]);
    const first = found[ROOM];
    return { ids, truncated: first !== undefined, dropped: first ? prompt.slice(first.start) : "" };
  }

  /** Special names stand for their tokens wherever they are, exactly as they are. */
  private *tokens(prompt: string): Generator<Token> {
    let at = 0;
    for (const special of prompt.matchAll(SPECIAL)) {
      yield* this.textTokens(prompt.slice(at, special.index), at);
      yield { id: special[0] === START_TEXT ? START_ID : END_ID, start: special.index };
      at = special.index + special[0].length;
    }
    yield* this.textTokens(prompt.slice(at), at);
  }

  private *textTokens(text: string, offset: number): Generator<Token> {
    const { chars, starts } = normalised(text, offset);
    let at = 0; // of `chars`, and `unit` of the same text in UTF-16
    let unit = 0;
    for (const word of chars.join("").matchAll(WORDS)) {
      for (const part of word[0].matchAll(PARTS)) {
        for (const begin = word.index + part.index; unit < begin; at += 1) unit += chars[at]!.length;
        const utf8 = new TextEncoder().encode(part[0]);
        for (const piece of this.pairs.encode(utf8)) yield { id: piece.id, start: starts[at + leadsBefore(utf8, piece.byte)]! };
      }
    }
  }
}

/** How many characters of a UTF-8 text begin before or at a byte, less one: the number of the character it is in. */
function leadsBefore(utf8: Uint8Array, byte: number): number {
  let leads = -1;
  for (let i = 0; i <= byte; i += 1) if ((utf8[i]! & 0xc0) !== 0x80) leads += 1;
  return leads;
}

function readPairs(file: TokenizerFile): BytePairs {
  const model = file.model;
  if (model?.type !== "BPE" || model.dropout != null || model.continuing_subword_prefix != null) throw new Error("its model is another");
  if (model.end_of_word_suffix !== "</w>" || JSON.stringify(file.normalizer) !== NORMALIZER) throw new Error("it reads text otherwise");
  const [split, bytes] = file.pre_tokenizer?.pretokenizers ?? [];
  if (split?.pattern?.Regex !== SPLIT || bytes?.type !== "ByteLevel") throw new Error("it splits text otherwise");
  const vocabulary = new Map(Object.entries(model.vocab ?? {}));
  if (vocabulary.get(START_TEXT!) !== START_ID || vocabulary.get(END_TEXT!) !== END_ID) {
    throw new Error("its start and end tokens are elsewhere");
  }
  const merges = (model.merges ?? []).map(readMerge);
  const symbols = [...BYTE_SYMBOLS, ...BYTE_SYMBOLS.map((symbol) => `${symbol}</w>`), ...merges.map((merge) => merge.join(""))];
  const isId = (id: number | undefined): boolean => Number.isInteger(id) && id! >= 0 && id! <= END_ID;
  if (!symbols.every((symbol) => isId(vocabulary.get(symbol)))) throw new Error("its vocabulary lacks a symbol");
  return new BytePairs(vocabulary, merges);
}

/** A pair, or the same as one text with a space between, as older files have it. */
function readMerge(merge: unknown): readonly [string, string] {
  const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
  if (Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === "string")) return pair as [string, string];
  throw new Error("a merge is no pair");
}
