/**
 * `muslin node status`: the agent on one screen.
 *
 * Whether it is in sync with store and kernel comes first, then what is not yet so and why, then the BGP sessions. The exit
 * code is 0 for an agent that answers, whatever it says; scripts read the JSON, which is its AgentStatus.
 */
import { Command } from 'commander';
import { wallClockNow } from '../lib/clock.ts';
import { type Column, renderTable } from '../lib/table.ts';
import type { AgentStatus, ObjectState } from '../node/control-api.ts';
import { agentStatus } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { PEER_COLUMNS } from './bgp-peers.ts';
import { durationText, show, type ViewOptions, viewOption } from './view.ts';

const OBJECT_COLUMNS: readonly Column<ObjectState>[] = [
  { title: 'NOT YET IN THE KERNEL', cell: ({ object }) => object },
  { title: 'STATE', cell: ({ state }) => state },
  { title: 'ERROR', cell: ({ error }) => error },
];

export function nodeStatusCommand(): Command {
  return new Command('status')
    .description('Show whether the agent is in sync with store and kernel, and its BGP sessions.')
    .addOption(socketOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin node status')
    .action(async (options: ViewOptions & { readonly socket: string }) => {
      const status = await askAgent(options.socket, agentStatus);
      show(options, status, () => statusText(status));
    });
}

function statusText({ node, version, pid, startedAt, store, felix, bgp, warnings }: AgentStatus): string {
  const up = durationText(Math.max(0, wallClockNow() - Date.parse(startedAt)));
  const lines = [
    ['node', `${node} (muslin ${version}, pid ${pid}, up ${up})`],
    ['store', store],
    ['in sync', felix.inSync ? 'yes' : `no: ${felix.reasons.join('; ')}`],
    ['kernel', `${felix.endpoints} endpoints, ${felix.routes} routes`],
    ['filter', felix.filter.why === '' ? felix.filter.title : `${felix.filter.title} (${felix.filter.why})`],
    ...felix.tunnels.map((tunnel) => ['tunnel', tunnelText(tunnel)] as const),
    ['bgp', bgp.problem === '' ? sessionsText(bgp) : `not running: ${bgp.problem}`],
    ...bgp.problems.map((problem) => ['', problem] as const),
    ...warnings.map((warning) => ['warning', warning] as const),
  ] as const;
  const open = [...felix.unsettled, ...felix.withoutDevice];
  return [
    lines.map(([name, value]) => `${name.padEnd(10)}${value}\n`).join(''),
    open.length === 0 ? '' : `\n${renderTable(OBJECT_COLUMNS, open)}`,
    bgp.peers.length === 0 ? '' : `\n${renderTable(PEER_COLUMNS, bgp.peers)}`,
  ].join('');
}

function tunnelText({
  device,
  madeBy,
  address,
  mtu,
  hosts,
  receives,
}: AgentStatus['felix']['tunnels'][number]): string {
  if (madeBy === '') return `${device} ${address}: not there yet`;
  const state = receives ? '' : ', does not receive yet';
  return `${device} ${address} by ${madeBy}, MTU ${mtu}, ${hosts} other ${hosts === 1 ? 'host' : 'hosts'}${state}`;
}

function sessionsText({ asn, routerId, peers, announced, learned }: AgentStatus['bgp']): string {
  const established = peers.filter(({ state }) => state === 'Established').length;
  const self = `AS ${asn ?? 'unknown'}, router id ${routerId ?? 'none'}`;
  return `${self}, ${established} of ${peers.length} sessions, ${announced} announced, ${learned} learned`;
}
