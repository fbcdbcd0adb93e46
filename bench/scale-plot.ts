/**
 * The plot of bench/scale.ts as SVG: sessions and time to converge by number of hosts, both axes logarithmic.
 *
 * Two panels side by side, a line for each shape. Colours are such that they can be told apart on white and on black, and by
 * people who do not see red and green; text and axes are of a middle grey.
 */

export interface PlotPoint {
  readonly name: string;
  readonly hosts: number;
  readonly sessions: number;
  readonly coldStart: { readonly ms: number };
}

interface Panel {
  readonly title: string;
  readonly value: (point: PlotPoint) => number;
  readonly format: (value: number) => string;
}

const WIDTH = 860;
const HEIGHT = 340;
const PANEL = { width: 350, height: 230, top: 50 } as const;
const LEFTS = [60, 480] as const;
const GREY = '#888888';
const COLOURS: Readonly<Record<string, string>> = { mesh: '#d55e00', reflectors: '#0090d0', racks: '#009e73' };

const PANELS: readonly Panel[] = [
  {
    title: 'BGP sessions in the network',
    value: ({ sessions }) => sessions,
    format: (value) => value.toLocaleString('en-US'),
  },
  {
    title: 'cold start until nothing changes',
    value: ({ coldStart }) => coldStart.ms,
    format: (value) => (value >= 1000 ? `${value / 1000} s` : `${value} ms`),
  },
];

export function plot(points: readonly PlotPoint[]): string {
  const panels = PANELS.map((panel, index) => panelText(panel, points, LEFTS[index] ?? 0));
  const legend = Object.entries(COLOURS).map(([name, colour], index) => {
    const x = 60 + index * 120;
    return `<rect x="${x}" y="318" width="14" height="4" fill="${colour}"/>${text(x + 20, 324, name, 'start')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
${[...panels, ...legend].join('\n')}
</svg>
`;
}

function panelText({ title, value, format }: Panel, points: readonly PlotPoint[], left: number): string {
  const across = scale(
    points.map(({ hosts }) => hosts),
    left,
    left + PANEL.width,
  );
  const up = scale(points.map(value), PANEL.top + PANEL.height, PANEL.top);
  const bottom = PANEL.top + PANEL.height;
  const right = left + PANEL.width;
  const axes = [
    ...across.ticks.map(
      (tick) =>
        line(across.at(tick), PANEL.top, across.at(tick), bottom) +
        text(across.at(tick), bottom + 18, tick.toLocaleString('en-US'), 'middle'),
    ),
    ...up.ticks.map(
      (tick) => line(left, up.at(tick), right, up.at(tick)) + text(left - 6, up.at(tick) + 4, format(tick), 'end'),
    ),
    text(right, bottom + 34, 'hosts', 'end'),
    text(left, PANEL.top - 16, title, 'start'),
  ];
  const series = Object.entries(COLOURS).map(([name, colour]) => {
    const own = points.filter((point) => point.name === name);
    const places = own.map((point) => [across.at(point.hosts).toFixed(1), up.at(value(point)).toFixed(1)] as const);
    const best = bestBySize(own, value);
    const path = best
      .map((point) => `${across.at(point.hosts).toFixed(1)},${up.at(value(point)).toFixed(1)}`)
      .join(' ');
    const dots = places.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3.5" fill="${colour}"/>`).join('');
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots}`;
  });
  return [...axes, ...series].join('\n');
}

/** Of several at one size the line goes through the least. */
function bestBySize(points: readonly PlotPoint[], value: (point: PlotPoint) => number): PlotPoint[] {
  const best = new Map<number, PlotPoint>();
  for (const point of points) {
    const known = best.get(point.hosts);
    if (known === undefined || value(point) < value(known)) best.set(point.hosts, point);
  }
  return [...best.values()].sort((one, other) => one.hosts - other.hosts);
}

/** A logarithmic scale from a power of ten to another, with these as ticks. */
function scale(
  values: readonly number[],
  from: number,
  to: number,
): { readonly at: (value: number) => number; readonly ticks: number[] } {
  const low = Math.floor(Math.log10(Math.max(Math.min(...values), 1)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values, 1))), low + 1);
  const at = (value: number): number => from + ((Math.log10(Math.max(value, 1)) - low) / (high - low)) * (to - from);
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)) };
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  const numbers = [x1, y1, x2, y2].map((number) => number.toFixed(1));
  return `<line x1="${numbers[0]}" y1="${numbers[1]}" x2="${numbers[2]}" y2="${numbers[3]}" stroke="${GREY}" stroke-width="0.5" stroke-opacity="0.5"/>`;
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="${GREY}" text-anchor="${anchor}">${content}</text>`;
}
