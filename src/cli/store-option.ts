/**
 * Which store a command works on, and what becomes of the store's errors.
 *
 * In this order: the flag --store, the variable MUSLIN_STORE, `store:` in the agent's configuration file, the default.
 */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { Option } from 'commander';
import { ConfigurationError, readAgentConfiguration } from '../node/configuration.ts';
import { DEFAULT_STORE, openStore } from '../store/open-store.ts';
import type { Store } from '../store/store.ts';
import { StoreError } from '../store/store.ts';
import type { ExitCode } from './exit-code.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

const CONFIGURATION_FILE = '/etc/muslin/muslin.yaml';

const HINT = '(the store is chosen by --store, MUSLIN_STORE, or store: in /etc/muslin/muslin.yaml)';

export function storeOption(): Option {
  return new Option('--store <url>', `the datastore, such as ${DEFAULT_STORE}`);
}

/** Opens the command's store, hands it to `work`, and closes it. Store errors become CommandErrors. */
export async function withStore<Result>(command: Command, work: (store: Store) => Promise<Result>): Promise<Result> {
  try {
    const store = await openStore(chosenStore(command.optsWithGlobals<{ store?: string }>().store));
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  } catch (error) {
    throw commandErrorOf(error);
  }
}

/** The store's address, given what --store says. A configuration file that is wrong stops nobody who needs it not. */
export function chosenStore(flag: string | undefined): string {
  return flag ?? environmentStore() ?? configuredStore(CONFIGURATION_FILE) ?? DEFAULT_STORE;
}

export interface StoreCandidate {
  /** What may choose a store. */
  readonly from: string;
  /** What it has chosen; undefined when it is not set. */
  readonly value: string | undefined;
}

/** All that may choose a store, the strongest first, as `chosenStore` goes through it. */
export function storeCandidates(flag: string | undefined): StoreCandidate[] {
  return [
    { from: '--store', value: flag },
    { from: 'MUSLIN_STORE', value: environmentStore() },
    { from: `store: in ${CONFIGURATION_FILE}`, value: configuredStore(CONFIGURATION_FILE) },
    { from: 'default', value: DEFAULT_STORE },
  ];
}

/** A variable that is empty counts as not set, as everywhere in the shell. */
function environmentStore(): string | undefined {
  return process.env['MUSLIN_STORE'] || undefined;
}

/** The store that the file names; undefined when there is no such file. */
function configuredStore(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return readAgentConfiguration(path).store;
  } catch (error) {
    if (error instanceof ConfigurationError) throw new CommandError(EXIT_CODE.usage, error.message);
    throw error;
  }
}

const EXIT_CODES: Readonly<Record<StoreError['code'], ExitCode>> = {
  unavailable: EXIT_CODE.unreachable,
  corrupt: EXIT_CODE.unreachable,
  closed: EXIT_CODE.unreachable,
  compacted: EXIT_CODE.failure,
  full: EXIT_CODE.failure,
  'read-only': EXIT_CODE.failure,
  invalid: EXIT_CODE.usage,
};

/** A CommandError for a StoreError; anything else as it is. */
export function commandErrorOf(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  const hint = error.code === 'unavailable' || error.code === 'invalid' ? `\n${HINT}` : '';
  return new CommandError(EXIT_CODES[error.code], `${error.message}${hint}`);
}
