/**
 * Phrases that the lab's messages share: what to say when a name is unknown, and counted things.
 *
 * A message that quotes an unknown name ends with the one that was probably meant, else with all there are.
 */
import { nearMiss } from '../model/near-miss.ts';

/** `; did you mean "x"?`, or `; there is: a, b` when nothing is close, or "" when nothing is known. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearMiss(word, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length === 0 ? '' : `; there is: ${known.join(', ')}`;
}

/** "1 host", "2 hosts", "2 processes". */
export function counted(count: number, noun: string): string {
  const ending = noun.endsWith('s') ? 'es' : 's';
  return `${count} ${noun}${count === 1 ? '' : ending}`;
}
