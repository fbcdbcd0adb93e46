/**
 * `muslin config`: which settings a command runs with, and where each comes from.
 *
 * Answers "why does it look into another store than I think?" without opening any. Passwords in a store's address are struck
 * out.
 */
import { Command } from 'commander';
import { renderTable } from '../lib/table.ts';
import { outputOf } from './output.ts';
import type { StoreCandidate } from './store-option.ts';
import { storeCandidates, storeOption } from './store-option.ts';
import { type ViewOptions, viewOption } from './view.ts';

export function configCommand(): Command {
  return new Command('config')
    .description('show which store commands work on, and what has chosen it')
    .addOption(storeOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExample:\n  MUSLIN_STORE=/tmp/store.db muslin config')
    .action((options: ViewOptions & { readonly store?: string }, command: Command) => {
      const candidates = storeCandidates(options.store).map(({ from, value }) => ({
        from,
        value: withoutPassword(value),
      }));
      const winner = candidates.find(({ value }) => value !== undefined);
      const text =
        options.output === 'json'
          ? `${JSON.stringify({ store: winner, candidates }, undefined, 2)}\n`
          : tableOf(candidates, winner);
      outputOf(command).result(text);
    });
}

function tableOf(candidates: readonly StoreCandidate[], winner: StoreCandidate | undefined): string {
  return renderTable(
    [
      { title: 'STORE FROM', cell: ({ from }) => from },
      { title: 'VALUE', cell: ({ value }) => value ?? '(not set)' },
      { title: 'CHOSEN', cell: (candidate) => (candidate === winner ? 'yes' : '') },
    ],
    candidates,
  );
}

/** `etcd://user:word@host` without the word. */
function withoutPassword(url: string | undefined): string | undefined {
  return url?.replace(/^([a-z][a-z0-9+.-]*:\/\/[^/@:]*):[^/@]*@/i, '$1:***@');
}
