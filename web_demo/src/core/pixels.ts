/** The decoder's tensor as 8-bit pixels. */

/** (1, 3, H, W) of about [0, 1] -> RGB bytes (H, W, 3), each operation rounded to float32. */
export function toPixels(image: Float32Array, width: number, height: number): Uint8Array {
  const plane = width * height;
  const pixels = new Uint8Array(3 * plane);
  for (let channel = 0; channel < 3; channel += 1) {
    for (let place = 0; place < plane; place += 1) {
      const value = Math.min(Math.max(image[channel * plane + place]!, 0), 1);
      pixels[3 * place + channel] = Math.fround(Math.fround(value * 255) + 0.5);
    }
  }
  return pixels;
}

/** RGB bytes -> RGBA bytes, as a canvas takes them. */
export function toRgba(pixels: Uint8Array): Uint8ClampedArray<ArrayBuffer> {
  const rgba = new Uint8ClampedArray((pixels.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) rgba.set(pixels.subarray(from, from + 3), to);
  return rgba;
}
