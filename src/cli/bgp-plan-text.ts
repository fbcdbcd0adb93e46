/**
 * A plan as text: for each step what changes in all, what is in danger, and a table of the nodes.
 *
 * Nodes with equal numbers share a line, so that a thousand hosts of which the same is true are one; which they are, and
 * everything about one of them, is what `--node` and `-o json` are for.
 */
import { renderTable } from '../lib/table.ts';
import type { NodeDetail, NodeView, PlanView, StepView } from '../simulation/plan-view.ts';

/** A screen; more kinds of nodes are rare. */
const LINES_MAX = 20;
const LISTED_MAX = 40;

export function planText({ steps, externalPeers, problems }: PlanView): string {
  const texts = steps.map((step, index) => stepText(step, steps.length > 1 ? `step ${index + 1}: ` : ''));
  const notes = [
    ...(externalPeers.length === 0
      ? []
      : [
          `note: ${listed(externalPeers)}: no node, so nobody knows here what it says; "uncertain" depends on whether it passes routes on`,
        ]),
    ...problems.map((problem) => `note: ${problem}`),
  ];
  return [...texts, ...notes.map((note) => `${note}\n`)].join('\n');
}

function stepText(step: StepView, prefix: string): string {
  const { sessions, routes, nodes } = step;
  const head = `${prefix}${step.title}: ${step.changes.length === 0 ? 'no resource changes' : listed(step.changes)}\n`;
  if (nodes.length === 0) return `${head}  no session and no route changes\n`;
  const lines = [
    `sessions  ${sessions.before} -> ${sessions.after}: ${sessions.gained} gained, ${sessions.lost} lost, ${sessions.reset} reset`,
    `routes    ${routes.before} -> ${routes.after}: ${routes.gained} gained, ${routes.lost} lost, ${routes.moved} moved to other next hops${uncertain(routes.uncertain)}`,
    ...dangers(step),
  ];
  const table = renderTable(COLUMNS, rowsOf(nodes)).replaceAll(/^/gm, '  ').trimEnd();
  const details = nodes.flatMap(({ node, detail }) => (detail === undefined ? [] : [detailText(node, detail)]));
  return `${head}${lines.map((line) => `  ${line}\n`).join('')}\n${table}\n${details.join('')}`;
}

function uncertain(count: number): string {
  return count === 0 ? '' : `, ${count} uncertain`;
}

function dangers({ nodes, unreachable, interruptedBy }: StepView): string[] {
  const cutOff = nodes.filter((node) => node.unreachable > 0);
  const lines =
    unreachable === 0
      ? []
      : [
          `DANGER    ${plural(cutOff.length, 'node')} no longer ${cutOff.length === 1 ? 'reaches' : 'reach'} what others have: ${plural(unreachable, 'way')} lost`,
        ];
  for (const { change, nodes: count, prefixes } of interruptedBy) {
    lines.push(
      `WARNING   ${change} takes away what ${plural(count, 'node')} ${count === 1 ? 'needs' : 'need'} until something new is up (${plural(prefixes, 'way')}): make that in a step before`,
    );
  }
  return lines;
}

interface Row {
  readonly names: readonly string[];
  readonly view: NodeView;
}

const COLUMNS = [
  {
    title: 'NODE',
    cell: ({ names }: Row) => (names.length > 1 ? `${names[0]} and ${names.length - 1} more` : (names[0] ?? '')),
  },
  { title: 'SESSIONS', cell: ({ view }: Row) => arrow(view.sessions) },
  { title: '+', cell: ({ view }: Row) => cell(view.sessions.gained) },
  { title: '-', cell: ({ view }: Row) => cell(view.sessions.lost) },
  { title: 'RESET', cell: ({ view }: Row) => cell(view.sessions.reset) },
  { title: 'ROUTES', cell: ({ view }: Row) => arrow(view.routes) },
  { title: '+', cell: ({ view }: Row) => cell(view.routes.gained) },
  {
    title: '-',
    cell: ({ view }: Row) =>
      `${cell(view.routes.lost)}${view.routes.uncertain > 0 ? ` ?${view.routes.uncertain}` : ''}`,
  },
  { title: 'MOVED', cell: ({ view }: Row) => cell(view.routes.moved) },
  { title: 'INTERRUPTED', cell: ({ view }: Row) => cell(view.interrupted) },
  { title: 'CUT OFF', cell: ({ view }: Row) => cell(view.unreachable) },
];

function arrow({ before, after }: { readonly before: number; readonly after: number }): string {
  return before === after ? String(after) : `${before} -> ${after}`;
}

function cell(count: number): string {
  return count === 0 ? '-' : String(count);
}

/** Those with equal numbers in one row, those of which most is lost first. */
function rowsOf(nodes: readonly NodeView[]): Row[] {
  const groups = Map.groupBy(nodes, ({ node: _, detail: __, ...numbers }) => JSON.stringify(numbers));
  const rows = [...groups.values()].flatMap(([first, ...more]): Row[] =>
    first === undefined ? [] : [{ names: [first, ...more].map(({ node }) => node), view: first }],
  );
  const harm = ({ view }: Row): number => view.unreachable * 1e6 + view.interrupted;
  const sorted = rows.toSorted((one, other) => harm(other) - harm(one));
  if (sorted.length <= LINES_MAX) return sorted;
  const rest = sorted.slice(LINES_MAX - 1);
  const last = rest[0];
  // Their numbers differ: the worst of them stands for them.
  return last === undefined
    ? sorted
    : [...sorted.slice(0, LINES_MAX - 1), { ...last, names: rest.flatMap(({ names }) => names) }];
}

function detailText(node: string, detail: NodeDetail): string {
  const lists: [string, readonly string[]][] = [
    ['session gained', detail.sessionsGained],
    ['session lost', detail.sessionsLost],
    ['session reset', detail.sessionsReset],
    ['route gained', detail.routesGained],
    ['route lost', detail.routesLost],
    ['route uncertain', detail.routesUncertain],
    ['route moved', detail.routesMoved.map(({ prefix, before, after }) => `${prefix} ${before} -> ${after}`)],
    ['interrupted', detail.interrupted.map(({ prefix, change }) => `${prefix} by ${change}`)],
    ['cut off from', detail.unreachable],
  ];
  const lines = lists.flatMap(([title, items]) => {
    const more = items.length > LISTED_MAX ? [`${title.padEnd(16)}and ${items.length - LISTED_MAX} more`] : [];
    return [...items.slice(0, LISTED_MAX).map((item) => `${title.padEnd(16)}${item}`), ...more];
  });
  return `\n  ${node}\n${lines.map((line) => `    ${line}\n`).join('')}`;
}

function listed(items: readonly string[]): string {
  const shown = items.slice(0, 5).join(', ');
  return items.length > 5 ? `${shown} and ${items.length - 5} more` : shown;
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
