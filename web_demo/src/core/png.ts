/** A picture as a PNG with text entries, as lira-generate writes them. */

export const SOFTWARE = "LiRA";
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** Encode RGB bytes (H, W, 3) with `texts` beside Software; those outside Latin-1 become iTXt (UTF-8). */
export async function encodePng(
  pixels: Uint8Array,
  width: number,
  height: number,
  texts: Readonly<Record<string, string>>,
): Promise<Blob> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2], 8); // 8 bits a channel, RGB
  const entries = Object.entries({ Software: SOFTWARE, ...texts }).map(([key, text]) => textChunk(key, text));
  const data = chunk("IDAT", await deflated(filtered(pixels, 3 * width, height)));
  const parts = [Uint8Array.from(SIGNATURE), chunk("IHDR", header), ...entries, data, chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}

/** Each row with the filter Sub before it: a difference from the pixel on the left. */
function filtered(pixels: Uint8Array, rowBytes: number, height: number): Uint8Array<ArrayBuffer> {
  const rows = new Uint8Array((rowBytes + 1) * height);
  for (let y = 0; y < height; y += 1) {
    const [from, to] = [y * rowBytes, y * (rowBytes + 1)];
    rows[to] = 1;
    for (let i = 0; i < rowBytes; i += 1) rows[to + 1 + i] = pixels[from + i]! - (i < 3 ? 0 : pixels[from + i - 3]!);
  }
  return rows;
}

async function deflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function textChunk(key: string, text: string): Uint8Array<ArrayBuffer> {
  if (/^[\u0000-\u00ff]*$/.test(text)) return chunk("tEXt", latin1(`${key}\0${text}`));
  // Not compressed, no language, no translated keyword.
  return chunk("iTXt", joined(latin1(`${key}\0\0\0\0\0`), new TextEncoder().encode(text)));
}

function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

function chunk(kind: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(latin1(kind), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

function crc(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC_TABLE[(c ^ byte) & 0xff]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** A number as Python's format "g" writes it, with which lira-generate writes guidance. */
export function formatG(value: number): string {
  if (value === 0) return "0";
  // A half goes to the even digit; toExponential alone rounds it up. No number here is near a half beyond 100 digits.
  const even = Number(value.toExponential(100).replace(/(?<=^\d\.\d{4}[02468])50*(?=e)/, ""));
  const [digits, power] = even.toExponential(5).split("e") as [string, string];
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 6) return String(Number(`${digits}e${power}`));
  return `${String(Number(digits))}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}
