/**
 * A running lab's topology, changed: a machine more, or one less.
 *
 * A lab's memory of its network is its topology file, so a change is made to that text, and what comes out is read like any
 * other topology. Whoever leaves takes along what is said of it: its workloads, and the checks that name it or them.
 * Comments stay. Pure.
 */
import { type Document, isMap, isSeq, parseDocument } from 'yaml';
import type { Json } from '../store/store.ts';
import { expandRanges } from './ranges.ts';

/** A host as a topology file has it: links, blocks, labels, asNumber, gateways. */
export type HostDocument = Readonly<Record<string, Json>>;

/** The text with a host of this name. */
export function withHost(text: string, name: string, host: HostDocument): string {
  const document = parseDocument(text);
  document.setIn(['hosts', name], document.createNode(host));
  return String(document);
}

/** The text without this host, which may have been one of a range, and without the workloads on it. */
export function withoutHost(text: string, name: string, workloads: readonly string[]): string {
  const document = parseDocument(text);
  expandRanges(document);
  document.deleteIn(['hosts', name]);
  for (const workload of workloads) document.deleteIn(['workloads', workload]);
  dropChecks(document, new Set([name, ...workloads]));
  return String(document);
}

function dropChecks(document: Document, gone: ReadonlySet<string>): void {
  const checks = document.get('checks');
  if (!isSeq(checks)) return;
  for (const check of checks.items) {
    const among = isMap(check) ? check.get('reach') : undefined;
    if (isSeq(among)) among.items = among.items.filter((item) => !gone.has(String(item)));
  }
  checks.items = checks.items.filter((check) => {
    if (!isMap(check)) return true;
    return !check.items.some(({ value }) => {
      if (!isMap(value)) return false;
      return ['on', 'from', 'to'].some((field) => gone.has(String(value.get(field))));
    });
  });
}
