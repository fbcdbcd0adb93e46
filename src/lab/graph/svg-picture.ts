/**
 * A lab's picture as SVG: the same layout as the text, with cells drawn larger.
 *
 * One file without scripts or fonts of its own, which a page can embed; its colours are neutral and follow the reader's choice of
 * light or dark. Coordinates are whole numbers, so the same topology gives the same bytes everywhere. Pure.
 */
import type { Bar, Box, Cable, Picture } from './layout.ts';

/** A cell: monospaced letters of 13 px are 7.8 px wide at most. */
const CELL_WIDTH = 8;
const CELL_HEIGHT = 18;
const MARGIN = 16;
const TEXT_DROP = 13;

const STYLE = `
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #334155; }
  .page { fill: #ffffff; }
  .title { font-weight: 600; fill: #0f172a; }
  .label { fill: #475569; stroke: #ffffff; stroke-width: 5; paint-order: stroke; }
  .box { fill: #f8fafc; stroke: #64748b; stroke-width: 1.5; }
  .router { fill: #eef2f6; stroke-dasharray: 5 3; }
  .workload { fill: #e0ecf4; stroke: #94a3b8; }
  .segment { stroke: #475569; stroke-width: 4; stroke-linecap: round; }
  .cable { stroke: #64748b; stroke-width: 1.5; fill: none; }
  .plug { fill: #475569; }
  @media (prefers-color-scheme: dark) {
    text { fill: #cbd5e1; }
    .page { fill: #111827; }
    .title { fill: #f1f5f9; }
    .label { fill: #a8b5c6; stroke: #111827; }
    .box { fill: #1e293b; stroke: #94a3b8; }
    .router { fill: #273449; }
    .workload { fill: #2c4257; stroke: #64748b; }
    .segment { stroke: #94a3b8; }
    .cable { stroke: #94a3b8; }
    .plug { fill: #94a3b8; }
  }
`;

/** `title` is for those who cannot see the picture. */
export function svgPicture(picture: Picture, title: string): string {
  const width = picture.width * CELL_WIDTH + 2 * MARGIN;
  const height = picture.height * CELL_HEIGHT + 2 * MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${width}" height="${height}" rx="8"/>`,
    ...picture.cables.map(cableElement),
    ...picture.bars.flatMap((bar) => barElements(bar, picture.cables)),
    ...picture.boxes.flatMap(boxElements),
    '</svg>',
    '',
  ].join('\n');
}

/** The middle of a column, and of a row. */
const middleX = (x: number) => MARGIN + x * CELL_WIDTH + CELL_WIDTH / 2;
const middleY = (y: number) => MARGIN + y * CELL_HEIGHT + CELL_HEIGHT / 2;

function cableElement({ x, barY, endY, turnX }: Cable): string {
  const turn = turnX === undefined ? '' : ` H ${middleX(turnX)}`;
  return `<path class="cable" d="M ${middleX(x)} ${middleY(barY)} V ${middleY(endY)}${turn}"/>`;
}

function barElements({ x, y, width, label, labelX }: Bar, cables: readonly Cable[]): string[] {
  const plugs = new Set(cables.filter(({ barY }) => barY === y).map((cable) => cable.x));
  const own = [...plugs].filter((column) => column >= x && column < x + width);
  return [
    `<line class="segment" x1="${middleX(x)}" y1="${middleY(y)}" x2="${middleX(x + width - 1)}" y2="${middleY(y)}"/>`,
    ...own.map((column) => `<circle class="plug" cx="${middleX(column)}" cy="${middleY(y)}" r="4"/>`),
    textElement('label', labelX, y - 1, label),
  ];
}

/** Frames run through the middle of the cells that frame the text. */
function boxElements({ kind, x, y, width, height, title, about, workloads }: Box): string[] {
  const lines = 1 + about.length;
  return [
    `<rect class="box ${kind}" x="${middleX(x)}" y="${middleY(y)}" width="${(width - 1) * CELL_WIDTH}" height="${(height - 1) * CELL_HEIGHT}" rx="6"/>`,
    ...(workloads.length === 0
      ? []
      : [
          `<rect class="workload" x="${middleX(x) + 6}" y="${middleY(y + 1 + lines) + 5}" width="${(width - 1) * CELL_WIDTH - 12}" height="${workloads.length * CELL_HEIGHT + 8}" rx="4"/>`,
        ]),
    textElement('title', x + 2, y + 1, title),
    ...about.map((line, index) => textElement('about', x + 2, y + 2 + index, line)),
    ...workloads.map((line, index) => textElement('about', x + 2, y + 2 + lines + index, line)),
  ];
}

function textElement(style: string, x: number, y: number, text: string): string {
  const place = `x="${MARGIN + x * CELL_WIDTH}" y="${MARGIN + y * CELL_HEIGHT + TEXT_DROP}"`;
  return `<text class="${style}" ${place} xml:space="preserve">${escaped(text)}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
