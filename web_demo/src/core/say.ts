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
  return text.length <= MOST_CHARACTERS ? text : text.slice(0, half) + CUT + text.slice(-half);
}

/** The whole text with control characters, marks of direction and what is no Unicode escaped. */
function escaped(text: string): string {
  return text.replace(/(?! )[\p{C}\p{Z}]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}
