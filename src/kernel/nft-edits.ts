/**
 * Edits nftables' tables in one network namespace, straight by netlink: chains of plain rules, members of sets, dispatches.
 *
 * libnftables reads chains and sets anew at each run, which takes a millisecond at the least and tens of them where there are
 * thousands; the kernel needs microseconds for a container's chains. What is said here, the kernel checks: a set or chain that is
 * not there, a member that is not there to be removed, prefixes that overlap and a chain that something leads to are refused, and
 * then nothing has changed.
 *
 * Each call is one transaction, sent and answered in one synchronous step. Called by node/filter/nftables-backend.ts.
 */
import { closeSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { countOfEdits, type TableEdits } from '../net/table-edit.ts';
import { KernelError } from './kernel.ts';
import { encodeTableBatch } from './netlink/nftables.ts';
import { NETLINK_PROTOCOL, openControlSocket } from './netlink-socket.ts';
import { inOpenNamespace, openNamespace } from './network-namespace.ts';

/** What one transaction takes: some 6 MB of a send buffer. Beyond, libnftables' own time is no matter any more. */
export const EDITS_IN_TRANSACTION_MAX = 100_000;

export interface NftEdits {
  /** All edits of the table `inet NAME`, or none. Throws KernelError with what was edited and what was asked of it. */
  change(tableName: string, edits: TableEdits): void;
  close(): void;
}

/** In the namespace at a path, or in the calling thread's own. Throws KernelError. */
export function openNftEdits(namespacePath?: string): NftEdits {
  const namespace = openNamespace(namespacePath);
  try {
    const name = namespacePath ?? "the thread's network namespace";
    const control = inOpenNamespace(namespace, name, () => openControlSocket(NETLINK_PROTOCOL.netfilter));
    return {
      change: (tableName, edits) => {
        const count = countOfEdits(edits);
        if (count === 0) return;
        assert(count <= EDITS_IN_TRANSACTION_MAX, `${count} edits, of ${EDITS_IN_TRANSACTION_MAX} at most`);
        const batch = encodeTableBatch(tableName, edits);
        const refused = control.transaction(batch.map(({ request }) => request));
        if (refused === undefined) return;
        const what = batch[refused.index]?.what() ?? `table inet ${tableName}: a transaction`;
        throw new KernelError(refused.error.code, `${what}: ${refused.error.message}`);
      },
      close: () => control.close(),
    };
  } finally {
    closeSync(namespace);
  }
}
