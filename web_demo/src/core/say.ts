/** Lines for people. What they say may come from anywhere: a file's name, a bundle, a prompt. */

/** Of a line; of a longer one the middle is left out. */
const MOST_CHARACTERS = 1200;
const CUT = " ... ";

/** A line of it: `escaped`, and without its middle where it is long. */
export function printable(text: string): string {
  // Nothing of what is cut is escaped: a text of megabytes costs as little as one that is a little too long.
  return cut(escaped(cut(text)));
}

function cut(text: string): string {
  const half = Math.floor((MOST_CHARACTERS - CUT.length) / 2);
  if (text.length <= 2 * MOST_CHARACTERS && [...text].length <= MOST_CHARACTERS) return text;
  return beginning(text, half) + CUT + [...text.slice(-2 * half)].slice(-half).join("");
}

/** So many characters of it at most: code points, of which one may be two units of a string. */
export function beginning(text: string, most: number): string {
  return [...text.slice(0, 2 * most)].slice(0, most).join("");
}

/** The whole text with control characters, marks of direction and what is no Unicode escaped. */
function escaped(text: string): string {
  return text.replace(/(?! )[\p{C}\p{Z}]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}
