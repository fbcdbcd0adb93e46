/**
 * Opening the backend that was chosen, in this host's network namespace.
 *
 * Which backends may have rules of ours is written down in the run directory, which a reboot empties as it empties the
 * kernel: so a process that uses another backend than the one before it knows what to clear away.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { countForeignRules } from '../../felix/dataplane/iptables/save.ts';
import { openIptables } from '../../kernel/iptables.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { Nft } from '../../kernel/nft.ts';
import { nftSupport, openNft } from '../../kernel/nft.ts';
import type { BackendChoice } from './backend-choice.ts';
import type { FilterBackend } from './filter-backend.ts';
import { iptablesBackend } from './iptables-backend.ts';
import { openNftablesBackend } from './nftables-backend.ts';

/** Throws KernelError where it cannot work, with what is missing. */
export function openFilterBackend(choice: BackendChoice, namespacePath?: string): FilterBackend {
  if (choice.kind === 'nftables') return openNftablesBackend(namespacePath);
  const iptables = openIptables({
    namespacePath,
    variant: choice.variant ?? 'auto',
    countForeignRules,
  });
  return iptablesBackend(iptables, choice.insertMode);
}

/** Why nftables does not work here; undefined when it does. */
export function nftablesProblem(): string | undefined {
  try {
    const nft = openNft();
    const support = nftSupport(nft);
    nft.close();
    return support.ok ? undefined : support.reason;
  } catch (error) {
    if (error instanceof KernelError) return error.message;
    throw error;
  }
}

/** nft for the guard of cut connections, which stands beside either backend; undefined where there is none. */
export function openGuard(): Nft | undefined {
  try {
    return openNft();
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}

const CHOICES: ReadonlyMap<string, Pick<BackendChoice, 'kind' | 'variant'>> = new Map([
  ['nftables', { kind: 'nftables', variant: undefined }],
  ['iptables-legacy', { kind: 'iptables', variant: 'legacy' }],
  ['iptables-nft', { kind: 'iptables', variant: 'nft' }],
]);

/** The backends that are written down in `path`, opened; those that are here no more have nothing to be cleared. */
export function openLeftovers(path: string): FilterBackend[] {
  return recorded(path).flatMap((identity) => {
    const choice = CHOICES.get(identity);
    if (choice === undefined) return [];
    try {
      return [openFilterBackend({ ...choice, insertMode: 'insert', refreshMs: undefined, why: '' })];
    } catch (error) {
      if (error instanceof KernelError) return [];
      throw error;
    }
  });
}

/** Writes down which backends may have rules of ours from now on. */
export function recordBackends(path: string, identities: readonly string[]): void {
  writeFileSync(path, `${identities.join('\n')}\n`, { mode: 0o600 });
}

function recorded(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch {
    return []; // no agent has run here since the machine was started
  }
}
