/**
 * `muslin endpoint list`: the containers of this host, and whether what holds for them is in force.
 *
 * From the agent's memory, not from the store: what is shown is what this host does. JSON is the agent's EndpointSummary[].
 */
import { Command } from 'commander';
import { type Column, renderTable } from '../lib/table.ts';
import type { EndpointSummary } from '../node/control-api.ts';
import { endpointSummaries } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { bareAddress } from './rule-owner.ts';
import { show, type ViewOptions, viewOption } from './view.ts';

const COLUMNS: readonly Column<EndpointSummary>[] = [
  { title: 'WORKLOAD', cell: ({ workload }) => workload },
  { title: 'DEVICE', cell: ({ device }) => device },
  { title: 'ADDRESSES', cell: ({ addresses }) => addresses.map(bareAddress).join(',') },
  { title: 'POLICIES', cell: ({ policies }) => String(policies) },
  { title: 'IN FORCE', cell: ({ inForce, pending }) => (inForce ? 'yes' : `no: ${pending}`) },
];

export function endpointListCommand(): Command {
  return new Command('list')
    .description("Show this host's containers, and whether their rules and routes are in force.")
    .addOption(socketOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin endpoint list')
    .action(async (options: ViewOptions & { readonly socket: string }) => {
      const endpoints = await askAgent(options.socket, endpointSummaries);
      show(options, endpoints, () =>
        endpoints.length === 0
          ? 'no containers on this host\n'
          : `${renderTable(COLUMNS, endpoints)}\nthe rules of one: muslin endpoint describe ${endpoints[0]?.workload}\n`,
      );
    });
}
