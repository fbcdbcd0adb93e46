/**
 * `muslin bgp peers`: the sessions, as the agent has them.
 *
 * The agent is asked over its control socket; JSON is its list of PeerView as it stands. The columns are here, beside the
 * command that is named after them, and `muslin node status` shows the same table.
 */
import { Command } from 'commander';
import type { PeerView } from '../bgp/contract.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { agentStatus } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { durationText, show, type ViewOptions, viewOption } from './view.ts';

export const PEER_COLUMNS: readonly Column<PeerView>[] = [
  { title: 'PEER', cell: ({ address }) => address },
  { title: 'AS', cell: ({ asn }) => String(asn) },
  { title: 'STATE', cell: ({ state, stale }) => (stale ? `${state} (stale)` : state) },
  { title: 'FOR', cell: ({ forMs }) => durationText(forMs) },
  { title: 'RECEIVED', cell: ({ prefixesReceived }) => String(prefixesReceived) },
  { title: 'SENT', cell: ({ prefixesSent }) => String(prefixesSent) },
  { title: 'INFO', cell: info },
];

/** What keeps a session from being up; what ended the one before is of no interest once it is. */
function info({ state, description, lastError }: PeerView): string {
  return state === 'Established' || lastError === '' ? description : lastError;
}

export function bgpPeersCommand(): Command {
  return new Command('peers')
    .description("Show the agent's BGP peers: state, since when, prefixes received and sent.")
    .addOption(socketOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin bgp peers')
    .action(async (options: ViewOptions & { readonly socket: string }) => {
      const { peers } = (await askAgent(options.socket, agentStatus)).bgp;
      show(options, peers, () => (peers.length === 0 ? 'no peers\n' : renderTable(PEER_COLUMNS, peers)));
    });
}
