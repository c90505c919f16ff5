import { expect, test } from "vitest";
import { END_ID, START_ID, ClipTokenizer } from "../src/core/tokenizer";
import { asBytes, tokenizerRecord } from "./bundle_files";
import { cpuSeconds } from "./cpu";
import { readVectors } from "./vectors";

interface Prompts {
  prompts: { prompt: string; ids: number[]; dropped: string }[];
}
const { prompts } = readVectors<Prompts>("tokens.json");
const tokenizer = ClipTokenizer.parse(asBytes(tokenizerRecord()));

test("there are hundreds of prompts, some too long", () => {
  expect(prompts.length).toBeGreaterThanOrEqual(500);
  expect(prompts.filter((each) => each.dropped).length).toBeGreaterThan(10);
});

test.each(prompts)("tokens of %j", ({ prompt, ids, dropped }) => {
  const found = tokenizer.encode(prompt);
  const wanted = [START_ID, ...ids, END_ID];
  expect([...found.ids]).toEqual([...wanted, ...Array<number>(77 - wanted.length).fill(END_ID)]);
  expect(found.dropped).toBe(dropped);
  expect(found.truncated).toBe(dropped !== "");
});

test("where one letter becomes two, what is dropped begins at that letter", () => {
  // A dotted I is two tokens, and 75 fit: the 76th is the second of the 38th.
  expect(tokenizer.encode("\u0130".repeat(50)).dropped).toBe("\u0130".repeat(13));
});

/** The 76th token is the mark's, or its second. As Python's tokenizer says. */
test.each([
  ["x\u0301", "\u0301", 25],
  ["a\u0301\u0316", "\u0316", 25],
  ["a\u0316\u0301", "\u0301", 25],
  ["\u1100\u1161\u0301", "\u0301", 31],
])("of %j, which stays more than one character, what is dropped begins at its last", (unit, mark, rest) => {
  expect(tokenizer.encode(`a ${unit.repeat(50)}`).dropped).toBe(mark + unit.repeat(rest));
});

test("five prompts of 10,000 characters without a space are cut in two seconds", { timeout: 120_000 }, () => {
  const cut = (letter: string): void => expect(tokenizer.encode(letter.repeat(10_000)).truncated).toBe(true);
  expect(cpuSeconds(() => ["x", "猫", "é", "!", "7"].forEach(cut))).toBeLessThan(10);
});

test.each(["\ud800", "a\udc00b"])("half a surrogate pair is refused", (prompt) => {
  expect(() => tokenizer.encode(prompt)).toThrow(expect.objectContaining({ code: "bad_input" }));
});

type Record_ = ReturnType<typeof tokenizerRecord>;
test.each<[string, (record: Record_) => unknown]>([
  ["dropout", (r) => (r.model.dropout = 0.1)],
  ["a prefix", (r) => (r.model.continuing_subword_prefix = "##")],
  ["another model", (r) => (r.model.type = "WordPiece")],
  ["another suffix", (r) => (r.model.end_of_word_suffix = "")],
  ["another normalizer", (r) => r.normalizer.normalizers.pop()],
  ["another split", (r) => (r.pre_tokenizer.pretokenizers[0]!.pattern = { Regex: "." })],
  ["no byte level", (r) => r.pre_tokenizer.pretokenizers.pop()],
  ["another end", (r) => (r.model.vocab["<|endoftext|>"] = 3)],
  ["a symbol missing", (r) => delete r.model.vocab["!"]],
  ["an id that is none", (r) => (r.model.vocab["!"] = -1)],
  ["an id beyond the last", (r) => (r.model.vocab["!"] = END_ID + 1)],
  ["a merge of three", (r) => r.model.merges.push(["a", "b", "c"])],
])("a file with %s is refused", (_name, change) => {
  const record = tokenizerRecord();
  change(record);
  expect(() => ClipTokenizer.parse(asBytes(record))).toThrow(expect.objectContaining({ code: "tokenizer_unreadable" }));
});

test("merges may be texts with a space between, as older files have them", () => {
  const { model, ...rest } = tokenizerRecord();
  const older = ClipTokenizer.parse(asBytes({ ...rest, model: { ...model, merges: model.merges.map((pair) => pair.join(" ")) } }));
  expect(older.encode("a red apple")).toEqual(tokenizer.encode("a red apple"));
});

test.each(["", "null", "[]", "{"])("a file %j is refused", (text) => {
  const file = new TextEncoder().encode(text);
  expect(() => ClipTokenizer.parse(file)).toThrow(expect.objectContaining({ code: "tokenizer_unreadable" }));
});
