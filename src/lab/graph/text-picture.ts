/**
 * A lab's picture as text: frames for machines, double lines for segments, single lines for cables.
 *
 * A segment's line is broken where a cable passes that is not plugged into it. Box-drawing characters, one cell each; no
 * line has trailing blanks. Pure; for terminals, and for documents that are read in them.
 */
import type { Bar, Box, Cable, Picture } from './layout.ts';

/** The picture, each line with its end. */
export function textPicture({ width, height, boxes, bars, cables }: Picture): string {
  const cells = Array.from({ length: height }, () => new Array<string>(width).fill(' '));
  const write = (x: number, y: number, text: string) => {
    for (const [index, character] of [...text].entries()) {
      const row = cells[y];
      if (row !== undefined) row[x + index] = character;
    }
  };
  for (const cable of cables) drawCable(cable, write);
  for (const bar of bars) drawBar(bar, cables, write);
  for (const box of boxes) drawBox(box, write);
  for (const cable of cables) drawEnd(cable, cables, write);
  return cells.map((row) => `${row.join('').trimEnd()}\n`).join('');
}

type Write = (x: number, y: number, text: string) => void;

function drawCable({ x, barY, endY }: Cable, write: Write): void {
  for (let y = Math.min(barY, endY); y <= Math.max(barY, endY); y++) write(x, y, '│');
}

function drawBar(bar: Bar, cables: readonly Cable[], write: Write): void {
  write(bar.labelX, bar.y - 1, bar.label);
  for (let x = bar.x; x < bar.x + bar.width; x++) {
    const here = cables.filter((cable) => cable.x === x && covers(cable, bar.y));
    const plugged = here.filter(({ barY }) => barY === bar.y);
    if (here.length > 0 && plugged.length === 0) continue;
    const above = plugged.some(({ endY }) => endY < bar.y);
    const below = plugged.some(({ endY }) => endY > bar.y);
    write(x, bar.y, above ? (below ? '╪' : '╧') : below ? '╤' : '═');
  }
}

function drawBox({ x, y, width, height, title, about, workloads }: Box, write: Write): void {
  const inner = width - 2;
  const lines = [...about, ...(workloads.length === 0 ? [] : [undefined, ...workloads])];
  write(x, y, `┌${'─'.repeat(inner)}┐`);
  for (const [index, line] of [title, ...lines].entries()) {
    const text = line === undefined ? `├${'─'.repeat(inner)}┤` : `│ ${line.padEnd(inner - 1)}│`;
    write(x, y + 1 + index, text);
  }
  write(x, y + height - 1, `└${'─'.repeat(inner)}┘`);
}

/** Where a cable meets its box's frame. */
function drawEnd({ x, barY, endY, turnX }: Cable, cables: readonly Cable[], write: Write): void {
  if (turnX === undefined) {
    write(x, endY, endY > barY ? '┴' : '┬');
    return;
  }
  const goesOn = cables.some((other) => other.x === x && other.barY === barY && other.endY > endY);
  write(x, endY, `${goesOn ? '├' : '└'}${'─'.repeat(turnX - x - 1)}┤`);
}

function covers({ barY, endY }: Cable, y: number): boolean {
  return Math.min(barY, endY) <= y && y <= Math.max(barY, endY);
}
