/** The page's elements by their ids; one that is missing is a mistake of ours and stops the page at once. */

function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} ${id}`);
  return found;
}

const input = (id: string): HTMLInputElement => element(id, HTMLInputElement);
const button = (id: string): HTMLButtonElement => element(id, HTMLButtonElement);
const select = (id: string): HTMLSelectElement => element(id, HTMLSelectElement);

export const page = {
  form: element("form", HTMLFormElement),
  prompt: element("prompt", HTMLTextAreaElement),
  seed: input("seed"),
  steps: input("steps"),
  guidance: input("guidance"),
  method: select("method"),
  resolution: select("resolution"),
  previews: select("previews"),
  threads: input("threads"),
  limit: input("limit"),
  low: input("low"),
  dice: button("dice"),
  draw: button("draw"),
  cancel: button("cancel"),
  less: button("less"),
  cut: button("cut"),
  load: button("load"),
  pick: button("pick"),
  remove: button("remove"),
  folder: input("folder"),
  download: element("download", HTMLAnchorElement),
  picture: element("picture", HTMLCanvasElement),
  progress: element("progress", HTMLProgressElement),
  empty: element("empty", HTMLElement),
  status: element("status", HTMLElement),
  spoken: element("spoken", HTMLElement),
  caption: element("caption", HTMLElement),
  alert: element("alert", HTMLElement),
  model: element("model", HTMLElement),
  stages: element("stages", HTMLElement),
  memory: element("memory", HTMLElement),
};
