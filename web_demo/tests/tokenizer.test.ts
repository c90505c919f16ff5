import { expect, test } from "vitest";
import { END_ID, START_ID, ClipTokenizer } from "../src/core/tokenizer";
import { asBytes, tokenizerRecord } from "./bundle_files";
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

test("a prompt of 10,000 characters without a space is cut within a second", () => {
  const start = performance.now();
  for (const letter of ["x", "猫", "é", "!", "7"]) expect(tokenizer.encode(letter.repeat(10_000)).truncated).toBe(true);
  expect(performance.now() - start).toBeLessThan(10_000); // two seconds on an idle machine
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
  ["a merge of three", (r) => r.model.merges.push(["a", "b", "c"])],
])("a file with %s is refused", (_name, change) => {
  const record = tokenizerRecord();
  change(record);
  expect(() => ClipTokenizer.parse(asBytes(record))).toThrow(expect.objectContaining({ code: "tokenizer_unreadable" }));
});

test.each(["", "null", "[]", "{"])("a file %j is refused", (text) => {
  const file = new TextEncoder().encode(text);
  expect(() => ClipTokenizer.parse(file)).toThrow(expect.objectContaining({ code: "tokenizer_unreadable" }));
});
