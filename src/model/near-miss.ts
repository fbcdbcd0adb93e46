/**
 * "Did you mean …?": the known word that a misspelt one was probably meant to be.
 *
 * Distance counts single-letter insertions, removals, replacements and swaps of neighbours (optimal string alignment);
 * case does not count, since wrong case is the commonest slip in field names. A word is suggested when no more than a
 * third of it differs, so that short words do not suggest anything at random.
 */

/** Longer words are not compared: the cost is quadratic, and nobody misspells a name of that length by one letter. */
const WORD_LENGTH_MAX = 64;

/** The nearest of `words` to `word`, or undefined when none is near. */
export function nearMiss(word: string, words: readonly string[]): string | undefined {
  if (word.length > WORD_LENGTH_MAX) return undefined;
  let best: { word: string; distance: number } | undefined;
  for (const candidate of words) {
    const found = distance(word.toLowerCase(), candidate.toLowerCase());
    const limit = Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3));
    if (found <= limit && found < (best?.distance ?? Number.POSITIVE_INFINITY)) {
      best = { word: candidate, distance: found };
    }
  }
  return best?.word;
}

/** `; did you mean X?`, or nothing. */
export function suggestion(word: string, words: readonly string[]): string {
  const near = nearMiss(word, words);
  return near === undefined ? '' : `; did you mean ${near}?`;
}

function distance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let least = Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) least = Math.min(least, (beforePrevious[column - 2] ?? 0) + 1);
      current.push(least);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
