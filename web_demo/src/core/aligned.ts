/** A prompt as the tokenizer reads it, with the place in the prompt that each character comes from. */

/** chars: Unicode characters, normalised. starts: where each began in the prompt, in UTF-16 units. */
export interface Aligned {
  readonly chars: readonly string[];
  readonly starts: readonly number[];
}

/** A character, and what canonical composition may join to it: marks, and the later letters of a Hangul syllable. */
const CHUNK = /[^][\p{M}\u1160-\u11ff]*/gu;
const WHITE = /\p{White_Space}/u; // not \s, which has U+FEFF and lacks U+0085

/** NFC, white space collapsed, lower case character by character (so that a sigma at a word's end is as any other). */
export function normalised(text: string, offset: number): Aligned {
  const [chars, starts]: [string[], number[]] = [[], []];
  for (const chunk of text.matchAll(CHUNK)) {
    const before = startsOf(chunk[0], offset + chunk.index);
    const after = [...chunk[0].normalize("NFC")];
    after.forEach((composed, i) => {
      // What was composed is the first; what follows it stands at the end of what it came from.
      const from = i === 0 ? 0 : before.length - after.length + i;
      const start = before[Math.min(Math.max(from, 0), before.length - 1)]!;
      if (WHITE.test(composed)) {
        if (chars.at(-1) !== " ") append(" ", start);
      } else {
        for (const lower of composed.toLowerCase()) append(lower, start);
      }
    });
  }
  return { chars, starts };

  function append(char: string, start: number): void {
    chars.push(char);
    starts.push(start);
  }
}

function startsOf(text: string, offset: number): number[] {
  const starts: number[] = [];
  for (const char of text) {
    starts.push(offset);
    offset += char.length;
  }
  return starts;
}
