/**
 * In which columns the machines of a picture stand, cluster by cluster.
 *
 * A cluster is as wide as the wider of its own machines and of all that hangs beneath it, and the narrower is centred on the
 * wider. Machines that nothing hangs on are set out in a grid, row after row; when that has more than one row, room is left
 * at the left of each column for the cables. Pure; called by layout.ts.
 */
import type { Topology } from '../topology.ts';
import { type BoxText, hostText, routerText } from './labels.ts';
import type { Cluster, GraphNode } from './levels.ts';

/** A machine's place, before the levels' heights are known. */
export interface Place {
  readonly level: number;
  readonly x: number;
  /** Rows below the top of its level. */
  readonly drop: number;
  readonly size: Size;
  readonly text: BoxText;
  /** Its segments, each with the level that it is drawn in. */
  readonly plugs: readonly { readonly segment: string; readonly level: number }[];
  /** Segments whose cables enter from the left. */
  readonly rails: readonly string[];
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Between neighbours. */
const GAP = 2;
/** Between two boxes of a column: none, since their frames tell them apart. */
const ROW_GAP = 0;
const MARGIN = 1;

interface Machine {
  readonly node: GraphNode;
  readonly text: BoxText;
  readonly size: Size;
}

/** A cluster with its machines' sizes and its width. */
interface Sized {
  readonly level: number;
  readonly row: readonly Machine[];
  readonly rowWidth: number;
  readonly inner: readonly Sized[];
  readonly columns: readonly Column[];
  readonly beneathWidth: number;
  readonly width: number;
}

/** Boxes above each other, and the segments whose cables run at their left. */
interface Column {
  readonly machines: readonly Machine[];
  readonly rails: readonly string[];
  readonly width: number;
}

/** How a picture is kept narrow: by ends in grids of so many rows at most, and by shorter texts. */
export interface Narrowness {
  readonly rows: number;
  readonly terse: boolean;
}

/** Every machine's place. */
export function placeClusters(topology: Topology, clusters: readonly Cluster[], narrowness: Narrowness): Place[] {
  const { rows, terse } = narrowness;
  const segmentLevels = new Map(clusters.flatMap(segmentLevelsOf));
  const sized = clusters.map((cluster) => sizeOf(cluster, textsOf(topology, terse), rows));
  const lefts = leftEdges(sized, MARGIN);
  return sized.flatMap((cluster, index) => placesOf(cluster, lefts[index] ?? MARGIN, segmentLevels));
}

function textsOf(topology: Topology, terse: boolean): Map<string, BoxText> {
  return new Map([
    ...topology.hosts.map((host) => [host.name, hostText(topology, host, terse)] as const),
    ...topology.routers.map((router) => [router.name, routerText(router, terse)] as const),
  ]);
}

function segmentLevelsOf({ level, top, beneath }: Cluster): [string, number][] {
  const own = top.filter(({ isSegment }) => isSegment).map(({ name }): [string, number] => [name, level]);
  return [...own, ...beneath.flatMap(segmentLevelsOf)];
}

/** A single machine that nothing hangs on. */
function isEnd({ top, beneath }: Cluster): boolean {
  return beneath.length === 0 && top.length === 1 && top.every(({ isSegment }) => !isSegment);
}

function sizeOf(cluster: Cluster, texts: ReadonlyMap<string, BoxText>, rows: number): Sized {
  const machinesOf = (nodes: readonly GraphNode[]) =>
    nodes.flatMap((node): Machine[] => {
      const text = texts.get(node.name);
      return text === undefined ? [] : [{ node, text, size: boxSize(text) }];
    });
  const row = machinesOf(cluster.top);
  const rowWidth = widthOf(row.map(({ size }) => size));
  const inner = cluster.beneath.filter((each) => !isEnd(each)).map((each) => sizeOf(each, texts, rows));
  const columns = gridOf(machinesOf(cluster.beneath.filter(isEnd).flatMap(({ top }) => top)), rows);
  const beneathWidth = widthOf([...inner, ...columns]);
  const width = Math.max(rowWidth, beneathWidth);
  return { level: cluster.level, row, rowWidth, inner, columns, beneathWidth, width };
}

/** Row after row in `rows` rows or fewer; a single row needs no cables at its boxes' left. */
function gridOf(machines: readonly Machine[], rows: number): Column[] {
  const count = Math.ceil(machines.length / rows);
  const columns = Array.from({ length: count }, (_, column) => machines.filter((_, index) => index % count === column));
  return columns.map((own) => {
    const rails = rows === 1 ? [] : [...new Set(own.flatMap(({ node }) => node.neighbours))];
    return { machines: own, rails, width: 2 * rails.length + Math.max(...own.map(({ size }) => size.width)) };
  });
}

/** The frame, a blank on each side of the text, and a rule above the workloads. */
function boxSize({ title, about, workloads }: BoxText): Size {
  const longest = Math.max(...[title, ...about, ...workloads].map(({ length }) => length));
  return { width: longest + 4, height: 3 + about.length + (workloads.length === 0 ? 0 : 1 + workloads.length) };
}

function widthOf(parts: readonly { readonly width: number }[]): number {
  return parts.reduce((sum, { width }) => sum + width, GAP * Math.max(parts.length - 1, 0));
}

function leftEdges(parts: readonly { readonly width: number }[], start: number): number[] {
  return parts.map((_, index) => start + widthOf(parts.slice(0, index)) + (index > 0 ? GAP : 0));
}

function placesOf(cluster: Sized, x: number, segmentLevels: ReadonlyMap<string, number>): Place[] {
  const { row, inner, columns, width } = cluster;
  const rowLefts = leftEdges(
    row.map(({ size }) => size),
    x + Math.floor((width - cluster.rowWidth) / 2),
  );
  const lefts = leftEdges([...inner, ...columns], x + Math.floor((width - cluster.beneathWidth) / 2));
  const put = ({ node, text, size }: Machine, at: Pick<Place, 'level' | 'x' | 'drop' | 'rails'>): Place => {
    const plugs = [...new Set(node.neighbours)].map((segment) => ({ segment, level: segmentLevels.get(segment) ?? 0 }));
    return { ...at, text, size, plugs };
  };
  const ends = columns.flatMap((column, index) => {
    const left = (lefts[inner.length + index] ?? 0) + 2 * column.rails.length;
    let drop = 0;
    return column.machines.map((machine) => {
      const place = put(machine, { level: cluster.level + 1, x: left, drop, rails: column.rails });
      drop += machine.size.height + ROW_GAP;
      return place;
    });
  });
  return [
    ...row.map((machine, index) => put(machine, { level: cluster.level, x: rowLefts[index] ?? 0, drop: 0, rails: [] })),
    ...inner.flatMap((each, index) => placesOf(each, lefts[index] ?? 0, segmentLevels)),
    ...ends,
  ];
}
