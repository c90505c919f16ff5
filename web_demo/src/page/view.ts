/** What the page shows; it decides nothing. */

import { toRgba } from "../core/pixels";
import type { Code } from "../core/errors";
import type { BundleSummary, StageReport } from "../worker/protocol";
import { page } from "./elements";
import { Quarters } from "./quarters";
import { STAGE_WORDS, bundleLine, megabytes } from "./words";

let quarters = new Quarters();

export function say(sentence: string): void {
  page.status.textContent = page.spoken.textContent = sentence;
}

/** Say how far it is, of which a screen reader tells no more than can be listened to. share: 0 to 1. */
export function sayProgress(share: number, sentence: string): void {
  showProgress(share);
  page.status.textContent = sentence;
  if (quarters.isNew(share)) page.spoken.textContent = sentence;
}

/** busy: nothing can be begun, and what goes on can be cancelled. */
export function showBusy(busy: boolean): void {
  page.draw.disabled = page.load.disabled = page.pick.disabled = page.remove.disabled = busy;
  page.cancel.disabled = !busy;
  const focused = document.activeElement;
  // Who uses the keyboard would lose their place with a button that goes.
  if (focused instanceof HTMLButtonElement && (focused.disabled || focused.hidden)) (busy ? page.cancel : page.draw).focus();
}

/** share: 0 to 1, null where nothing goes on. */
export function showProgress(share: number | null): void {
  page.progress.hidden = share === null;
  page.progress.value = share ?? 0;
  if (share === null) quarters = new Quarters();
}

/** One sentence, and its code for who asks for help. */
export function showError(sentence: string, code: Code): void {
  const small = document.createElement("code");
  small.textContent = code;
  // A sentence that begins with a file's name keeps it as it is.
  page.alert.replaceChildren(sentence.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase()), " ", small);
}

export function clearError(): void {
  page.alert.replaceChildren();
  page.less.hidden = page.cut.hidden = true;
}

export function showPixels(pixels: Uint8Array, side: number, label: string): void {
  page.picture.width = page.picture.height = side;
  page.picture.getContext("2d")!.putImageData(new ImageData(toRgba(pixels), side, side), 0, 0);
  labelPicture(label);
}

export async function showPng(png: Blob, label: string): Promise<void> {
  const bitmap = await createImageBitmap(png);
  page.picture.width = bitmap.width;
  page.picture.height = bitmap.height;
  page.picture.getContext("2d")!.drawImage(bitmap, 0, 0);
  labelPicture(label);
}

function labelPicture(label: string): void {
  page.empty.hidden = true;
  page.picture.setAttribute("aria-label", label);
}

export function offerDownload(png: Blob, name: string, caption: string): void {
  if (page.download.href) URL.revokeObjectURL(page.download.href);
  page.download.href = URL.createObjectURL(png);
  page.download.download = name;
  page.download.hidden = false;
  page.caption.textContent = caption;
  page.caption.hidden = false;
}

export function hideCaption(): void {
  if (document.activeElement === page.download) page.cancel.focus();
  page.download.hidden = page.caption.hidden = true;
}

export function showModel(bundle: BundleSummary | null): void {
  page.remove.hidden = !bundle?.kept;
  page.model.textContent = bundle ? bundleLine(bundle) : "No model is loaded yet.";
}

export const clearStages = (): void => page.stages.replaceChildren();

export function addStage({ stage, seconds, heapBytes }: StageReport): void {
  const row = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = STAGE_WORDS[stage] ?? stage;
  const cells = [seconds.toFixed(2), megabytes(heapBytes)].map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    return cell;
  });
  row.append(name, ...cells);
  page.stages.append(row);
}

export const showMemory = (sentence: string): void => void (page.memory.textContent = sentence);
