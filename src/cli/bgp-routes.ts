/**
 * `muslin bgp routes`: every candidate for every prefix, and which one is best.
 *
 * The agent is asked over its control socket; JSON is its list of RouteView as it stands. What is best here is what the
 * kernel is given; whether it has arrived there is `muslin node status`'s to tell.
 */
import { Command } from 'commander';
import type { RouteView } from '../bgp/contract.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { agentRoutes } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { show, type ViewOptions, viewOption } from './view.ts';

const COLUMNS: readonly Column<RouteView>[] = [
  { title: 'PREFIX', cell: ({ prefix }) => prefix },
  { title: 'NEXT HOP', cell: ({ nextHop }) => nextHop },
  { title: 'FROM', cell: ({ from }) => from },
  { title: 'BEST', cell: ({ best, stale }) => `${best ? 'yes' : 'no'}${stale ? ' (stale)' : ''}` },
  { title: 'LOCAL PREF', cell: ({ localPreference }) => localPreference?.toString() ?? '' },
  { title: 'AS PATH', cell: ({ asPath }) => asPath },
];

export function bgpRoutesCommand(): Command {
  return new Command('routes')
    .description('Show every route that BGP knows, our own among them, and which one is best for its prefix.')
    .addOption(socketOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin bgp routes -o json')
    .action(async (options: ViewOptions & { readonly socket: string }) => {
      const routes = await askAgent(options.socket, agentRoutes);
      show(options, routes, () => (routes.length === 0 ? 'no routes\n' : renderTable(COLUMNS, routes)));
    });
}
