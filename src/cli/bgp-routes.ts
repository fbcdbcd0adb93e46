/**
 * `muslin bgp routes`: candidates for prefixes and which one is best, or what one peer sends or is sent.
 *
 * The agent is asked for a page at a time. A table for people ends after ROWS_MAX rows with a hint, since nobody reads more;
 * JSON and YAML have everything. What is best here is what the kernel is given; whether it has arrived there is
 * `muslin node status`'s to tell.
 */
import { Command, Option } from 'commander';
import type { RouteView } from '../bgp/observe/views.ts';
import { type Column, renderTable } from '../lib/table.ts';
import type { RouteQuestion } from '../node/control-api.ts';
import { bgpRoutes, type RouteScope } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { type BgpViewOptions, bgpViewOption, showList, shownColumns } from './bgp-view.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

const COLUMNS: readonly Column<RouteView>[] = [
  { title: 'PREFIX', cell: ({ prefix }) => prefix },
  { title: 'NEXT HOP', cell: ({ nextHop }) => nextHop },
  { title: 'FROM', cell: ({ from }) => from },
  { title: 'PATH ID', cell: ({ pathId }) => pathId?.toString() ?? '', wide: true },
  { title: 'BEST', cell: bestText },
  { title: 'LOCAL PREF', cell: ({ localPreference }) => localPreference?.toString() ?? '' },
  { title: 'MED', cell: ({ med }) => med?.toString() ?? '', wide: true },
  { title: 'ORIGIN', cell: ({ origin }) => origin, wide: true },
  { title: 'AS PATH', cell: ({ asPath }) => asPath },
  { title: 'COMMUNITIES', cell: ({ communities }) => communities.join(' '), wide: true },
  { title: 'ORIGINATOR', cell: ({ originatorId }) => originatorId ?? '', wide: true },
  { title: 'CLUSTERS', cell: ({ clusterList }) => clusterList.join(' '), wide: true },
];

/** A terminal scrolls past more, and columns cannot be aligned before the last row is known. */
const ROWS_MAX = 1_000;

function bestText({ best, multipath, stale }: RouteView): string {
  return `${best ? 'yes' : multipath ? 'equal' : 'no'}${stale ? ' (stale)' : ''}`;
}

interface RoutesOptions extends BgpViewOptions {
  readonly socket: string;
  readonly peer?: string;
  readonly received?: string;
  readonly advertised?: string;
  readonly longer?: true;
  readonly covering?: true;
  readonly family?: '4' | '6';
  readonly all?: true;
}

export function bgpRoutesCommand(): Command {
  return new Command('routes')
    .description('Show the routes that BGP knows, our own among them, and which one is best for its prefix.')
    .argument('[prefix]', 'only this prefix; for an address the longest prefix around it')
    .option('--peer <peer>', 'only candidates from this peer, or "local" for our own')
    .addOption(
      new Option('--received <peer>', 'what the peer sends us, before the import policy').conflicts('advertised'),
    )
    .option('--advertised <peer>', 'what we send the peer')
    .addOption(new Option('--longer', 'also the prefixes inside of PREFIX').conflicts('covering'))
    .option('--covering', 'also the prefixes around PREFIX')
    .addOption(new Option('--family <family>', 'only IPv4 or IPv6').choices(['4', '6']))
    .option('--all', `a table of more than ${ROWS_MAX} rows, too`)
    .addOption(socketOption())
    .addOption(bgpViewOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin bgp routes 10.1.2.3\n  muslin bgp routes 10.1.0.0/16 --longer -o wide\n  muslin bgp routes --advertised 192.168.1.2 -o json',
    )
    .action(async (prefix: string | undefined, options: RoutesOptions) => {
      const scope = scopeOf(prefix, options);
      const { output } = options;
      await askAgent(options.socket, async (socket) => {
        const pages = bgpRoutes(socket, scope);
        if (output === 'json' || output === 'yaml') await showList(output, pages);
        else await showTable(pages, options);
      });
    });
}

function scopeOf(prefix: string | undefined, options: RoutesOptions): RouteScope {
  const { peer, received, advertised, longer, covering, family } = options;
  if (prefix === undefined && (longer === true || covering === true))
    throw new CommandError(
      EXIT_CODE.usage,
      `--${longer ? 'longer' : 'covering'} says what is meant by PREFIX: name one`,
    );
  const question: RouteQuestion = {
    ...(prefix !== undefined && { prefix }),
    ...(longer && { match: 'longer' }),
    ...(covering && { match: 'covering' }),
    ...(peer !== undefined && { peer }),
    ...(family !== undefined && { family }),
  };
  const neighbor = received ?? advertised;
  const view = received !== undefined ? 'received' : advertised !== undefined ? 'advertised' : 'routes';
  return { view, neighbor, question };
}

async function showTable(pages: AsyncIterable<readonly RouteView[]>, options: RoutesOptions): Promise<void> {
  const rows: RouteView[] = [];
  let isCut = false;
  for await (const page of pages) {
    for (const route of page) rows.push(route);
    isCut = options.all !== true && rows.length > ROWS_MAX;
    if (isCut) break;
  }
  const shown = isCut ? rows.slice(0, ROWS_MAX) : rows;
  const table = shown.length === 0 ? 'no routes\n' : renderTable(shownColumns(COLUMNS, options), shown);
  process.stdout.write(table);
  if (isCut) {
    process.stderr.write(
      `only ${ROWS_MAX} routes are shown; --all shows all, "PREFIX --longer" a part, -o json all for programs\n`,
    );
  }
}
