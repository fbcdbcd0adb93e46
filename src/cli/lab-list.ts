/**
 * `muslin lab list`: the labs there are.
 *
 * Every shipped topology is a row, and so is each lab of which something is on the machine: up, being built, half-built, or
 * stale, which means that it can only be removed.
 */
import { Command } from 'commander';
import { type LabListing, listLabs } from '../lab/lab-status.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { labAction } from './lab-action.ts';
import { show, type ViewOptions, viewOption } from './view.ts';

const COLUMNS: readonly Column<LabListing>[] = [
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'CONDITION', cell: ({ condition }) => condition },
  { title: 'DESCRIPTION', cell: ({ description }) => description },
];

export function labListCommand(): Command {
  return new Command('list')
    .description('List the shipped labs and those that are up.')
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  muslin lab list')
    .action((options: ViewOptions) =>
      labAction(() => {
        const labs = listLabs();
        show(options, labs, () => renderTable(COLUMNS, labs));
      }),
    );
}
