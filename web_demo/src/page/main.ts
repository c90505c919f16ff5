/** The page: what each control does, and what comes first. */

import { page } from "./elements";
import { restoreForm, rollSeed } from "./form";
import { becomeIsolated } from "./isolation";
import { restorePicture } from "./picture";
import { holdRunning } from "./running";
import { cancel, draw, isBusy, load, open, remove } from "./session";

function listen(): void {
  page.form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isBusy()) draw();
  });
  page.prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) page.form.requestSubmit();
  });
  // Enter that is held on Draw would press Cancel next, which has the focus then.
  document.addEventListener("keydown", (event) => {
    if (event.repeat && event.key === "Enter" && event.target instanceof HTMLButtonElement) event.preventDefault();
  });
  page.dice.addEventListener("click", rollSeed);
  page.cancel.addEventListener("click", cancel);
  page.load.addEventListener("click", () => load());
  page.pick.addEventListener("click", () => page.folder.click());
  page.folder.addEventListener("change", () => {
    const files = [...(page.folder.files ?? [])];
    if (files.length) load({ kind: "folder", files });
    page.folder.value = ""; // the same folder may be picked again
  });
  page.remove.addEventListener("click", () => void remove());
  page.cut.addEventListener("click", () => draw(true));
  page.less.addEventListener("click", () => {
    page.low.checked = true;
    page.low.closest("details")!.open = true;
    draw();
  });
}

async function start(): Promise<void> {
  if (await becomeIsolated()) return;
  restoreForm();
  listen();
  holdRunning();
  await restorePicture();
  open({ kind: "kept" });
}

void start();
