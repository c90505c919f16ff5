/** The picture on the page: the last one that was finished, and the previews that hide it for a while. */

import { beginning } from "../core/say";
import type { DrawRequest, FromWorker } from "../worker/protocol";
import { keepPicture, lastPicture, type LastPicture } from "./memory";
import { hideCaption, offerDownload, showPixels, showPng } from "./view";
import { fileName } from "./words";

let last: (LastPicture & { png: Blob }) | null = null;
let previewed = false;

/** The picture of the last time. */
export async function restorePicture(): Promise<void> {
  last = await lastPicture();
  await showLast();
}

export function showPreview({ pixels, side, index }: Extract<FromWorker, { kind: "preview" }>): void {
  previewed = true;
  hideCaption();
  showPixels(pixels, side, `Preview after step ${index + 1}`);
}

/** Show the last picture again: a drawing that did not come to its end takes nothing away. */
export function endPreview(): void {
  if (previewed) void showLast();
}

/** Show a picture that is finished, and keep it; resolves once it is kept. */
export function finishPicture({ png, pixels, side }: Extract<FromWorker, { kind: "image" }>, { prompt, seed }: DrawRequest): Promise<void> {
  const caption = `“${beginning(prompt, 300)}”, seed ${seed}`;
  showPixels(pixels, side, `The picture of ${caption}`);
  last = { png, name: fileName(prompt, seed), caption };
  previewed = false;
  offerDownload(png, last.name, caption);
  return keepPicture(png, last);
}

async function showLast(): Promise<void> {
  previewed = false;
  if (!last) return;
  try {
    await showPng(last.png, `The picture of ${last.caption}`);
    offerDownload(last.png, last.name, last.caption);
  } catch {
    // a file that was cut short is no picture
  }
}
