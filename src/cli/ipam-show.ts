/**
 * `muslin ipam show`: how full pools are, and with `--show-blocks` which node has which block; with `--ip` one address.
 */
import { Command } from 'commander';
import type { PoolUsage } from '../ipam/usage.ts';
import { usageOf } from '../ipam/usage.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { readSurvey } from '../node/addresses/address-survey.ts';
import { addressArgument, explain } from './ipam-explain.ts';
import { outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import { type ViewOptions, viewOption } from './view.ts';

interface ShowOptions extends ViewOptions {
  readonly showBlocks?: boolean;
  readonly ip?: string;
}

/** A pool or one of its blocks, as a line. */
interface Row {
  readonly grouping: string;
  readonly cidr: string;
  readonly addresses: number;
  readonly inUse: number;
  readonly free: number;
  readonly owner: string;
  readonly borrowed: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'GROUPING', cell: ({ grouping }) => grouping },
  { title: 'CIDR', cell: ({ cidr }) => cidr },
  { title: 'IPS TOTAL', cell: ({ addresses }) => countText(addresses) },
  { title: 'IPS IN USE', cell: ({ inUse, addresses }) => `${inUse} (${percent(inUse, addresses)})` },
  { title: 'IPS FREE', cell: ({ free, addresses }) => `${countText(free)} (${percent(free, addresses)})` },
];

const BLOCK_COLUMNS: readonly Column<Row>[] = [
  ...COLUMNS,
  { title: 'NODE', cell: ({ owner }) => owner },
  { title: 'BORROWED', cell: ({ grouping, borrowed }) => (grouping === 'Block' ? String(borrowed) : '') },
];

export function ipamShowCommand(): Command {
  return new Command('show')
    .description('Show how full the pools are, their blocks, or who has one address.')
    .option('--show-blocks', 'also each block, its node, and how many of its addresses others have borrowed')
    .option('--ip <address>', 'one address')
    .addOption(storeOption())
    .addOption(viewOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin ipam show\n  muslin ipam show --show-blocks\n  muslin ipam show --ip 10.0.0.7',
    )
    .action(async (options: ShowOptions, command: Command) => {
      const { ip } = options;
      if (ip !== undefined) return explain(command, addressArgument(ip), options);
      const pools = usageOf(await withStore(command, readSurvey));
      const json = options.showBlocks === true ? pools : pools.map(({ blocks: _, ...pool }) => pool);
      const text = options.output === 'json' ? `${JSON.stringify(json, undefined, 2)}\n` : tableOf(pools, options);
      outputOf(command).result(text);
    });
}

function tableOf(pools: readonly PoolUsage[], { showBlocks }: ShowOptions): string {
  if (pools.length === 0) return 'there is no IPPool; make one with muslin apply\n';
  const rows = pools.flatMap((pool): Row[] => {
    const title = pool.name === null ? 'Blocks outside of pools' : `IP Pool${pool.isDisabled ? ' (disabled)' : ''}`;
    const blocks = pool.blocks.map((block) => ({ ...block, grouping: 'Block', owner: block.owner ?? '(none)' }));
    const line = { ...pool, grouping: title, owner: '', borrowed: 0 };
    return showBlocks === true ? [line, ...blocks] : [line];
  });
  return renderTable(showBlocks === true ? BLOCK_COLUMNS : COLUMNS, rows);
}

/** Pools of IPv6 have more addresses than anybody wants to see digits of. */
function countText(count: number): string {
  return count < 2 ** 40 ? String(count) : count.toExponential(4).replace('+', '');
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.round((part / whole) * 100)}%`;
}
