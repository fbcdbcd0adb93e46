/**
 * `muslin endpoint describe`: what holds for one container, rule by rule, in the order in which its packets meet the rules.
 *
 * Counts are the kernel's, since the rule's chain was last written. A policy's rules are shared by the endpoints of the host
 * that it chooses: such counts are marked. JSON is the agent's EndpointView.
 */
import { Command } from 'commander';
import { wallClockNow } from '../lib/clock.ts';
import { type Column, renderTable } from '../lib/table.ts';
import type { EndpointView, RuleView, ServiceView } from '../node/control-api.ts';
import { endpointView } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { counted } from './bgp-view.ts';
import { bareAddress, ownerText } from './rule-owner.ts';
import { durationText, show, type ViewOptions, viewOption } from './view.ts';

const RULE_COLUMNS: readonly Column<RuleView>[] = [
  { title: 'TIER', cell: ({ owner }) => owner.tier ?? '-' },
  { title: 'OWNER', cell: ({ owner }) => ownerText(owner) },
  { title: 'RULE', cell: ({ owner }) => (owner.index === undefined ? '-' : String(owner.index)) },
  { title: 'ACTION', cell: ({ action }) => action },
  { title: 'PACKETS', cell: ({ packets, shared }) => (packets === undefined ? '?' : `${packets}${shared ? '*' : ''}`) },
  { title: 'FILE', cell: ({ file }) => file ?? '-' },
];

export function endpointDescribeCommand(): Command {
  return new Command('describe')
    .description('Show what holds for a container of this host: its policies and rules in order, with counters.')
    .argument('<endpoint>', 'NAMESPACE/NAME, a name, a device or an address')
    .addOption(socketOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin endpoint describe default/a1')
    .action(async (name: string, options: ViewOptions & { readonly socket: string }) => {
      const view = await askAgent(options.socket, (socket) => endpointView(socket, name));
      show(options, view, () => endpointText(view));
    });
}

function endpointText(view: EndpointView): string {
  const { name, workload, device, addresses, floatingIps, services, profiles, staged } = view;
  const lines: readonly (readonly [string, string])[] = [
    ['workload', workload],
    ['endpoint', name],
    ['device', device],
    ['addresses', addresses.map(bareAddress).join(', ')],
    ['in force', inForceText(view)],
    ...floatingIps.map(({ external, internal, outgoing }) => {
      return ['floating', `${external} leads to ${internal}${outgoing ? ', and is what it speaks with' : ''}`] as const;
    }),
    ...services.map((service) => ['service', serviceText(service)] as const),
    ['profiles', profiles.join(', ') || 'none'],
    ...staged.map((policy) => ['staged', `${policy} would choose it; it is not enforced`] as const),
  ];
  const shared = [...view.ingress, ...view.egress].some((rule) => rule.shared);
  return [
    lines.map(([title, value]) => `${title.padEnd(11)}${value}\n`).join(''),
    `\nIngress, what may reach it (chain cali-tw-${device}):\n`,
    rulesText(view.ingress),
    `\nEgress, what it may send (chain cali-fw-${device}):\n`,
    rulesText(view.egress),
    shared ? '\n* shared: packets of all containers of this host that the rule is for\n' : '',
  ].join('');
}

const SERVICE_STATES: Readonly<Record<ServiceView['state'], string>> = {
  announced: 'announced',
  'in no pool': 'without effect: in no IPPool for LoadBalancer',
  'in no range': 'not announced: in none of serviceLoadBalancerIPs',
  'excluded node': 'not announced: the node is excluded by label',
};

function serviceText({ address, here, everywhere, state }: ServiceView): string {
  const count = counted(everywhere, 'container');
  return `${address} for ${count}, ${here} here; ${SERVICE_STATES[state]}`;
}

/** Protections are the same for every container: only those are shown that have done something. */
function rulesText(rules: readonly RuleView[]): string {
  const idle = rules.filter(({ owner, packets }) => owner.kind === 'protection' && packets === 0);
  const rest = rules.filter((rule) => !idle.includes(rule));
  const note =
    idle.length === 0 ? '' : `and ${counted(idle.length, 'protection')} that denied nothing (-o json has them)\n`;
  return renderTable(RULE_COLUMNS, rest) + note;
}

function inForceText({ inForce, pending, since }: EndpointView): string {
  if (!inForce) return `no: ${pending}`;
  if (since === undefined) return 'yes';
  return `yes, for ${durationText(Math.max(0, wallClockNow() - Date.parse(since)))} as it is (since ${since})`;
}
