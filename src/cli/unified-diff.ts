/**
 * Two texts, compared line by line, as a unified diff (the format of `diff -u`, which `patch` and people read).
 *
 * The longest common subsequence of lines decides what stayed. Its table costs the product of the two lengths, so equal
 * beginnings and ends are set aside first, and what would still be too large is shown as replaced whole.
 */

/** Lines around a change, as `diff -u` has them. */
const CONTEXT_LINES = 3;

/** Cells of the table: 16 MB, a fifth of a second. A resource rarely has a thousand lines. */
const CELLS_MAX = 4_000_000;

interface Line {
  readonly mark: ' ' | '-' | '+';
  readonly text: string;
}

/** The diff from `before` to `after`; empty when they are the same. */
export function unifiedDiff(before: string, after: string, beforeTitle: string, afterTitle: string): string {
  const lines = compare(linesOf(before), linesOf(after));
  const hunks = hunksOf(lines);
  if (hunks.length === 0) return '';
  return `--- ${beforeTitle}\n+++ ${afterTitle}\n${hunks.map((hunk) => hunkText(lines, hunk)).join('')}`;
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function compare(before: readonly string[], after: readonly string[]): Line[] {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const same = (text: string): Line => ({ mark: ' ', text });
  return [
    ...before.slice(0, start).map(same),
    ...compareMiddle(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...before.slice(before.length - end).map(same),
  ];
}

function compareMiddle(before: readonly string[], after: readonly string[]): Line[] {
  const width = after.length + 1;
  const isTooLarge = (before.length + 1) * width > CELLS_MAX;
  // common[row * width + column]: lines in common of what is left of both.
  const common = new Uint32Array(isTooLarge ? 0 : (before.length + 1) * width);
  for (let row = before.length - 1; row >= 0 && !isTooLarge; row--) {
    for (let column = after.length - 1; column >= 0; column--) {
      const here = row * width + column;
      const longer = Math.max(common[here + width] ?? 0, common[here + 1] ?? 0);
      common[here] = before[row] === after[column] ? (common[here + width + 1] ?? 0) + 1 : longer;
    }
  }
  const lines: Line[] = [];
  let row = 0;
  let column = 0;
  while (row < before.length || column < after.length) {
    const [old, fresh] = [before[row], after[column]];
    const here = row * width + column;
    if (old !== undefined && old === fresh && !isTooLarge) {
      lines.push({ mark: ' ', text: old });
      row += 1;
      column += 1;
    } else if (old !== undefined && (fresh === undefined || (common[here + width] ?? 0) >= (common[here + 1] ?? 0))) {
      lines.push({ mark: '-', text: old });
      row += 1;
    } else {
      lines.push({ mark: '+', text: fresh ?? '' });
      column += 1;
    }
  }
  return lines;
}

interface Hunk {
  readonly from: number;
  readonly to: number;
}

/** Stretches of lines around the changes; those that touch are one. */
function hunksOf(lines: readonly Line[]): Hunk[] {
  const hunks: Hunk[] = [];
  for (const [index, { mark }] of lines.entries()) {
    if (mark === ' ') continue;
    const last = hunks.at(-1);
    const to = Math.min(index + CONTEXT_LINES + 1, lines.length);
    if (last !== undefined && index - CONTEXT_LINES <= last.to) hunks[hunks.length - 1] = { from: last.from, to };
    else hunks.push({ from: Math.max(0, index - CONTEXT_LINES), to });
  }
  return hunks;
}

function hunkText(lines: readonly Line[], { from, to }: Hunk): string {
  const inside = lines.slice(from, to);
  const place = (other: Line['mark']) => {
    const before = lines.slice(0, from).filter(({ mark }) => mark !== other).length;
    const count = inside.filter(({ mark }) => mark !== other).length;
    return `${count === 0 ? before : before + 1},${count}`;
  };
  return `@@ -${place('+')} +${place('-')} @@\n${inside.map(({ mark, text }) => `${mark}${text}\n`).join('')}`;
}
