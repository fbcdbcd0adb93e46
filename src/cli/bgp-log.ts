/**
 * `muslin bgp log`: what has happened to the session with one peer, the latest last.
 *
 * The agent keeps the last entries of each peer in memory; all of them are in its own log, too. JSON is the `log` of the
 * agent's NeighborView.
 */
import { Command } from 'commander';
import type { SessionLogEntry } from '../bgp/observe/views.ts';
import { bgpNeighbor } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { type BgpViewOptions, bgpViewOption, showBgp } from './bgp-view.ts';
import { durationText } from './view.ts';

export function bgpLogCommand(): Command {
  return new Command('log')
    .description('Show what has happened to the session with a peer: each change of state, and why.')
    .argument('<peer>', 'its address, or a word of its description, such as the name of its node')
    .addOption(socketOption())
    .addOption(bgpViewOption())
    .addHelpText('after', '\nExample:\n  muslin bgp log 192.168.1.2')
    .action(async (peer: string, options: BgpViewOptions & { readonly socket: string }) => {
      const { log } = await askAgent(options.socket, (socket) => bgpNeighbor(socket, peer));
      await showBgp(options, log, () => (log.length === 0 ? 'nothing has happened yet\n' : logText(log)));
    });
}

/** A line an entry, in the order in which they came. */
export function logText(log: readonly SessionLogEntry[]): string {
  const oldestFirst = log.toSorted((one, other) => other.agoMs - one.agoMs);
  const ages = oldestFirst.map(({ agoMs }) => `${durationText(agoMs)} ago`);
  const width = Math.max(...ages.map((age) => age.length));
  return oldestFirst.map(({ text }, index) => `${(ages[index] ?? '').padStart(width)}  ${text}\n`).join('');
}
