import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Sha256, sha256 } from "../src/core/sha256";

const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 131 + (i >> 8)) & 255);

test("known answers of FIPS 180-4", () => {
  const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
  expect(sha256(ascii(""))).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect(sha256(ascii("abc"))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

test("lengths around a block, in pieces of every size", () => {
  for (let length = 0; length <= 200; length += 1) {
    const data = pattern(length);
    const wanted = createHash("sha256").update(data).digest("hex");
    const digest = new Sha256();
    for (let at = 0, size = 1; at < length; at += size, size = (size * 3 + length) % 77 + 1) digest.update(data.subarray(at, at + size));
    expect(digest.hex()).toBe(wanted);
  }
});

test("a view into a larger buffer", () => {
  const data = pattern(3_000_000).subarray(1, 2_900_000);
  expect(sha256(data)).toBe(createHash("sha256").update(data).digest("hex"));
});
