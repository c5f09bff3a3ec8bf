/** A set of byte ranges, kept sorted and apart. Small: it covers what fits inline. */
export class RangeSet {
  #ranges: { start: number; end: number }[] = [];

  add(start: number, end: number): void {
    if (start >= end) return;
    const kept: { start: number; end: number }[] = [];
    let from = start;
    let to = end;
    for (const range of this.#ranges) {
      if (range.end < from || range.start > to) kept.push(range);
      else {
        from = Math.min(from, range.start);
        to = Math.max(to, range.end);
      }
    }
    kept.push({ start: from, end: to });
    this.#ranges = kept.sort((a, b) => a.start - b.start);
  }

  /** What of [0, end) is not in the set. */
  gaps(end: number): { start: number; end: number }[] {
    const found: { start: number; end: number }[] = [];
    let at = 0;
    for (const range of this.#ranges) {
      if (range.start >= end) break;
      if (range.start > at) found.push({ start: at, end: range.start });
      at = Math.max(at, range.end);
    }
    if (at < end) found.push({ start: at, end });
    return found;
  }

  clear(): void {
    this.#ranges = [];
  }
}
