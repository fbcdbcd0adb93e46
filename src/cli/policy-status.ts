/**
 * `muslin policy status`: where policies are in force and where they lag or fail, how many endpoints they choose, and which of
 * their rules have never met a packet.
 *
 * Read from the store: the policies, and what every node's agent says of itself there within seconds of a change. What an agent
 * that is gone has said is passed over, and the nodes that say nothing are named. JSON has all of it.
 */
import { Command } from 'commander';
import type { PolicyResource } from '../felix/calc/policy/policy-source.ts';
import { identify } from '../lab/process.ts';
import { type Column, renderTable } from '../lib/table.ts';
import type { AnyResource } from '../model/kinds.ts';
import { KINDS } from '../model/kinds.ts';
import { nearMiss } from '../model/near-miss.ts';
import { resourceOfEntry } from '../model/resource-entry.ts';
import { kindPrefix } from '../model/resource-key.ts';
import type { PolicyReport } from '../node/filter/policy-report.ts';
import { readPolicyReport } from '../node/filter/policy-report.ts';
import type { Store } from '../store/store.ts';
import { PRESENCE_PREFIX, STATUS_PREFIX } from '../store/store.ts';
import { counted } from './bgp-view.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf } from './output.ts';
import type { NodeStanding, PolicyStanding, RuleStanding } from './policy-standing.ts';
import { policyStandings } from './policy-standing.ts';
import { storeOption, withStore } from './store-option.ts';
import { show, type ViewOptions, viewOption } from './view.ts';

const FRESHNESS = 'nodes tell of changes within 10 s, and of packets every reportingInterval (30 s)\n';

interface Standings {
  readonly policies: readonly PolicyStanding[];
  /** Nodes of whose agents nothing is known. */
  readonly silentNodes: readonly string[];
}

const COLUMNS: readonly Column<PolicyStanding>[] = [
  { title: 'POLICY', cell: ({ policy }) => policy },
  { title: 'TIER', cell: ({ tier }) => tier },
  { title: 'NODES', cell: ({ nodes }) => String(nodes.length) },
  { title: 'ENDPOINTS', cell: ({ endpoints }) => String(endpoints) },
  { title: 'NEVER HIT', cell: neverHitText },
  { title: 'STATE', cell: stateText },
];

const NODE_COLUMNS: readonly Column<NodeStanding>[] = [
  { title: 'NODE', cell: ({ node }) => node },
  { title: 'STATE', cell: ({ state }) => state },
  { title: 'REVISION', cell: ({ revision }) => revision ?? '-' },
  { title: 'ENDPOINTS', cell: ({ endpoints }) => String(endpoints) },
  { title: 'ERROR', cell: ({ error }) => error },
];

const RULE_COLUMNS: readonly Column<RuleStanding>[] = [
  { title: 'RULE', cell: ({ direction, index }) => `${direction} ${index}` },
  { title: 'ACTION', cell: ({ action }) => action },
  {
    title: 'PACKETS',
    cell: ({ packets }) => (packets === undefined ? '?' : packets === 0 ? 'never hit' : String(packets)),
  },
  { title: 'FILE', cell: ({ file }) => file ?? '-' },
];

export function policyStatusCommand(): Command {
  return new Command('status')
    .description('Show on which nodes policies are in force, which lag or fail, and which rules were never hit.')
    .argument('[policy]', 'a name, NAMESPACE/NAME, or with its kind: "NetworkPolicy shop/db"')
    .addOption(storeOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExamples:\n  muslin policy status\n  muslin policy status shop/db')
    .action(async (name: string | undefined, options: ViewOptions, command: Command) => {
      const all = await withStore(command, (store) => readStandings(store, outputOf(command)));
      const chosen = { ...all, policies: name === undefined ? all.policies : policiesNamed(name, all.policies) };
      show(options, chosen, () => (name === undefined ? overview(chosen) : details(chosen)) + silenceText(chosen));
    });
}

async function readStandings(store: Store, output: Output): Promise<Standings> {
  const policies: PolicyResource[] = [];
  for (const { kind } of KINDS.filter((each) => each.kind.endsWith('NetworkPolicy'))) {
    for (const entry of (await store.list(kindPrefix(kind))).entries) {
      const reading = resourceOfEntry(entry);
      if (!reading.ok) output.talk(`warning: left out: ${reading.problem}\n`);
      else if (isPolicy(reading.resource)) policies.push(reading.resource);
    }
  }
  const reports = await livingReports(store);
  const heard = new Set(reports.map(({ node }) => node));
  const nodes = (await store.list(kindPrefix('Node'))).entries.map(({ key }) => key.slice(key.lastIndexOf('/') + 1));
  return { policies: policyStandings(policies, reports), silentNodes: nodes.filter((node) => !heard.has(node)) };
}

function isPolicy(resource: AnyResource): resource is PolicyResource {
  return resource.kind.endsWith('NetworkPolicy');
}

async function livingReports(store: Store): Promise<PolicyReport[]> {
  const reports = (await store.list(STATUS_PREFIX)).entries.flatMap(({ value }) => readPolicyReport(value) ?? []);
  // A store that is not shared between machines is used on the one that we are on.
  if (store.keepPresent === undefined) return reports.filter(({ pid }) => identify(pid) !== undefined);
  const present = new Set((await store.list(PRESENCE_PREFIX)).entries.map(({ key }) => key));
  return reports.filter(({ node }) => present.has(PRESENCE_PREFIX + node));
}

/** The policies that the strongest reading of `name` fits. */
function policiesNamed(name: string, policies: readonly PolicyStanding[]): readonly PolicyStanding[] {
  const place = (policy: string) => policy.slice(policy.indexOf(' ') + 1);
  const fits: readonly ((policy: string) => boolean)[] = [
    (policy) => policy === name,
    (policy) => place(policy) === name,
    (policy) => place(policy).split('/')[1] === name,
  ];
  for (const fit of fits) {
    const found = policies.filter(({ policy }) => fit(policy));
    if (found.length > 0) return found;
  }
  const near = nearMiss(
    name,
    policies.map(({ policy }) => place(policy)),
  );
  const remedy = near === undefined ? '`muslin policy status` shows those that there are' : `is it "${near}"?`;
  throw new CommandError(EXIT_CODE.notFound, `no policy "${name}"; ${remedy}`);
}

function overview({ policies }: Standings): string {
  return policies.length === 0 ? 'no policies\n' : `${renderTable(COLUMNS, policies)}\n${FRESHNESS}`;
}

function details({ policies }: Standings): string {
  return `${policies.map(detailText).join('\n')}\n${FRESHNESS}`;
}

function detailText(standing: PolicyStanding): string {
  const { policy, tier, selector, file, revision, nodes, rules, leftOut } = standing;
  const lines: readonly (readonly [string, string])[] = [
    ['policy', policy],
    ['tier', tier],
    ['chooses', selector === '' ? 'all()' : selector],
    ['file', file ?? '-'],
    ['revision', revision],
    ['state', stateText(standing)],
    ...leftOut.map((reason) => ['left out', reason] as const),
  ];
  return [
    lines.map(([title, value]) => `${title.padEnd(10)}${value}\n`).join(''),
    nodes.length === 0 ? '' : `\n${renderTable(NODE_COLUMNS, nodes)}`,
    rules.length === 0 ? '' : `\n${renderTable(RULE_COLUMNS, rules)}`,
  ].join('');
}

function neverHitText({ rules }: PolicyStanding): string {
  const known = rules.filter(({ packets }) => packets !== undefined);
  if (known.length === 0) return '-';
  return `${known.filter(({ packets }) => packets === 0).length} of ${counted(known.length, 'rule')}`;
}

/** "in force", or what is in the way, the worst first. */
function stateText({ nodes, staged, leftOut }: PolicyStanding): string {
  const named = (state: NodeStanding['state']) => nodes.filter((each) => each.state === state).map(({ node }) => node);
  const [failed, behind] = [named('failed'), named('behind')];
  const parts = [
    ...(failed.length === 0 ? [] : [`failed on ${failed.join(', ')}`]),
    ...(behind.length === 0 ? [] : [`behind on ${behind.join(', ')}`]),
    ...(leftOut.length === 0 ? [] : [`${counted(leftOut.length, 'rule')} left out`]),
  ];
  if (parts.length > 0) return parts.join('; ');
  if (staged) return 'staged, not enforced';
  return nodes.length === 0 ? 'chooses nobody' : 'in force';
}

function silenceText({ silentNodes }: Standings): string {
  if (silentNodes.length === 0) return '';
  return `nothing heard from ${silentNodes.join(', ')}: the agent does not run, or has just begun\n`;
}
