/** Byte-pair encoding of one word, by CLIP's vocabulary and merges. */

const END_OF_WORD = "</w>";
const NO_RANK = Infinity;

/** The 256 printable stand-ins for bytes: a printable byte is itself, the others follow from U+0100. */
export const BYTE_SYMBOLS: readonly string[] = byteSymbols();

function byteSymbols(): string[] {
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let others = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : others++));
}

/** A piece of a word: its id, and the byte of the word at which it begins. */
export interface Piece {
  readonly id: number;
  readonly byte: number;
}

/** vocabulary: symbol -> id; merges: pairs, the earlier the sooner joined. */
export class BytePairs {
  private readonly ranks: ReadonlyMap<string, number>;

  constructor(
    private readonly vocabulary: ReadonlyMap<string, number>,
    merges: readonly (readonly [string, string])[],
  ) {
    this.ranks = new Map(merges.map(([first, second], rank) => [`${first} ${second}`, rank]));
  }

  /** The pieces of a word of at least one byte. */
  encode(word: Uint8Array): Piece[] {
    const symbols = Array.from(word, (byte) => BYTE_SYMBOLS[byte]!);
    symbols[symbols.length - 1] += END_OF_WORD;
    const places = symbols.map((_, i) => i);
    const rank = (i: number): number => this.ranks.get(`${symbols[i]} ${symbols[i + 1]}`) ?? NO_RANK;
    const ranks = symbols.slice(1).map((_, i) => rank(i));
    for (;;) {
      const best = lowest(ranks);
      if (best < 0) break;
      symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
      places.splice(best + 1, 1);
      ranks.splice(best, 1);
      if (best > 0) ranks[best - 1] = rank(best - 1);
      if (best < ranks.length) ranks[best] = rank(best);
    }
    return symbols.map((symbol, i) => ({ id: this.vocabulary.get(symbol)!, byte: places[i]! }));
  }
}

/** The first place of the lowest rank, -1 where nothing can be joined. */
function lowest(ranks: readonly number[]): number {
  let [best, least] = [-1, NO_RANK];
  for (let i = 0; i < ranks.length; i += 1) if (ranks[i]! < least) [best, least] = [i, ranks[i]!];
  return best;
}
