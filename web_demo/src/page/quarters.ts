/** Which of many reports of progress are read aloud: the first, and the first of each further quarter. */

export class Quarters {
  private share = 1;

  /** share: what is done of all, 0 to 1. Less than before begins anew. */
  isNew(share: number): boolean {
    const before = share < this.share ? -1 : quarter(this.share);
    this.share = share;
    return quarter(share) > before;
  }
}

/** 0 to 3; of what is done at all something else is said. */
const quarter = (share: number): number => Math.min(Math.floor(share * 4), 3);
