import { expect, test } from "vitest";
import { toPixels, toRgba } from "../src/core/pixels";
import { bytes, floats, readVectors } from "./vectors";

interface Pixels {
  images: { shape: [number, number, number, number]; image_f32: string; pixels: string }[];
}

test.each(readVectors<Pixels>("pixels.json").images)("pixels of shape $shape, exactly", ({ shape, image_f32, pixels }) => {
  const [, , height, width] = shape;
  expect(toPixels(floats(image_f32), width, height)).toEqual(bytes(pixels));
});

test("a canvas gets the same colours, opaque", () => {
  expect([...toRgba(Uint8Array.of(1, 2, 3, 4, 5, 6))]).toEqual([1, 2, 3, 255, 4, 5, 6, 255]);
});
