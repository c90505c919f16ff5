import { expect, test } from "vitest";
import { folderSource } from "../src/storage/folder";

const picked = (path: string): File => Object.defineProperty(new File(["x"], path.split("/").at(-1)!), "webkitRelativePath", { value: path });

test("files of a picked folder are named from inside of it", async () => {
  const source = folderSource(["nano/manifest.json", "nano/denoiser.mlpackage/Data/weights.bin"].map(picked));
  expect(source.name).toBe("the folder nano");
  expect(await source.list()).toEqual(["manifest.json", "denoiser.mlpackage/Data/weights.bin"]);
  expect(await source.find("denoiser.mlpackage/Data")).toEqual({ kind: "directory" });
  expect(await source.find("nano")).toBeNull();
});
