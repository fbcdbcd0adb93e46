/**
 * From the text of a topology file to a Topology, or to everything that is wrong with it.
 *
 * Pure. Errors read `FILE:LINE:COLUMN: path: what is wrong; what would be right`, all of them at once, in the order of the
 * file, so that one run tells all there is to mend. Three passes, each only when the one before found nothing: YAML
 * syntax, the fields (topology-schema.ts), the rules between them (topology-rules.ts).
 */
import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { z } from 'zod';
import { ruleLinesOf, withSource } from '../model/documents.ts';
import type { AnyResource } from '../model/kinds.ts';
import { type Validated, validateResource } from '../model/validate.ts';
import { LabError } from './lab-error.ts';
import { expandRanges } from './ranges.ts';
import type { Check, Plug, Topology } from './topology.ts';
import { brokenRules, type Problem } from './topology-rules.ts';
import { type TopologyDocument, topologyDocument } from './topology-schema.ts';
import { suggestion } from './wording.ts';

/** A description of a thousand hosts is under 200 kB. */
export const TOPOLOGY_BYTES_MAX = 1024 * 1024;

/** `source` is what messages call the text. Throws LabError `invalid`. */
export function readTopology(source: string, text: string): Topology {
  if (text.length > TOPOLOGY_BYTES_MAX) {
    throw new LabError('invalid', `${source}: longer than ${TOPOLOGY_BYTES_MAX} bytes, which no topology needs`);
  }
  const lineCounter = new LineCounter();
  const yaml = parseDocument(text, { lineCounter, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return `${source}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  };
  if (yaml.errors.length > 0) {
    throw new LabError('invalid', yaml.errors.map((error) => `${at(error.pos[0])}: ${error.message}`).join('\n'));
  }
  const ranges = expandRanges(yaml);
  if (ranges.length > 0) {
    throw new LabError('invalid', ranges.map(({ offset, message }) => `${at(offset)}: ${message}`).join('\n'));
  }
  const parsed = topologyDocument.safeParse(yaml.toJS());
  const resources = parsed.success ? parsed.data.resources.map((raw) => validateResource(raw)) : [];
  const problems = parsed.success
    ? [...brokenRules(parsed.data), ...resourceProblems(resources)]
    : parsed.error.issues.flatMap(issueProblems);
  if (problems.length > 0 || !parsed.success) {
    const lines = problems
      .map((problem) => ({ ...problem, offset: offsetOf(yaml, problem.path) }))
      .sort((a, b) => a.offset - b.offset)
      .map(({ path, message, offset }) => `${at(offset)}: ${path.length === 0 ? '' : `${path.join('.')}: `}${message}`);
    throw new LabError('invalid', lines.join('\n'));
  }
  return toTopology(
    parsed.data,
    resources.flatMap((validated, index) => {
      if (!validated.ok) return [];
      const path = ['resources', index];
      const lineOf = (field: readonly PropertyKey[]) => lineCounter.linePos(offsetOf(yaml, [...path, ...field])).line;
      const ruleLines = ruleLinesOf(parsed.data.resources[index], lineOf);
      return [withSource({ resource: validated.resource, source: `${source}:${lineOf([])}`, ruleLines })];
    }),
  );
}

function issueProblems(issue: z.core.$ZodIssue): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = issue.message.split(', ');
    return issue.keys.map((key) => ({
      path: [...issue.path, key],
      message: `there is no such field${suggestion(key, known)}`,
    }));
  }
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => ({ path: issue.path, message }));
  return [{ path: issue.path, message: issue.message }];
}

/** Node resources are made from the hosts, so one in the list would have two sources. */
function resourceProblems(resources: readonly Validated[]): Problem[] {
  return resources.flatMap((validated, index): Problem[] => {
    const path = ['resources', index];
    if (!validated.ok) return validated.problems.map((problem) => ({ ...problem, path: [...path, ...problem.path] }));
    if (validated.resource.kind !== 'Node') return [];
    return [{ path: [...path, 'kind'], message: 'a Node is made from each host; say it under hosts' }];
  });
}

/** Where in the text a field stands: a scalar itself, else its key; the nearest thing around it when it is missing. */
function offsetOf(yaml: Document, path: readonly PropertyKey[]): number {
  let node: unknown = yaml.contents;
  let offset = rangeStart(node) ?? 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      if (pair === undefined) return offset;
      node = pair.value;
      offset = (isScalar(node) ? rangeStart(node) : undefined) ?? rangeStart(pair.key) ?? offset;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      offset = rangeStart(node) ?? offset;
    } else return offset;
  }
  return offset;
}

function rangeStart(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0]; // yaml types collections' items as unknown
}

function toTopology(document: TopologyDocument, resources: readonly AnyResource[]): Topology {
  return {
    name: document.name,
    description: document.description,
    segments: document.segments,
    hosts: Object.entries(document.hosts).map(([name, host]) => ({
      name,
      plugs: plugs(host.links),
      addresses: host.addresses,
      gateways: host.gateways,
      asNumber: host.asNumber,
      routeReflectorClusterID: host.routeReflectorClusterID,
      labels: host.labels,
      bgp: host.bgp,
      blocks: host.blocks,
    })),
    routers: Object.entries(document.routers).map(([name, { links, runs, ...router }]) => ({
      name,
      plugs: plugs(links),
      runs,
      ...router,
    })),
    workloads: Object.entries(document.workloads).map(([name, workload]) => ({ name, ...workload })),
    resources,
    checks: document.checks.flatMap(toCheck),
  };
}

function plugs(links: TopologyDocument['hosts'][string]['links']): Plug[] {
  return Object.entries(links).map(([name, plug]) => ({ interface: name, ...plug }));
}

/** The schema lets exactly one kind through. */
function toCheck({ reach, unreachable, sessions, route, neighbour }: TopologyDocument['checks'][number]): Check[] {
  return [
    ...(reach === undefined ? [] : [{ kind: 'reach', among: reach } as const]),
    ...(unreachable === undefined ? [] : [{ kind: 'unreachable', ...unreachable } as const]),
    ...(sessions === undefined ? [] : [{ kind: 'sessions', ...sessions } as const]),
    ...(route === undefined ? [] : [{ kind: 'route', ...route } as const]),
    ...(neighbour === undefined ? [] : [{ kind: 'neighbour', ...neighbour } as const]),
  ];
}
