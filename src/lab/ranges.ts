/**
 * Many alike, written once: a topology's "host-{1..6}" stands for host-1 to host-6.
 *
 *   hosts: { "host-{1..6}": { links: { eth0: { segment: lan, addresses: ["192.168.100.10{n}/24"] } } } }
 *
 * A range in the name of a host, router or workload, or in an item of a list (segments, checks, who reaches whom), makes as
 * many of it; {n} beneath is the number. Resources are left as they are. It is done to the parsed YAML, whose copied parts
 * keep their places in the text, so that what is wrong with host-3 is shown in the line of "host-{1..6}".
 */
import { type Document, isMap, isPair, isScalar, isSeq, type Node, type Pair, visit, type YAMLMap } from 'yaml';

export interface RangeProblem {
  readonly offset: number;
  readonly message: string;
}

const RANGE = /\{(\d{1,4})\.\.(\d{1,4})\}/;

/** A machine runs no larger lab; more would be a slip of the finger. */
const RANGE_MAX = 1_000;

const NAMED = ['hosts', 'routers', 'workloads'] as const;
const LISTS = ['segments', 'checks'] as const;

/** Replaces ranges in the document by what they stand for; what cannot be is told, and left as it is. */
export function expandRanges(document: Document): RangeProblem[] {
  const problems: RangeProblem[] = [];
  for (const field of NAMED) {
    const map = document.get(field);
    if (isMap(map)) problems.push(...expandNames(map));
  }
  for (const field of LISTS) {
    const list = document.get(field);
    if (isSeq(list)) expandItems(list);
  }
  return problems;
}

function expandNames(map: YAMLMap): RangeProblem[] {
  const problems: RangeProblem[] = [];
  const names = new Set<string>();
  map.items = map.items.flatMap((pair) => {
    const copies = copiesOf(pair, isScalar(pair.key) ? String(pair.key.value) : '');
    for (const { key } of copies) {
      const name = isScalar(key) ? String(key.value) : '';
      if (names.has(name)) problems.push({ offset: startOf(key), message: `"${name}" is given twice; write it once` });
      names.add(name);
    }
    return copies;
  });
  return problems;
}

/** Inner lists first: the range in `reach: ["w{1..6}"]` makes more names, not more checks. */
function expandItems(list: { items: unknown[] }): void {
  list.items = list.items.flatMap((item) => {
    if (!isMap(item) && !isScalar(item)) return [item];
    visit(item, { Seq: (_, inner) => expandItems(inner) });
    return copiesOf(item, rangeIn(item));
  });
}

/** The first text of the item that has a range; "" when none has. */
function rangeIn(item: Node): string {
  let found = '';
  visit(item, {
    Scalar: (_, { value }) => {
      if (typeof value !== 'string' || !RANGE.test(value)) return undefined;
      found = value;
      return visit.BREAK;
    },
  });
  return found;
}

/** One copy for each number of the range in `text`; the thing itself where there is none. */
function copiesOf<Item extends Node | Pair>(item: Item, text: string): Item[] {
  const [, from, to] = RANGE.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === undefined || last < first || last - first >= RANGE_MAX) return [item];
  return Array.from({ length: last - first + 1 }, (_, index) => numbered(item, String(first + index)));
}

function numbered<Item extends Node | Pair>(item: Item, number: string): Item {
  const copy = item.clone() as Item; // yaml types the copy more loosely than the original
  const write = (_: unknown, node: { value: unknown }) => {
    if (typeof node.value === 'string') node.value = node.value.replace(RANGE, number).replaceAll('{n}', number);
  };
  if (isPair(copy)) {
    for (const part of [copy.key, copy.value]) visit(part as Node | null, { Scalar: write }); // a parsed pair holds nodes
  } else visit(copy, { Scalar: write });
  return copy;
}

function startOf(key: unknown): number {
  return isScalar(key) ? (key.range?.[0] ?? 0) : 0;
}
