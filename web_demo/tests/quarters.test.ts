import { expect, test } from "vitest";
import { Quarters } from "../src/page/quarters";

const aloud = (steps: number, quarters = new Quarters()): number[] =>
  Array.from({ length: steps }, (_, i) => i + 1).filter((step) => quarters.isNew(step / steps));

test.each([
  [900, [1, 225, 450, 675]],
  [20, [1, 5, 10, 15]],
  [4, [1, 2, 3]],
])("of %d steps these are read aloud", (steps, wanted) => expect(aloud(steps)).toEqual(wanted));

test("the next drawing begins anew", () => {
  const quarters = new Quarters();
  aloud(3, quarters);
  expect(aloud(8, quarters)).toEqual([1, 2, 4, 6]);
});
