import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { DAMAGED, MEMORY, NUMBERS, REQUEST } from "../src/core/errors";

const python = readFileSync(new URL("../../runtime/lira_runtime/codes.py", import.meta.url), "utf8");

/** Keys of a table of codes, in its order. */
function table(name: string): string[] {
  const body = new RegExp(`^${name}: Mapping.*?= \\{\\n(.*?)^\\}`, "ms").exec(python)![1]!;
  return [...body.matchAll(/^ {4}"(\w+)":/gm)].map((found) => found[1]!);
}

test("codes of bundles are those of every other runtime", () => {
  expect(table("DAMAGED")).toEqual([...DAMAGED]);
  expect(table("NUMBERS")).toEqual([...NUMBERS]);
  expect(table("MEMORY")).toEqual([...MEMORY]);
  expect(table("REQUEST")).toEqual(expect.arrayContaining([...REQUEST]));
});
