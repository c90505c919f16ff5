/** What a PNG holds, read by code of its own. */

import { inflateSync } from "node:zlib";

export interface Picture {
  readonly side: number;
  /** RGB bytes, (H, W, 3). */
  readonly pixels: Uint8Array;
  readonly texts: Record<string, string>;
}

/** Of 8 bits a channel, RGB, not interlaced: what the page writes, and Pillow. */
export function readPng(data: Buffer): Picture {
  const texts: Record<string, string> = {};
  const packed: Buffer[] = [];
  let side = 0;
  for (let at = 8; at < data.length; ) {
    const length = data.readUInt32BE(at);
    const kind = data.toString("latin1", at + 4, at + 8);
    const body = data.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") side = body.readUInt32BE(0);
    if (kind === "IDAT") packed.push(body);
    if (kind === "tEXt") texts[body.toString("latin1").split("\0")[0]!] = body.toString("latin1").split("\0")[1]!;
    if (kind === "iTXt") texts[body.toString("utf8").split("\0")[0]!] = body.toString("utf8").split("\0").at(-1)!;
    at += 12 + length;
  }
  return { side, texts, pixels: unfiltered(inflateSync(Buffer.concat(packed)), 3 * side, side) };
}

function unfiltered(rows: Buffer, rowBytes: number, height: number): Uint8Array {
  const pixels = new Uint8Array(rowBytes * height);
  const at = (y: number, i: number): number => (y < 0 || i < 0 ? 0 : pixels[y * rowBytes + i]!);
  for (let y = 0; y < height; y += 1) {
    const filter = rows[y * (rowBytes + 1)]!;
    for (let i = 0; i < rowBytes; i += 1) {
      const [left, up, corner] = [at(y, i - 3), at(y - 1, i), i < 3 ? 0 : at(y - 1, i - 3)];
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
      pixels[y * rowBytes + i] = rows[y * (rowBytes + 1) + 1 + i]! + predicted;
    }
  }
  return pixels;
}

function paeth(left: number, up: number, corner: number): number {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

/** Peak signal to noise of two pictures, dB. */
export function psnrDb(found: Uint8Array, reference: Uint8Array): number {
  const errors = reference.reduce((sum, value, i) => sum + ((found[i]! - value) / 255) ** 2, 0);
  return found.length === reference.length ? -10 * Math.log10(errors / reference.length) : -Infinity;
}
