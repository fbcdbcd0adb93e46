/**
 * `muslin bgp peers`: the sessions, as the agent has them.
 *
 * The agent is asked over its control socket; JSON is its list of PeerView as it stands. The columns are here, beside the
 * command that is named after them, and `muslin node status` shows the same table.
 */
import { Command } from 'commander';
import type { PeerView } from '../bgp/observe/views.ts';
import { type Column, renderTable } from '../lib/table.ts';
import type { BgpStatus } from '../node/control-api.ts';
import { bgpStatus } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { type BgpViewOptions, bgpViewOption, showBgp, shownColumns } from './bgp-view.ts';
import { durationText } from './view.ts';

const COLUMNS: readonly Column<PeerView>[] = [
  { title: 'PEER', cell: ({ address }) => address },
  { title: 'AS', cell: ({ asn }) => String(asn) },
  { title: 'TYPE', cell: ({ type }) => type, wide: true },
  { title: 'ROUTER ID', cell: ({ routerId }) => routerId ?? '', wide: true },
  { title: 'STATE', cell: ({ state, stale }) => (stale ? `${state} (stale)` : state) },
  { title: 'FOR', cell: ({ forMs }) => durationText(forMs) },
  { title: 'HOLD', cell: ({ holdTimeSeconds: hold }) => (hold === undefined ? '' : `${hold}s`), wide: true },
  { title: 'RECEIVED', cell: ({ prefixesReceived }) => String(prefixesReceived) },
  { title: 'ACCEPTED', cell: ({ prefixesAccepted }) => String(prefixesAccepted), wide: true },
  { title: 'SENT', cell: ({ prefixesSent }) => String(prefixesSent) },
  { title: 'INFO', cell: info },
];

/** For a terminal. */
export const PEER_COLUMNS: readonly Column<PeerView>[] = shownColumns(COLUMNS, { output: 'table' });

/** What keeps a session from being up; what ended the one before is of no interest once it is. */
function info({ state, description, lastError }: PeerView): string {
  return state === 'Established' || lastError === '' ? description : lastError;
}

export function bgpPeersCommand(): Command {
  return new Command('peers')
    .description("Show the agent's BGP peers: state, since when, prefixes received and sent.")
    .addOption(socketOption())
    .addOption(bgpViewOption())
    .addHelpText('after', '\nExample:\n  muslin bgp peers -o wide')
    .action(async (options: BgpViewOptions & { readonly socket: string }) => {
      const status = await askAgent(options.socket, bgpStatus);
      process.stderr.write(problemsText(status));
      const { peers } = status;
      await showBgp(options, peers, () =>
        peers.length === 0 ? 'no peers\n' : renderTable(shownColumns(COLUMNS, options), peers),
      );
    });
}

/** Why there are no sessions, or not those that somebody has asked for; a line each. */
function problemsText({ problem, problems }: BgpStatus): string {
  const lines = problem === '' ? problems : [`BGP does not run: ${problem}`, ...problems];
  return lines.map((line) => `${line}\n`).join('');
}
