// Prints what a build weighs, as it is and compressed as a server would send it.
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

const files = readdirSync("dist", { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
let [all, packed] = [0, 0];
for (const { parentPath, path, name } of files) {
  const place = `${parentPath ?? path}/${name}`;
  if (place.includes("dist/bundle/")) continue;
  const data = readFileSync(place);
  all += data.length;
  packed += gzipSync(data).length;
}
console.log(`the page without a bundle: ${(all / 1e6).toFixed(2)} MB, ${(packed / 1e6).toFixed(2)} MB gzipped`);
