import { crc32, inflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { encodePng, formatG } from "../src/core/png";

/** Chunks of a PNG, in order, each with the checksum that zlib computes. */
async function chunks(png: Blob): Promise<[string, Buffer][]> {
  const data = Buffer.from(await png.arrayBuffer());
  const found: [string, Buffer][] = [];
  for (let at = 8; at < data.length; ) {
    const length = data.readUInt32BE(at);
    expect(data.readUInt32BE(at + 8 + length)).toBe(crc32(data.subarray(at + 4, at + 8 + length)));
    found.push([data.toString("latin1", at + 4, at + 8), data.subarray(at + 8, at + 8 + length)]);
    at += 12 + length;
  }
  return found;
}

test("texts: Latin-1 as tEXt, others as iTXt in UTF-8, in the order given, before the picture", async () => {
  const png = await encodePng(new Uint8Array(12), 2, 2, { prompt: "ein Löwe", seed: "7", title: "猫 😀" });
  const all = await chunks(png);
  expect(all.map(([kind]) => kind)).toEqual(["IHDR", "tEXt", "tEXt", "tEXt", "iTXt", "IDAT", "IEND"]);
  expect(all.slice(1, 4).map(([, text]) => text.toString("latin1"))).toEqual(["Software\0LiRA", "prompt\0ein Löwe", "seed\0" + "7"]);
  expect(all[4]![1].toString("utf8")).toBe("title\0\0\0\0\0猫 😀");
});

test("the pixels come back", async () => {
  const [width, height] = [5, 3];
  const pixels = Uint8Array.from({ length: 3 * width * height }, (_, i) => (i * 97) & 255);
  const all = await chunks(await encodePng(pixels, width, height, {}));
  const header = all[0]![1];
  expect([header.readUInt32BE(0), header.readUInt32BE(4), ...header.subarray(8)]).toEqual([width, height, 8, 2, 0, 0, 0]);
  const rows = inflateSync(all.find(([kind]) => kind === "IDAT")![1]);
  const found: number[] = [];
  for (let y = 0; y < height; y += 1) {
    const row = rows.subarray(y * 16, y * 16 + 16);
    expect(row[0]).toBe(1); // the filter Sub
    for (let i = 1; i < 16; i += 1) found.push((row[i]! + (i > 3 ? found.at(-3)! : 0)) & 255);
  }
  expect(found).toEqual([...pixels]);
});

test.each([
  [4, "4"], [0, "0"], [7.5, "7.5"], [100, "100"], [1.23456789, "1.23457"], [0.00001, "1e-05"], [0.0001234567, "0.000123457"], [1e-10, "1e-10"], [99.99999999, "100"],
  [12.03125, "12.0312"], [12.09375, "12.0938"], [0.0009765625, "0.000976562"], [2 ** -17, "7.62939e-06"], [12.031250000000002, "12.0313"],
])("%s is written as Python's format g: %s", (value, text) => {
  expect(formatG(value)).toBe(text);
});
