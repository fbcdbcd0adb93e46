/**
 * Changes the members of nftables' sets in one network namespace, straight by netlink.
 *
 * libnftables reads chains and sets anew at each run, which takes tens of milliseconds where there are thousands;
 * the kernel needs microseconds for a member. What is said here, the kernel checks: a set that is not there, a member
 * that is not there to be removed, and prefixes that overlap are refused, and then nothing has changed.
 *
 * Each call is one transaction, sent and answered in one synchronous step. Called by node/filter/nftables-backend.ts.
 */
import { closeSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { formatCidr } from '../net/cidr.ts';
import { formatIp } from '../net/ip.ts';
import type { SetElement, SetElementsChange } from '../net/set-element.ts';
import { KernelError } from './kernel.ts';
import { type ElementsMessage, encodeElementBatch } from './netlink/nftables.ts';
import { NETLINK_PROTOCOL, openControlSocket } from './netlink-socket.ts';
import { inOpenNamespace, openNamespace } from './network-namespace.ts';

/** What one transaction takes: some 6 MB of a send buffer. Beyond, libnftables' own time is no matter any more. */
export const ELEMENTS_IN_TRANSACTION_MAX = 100_000;
/** Elements that a message of an error names. */
const ELEMENTS_NAMED_MAX = 3;

export interface NftElements {
  /** All changes to sets of the table `inet NAME`, or none. Throws KernelError with the set and what was asked of it. */
  change(tableName: string, changes: readonly SetElementsChange[]): void;
  close(): void;
}

/** In the namespace at a path, or in the calling thread's own. Throws KernelError. */
export function openNftElements(namespacePath?: string): NftElements {
  const namespace = openNamespace(namespacePath);
  try {
    const name = namespacePath ?? "the thread's network namespace";
    const control = inOpenNamespace(namespace, name, () => openControlSocket(NETLINK_PROTOCOL.netfilter));
    return {
      change: (tableName, changes) => {
        const batch = encodeElementBatch(tableName, changes);
        const count = changes.reduce((sum, { removed, added }) => sum + removed.length + added.length, 0);
        if (count === 0) return;
        assert(count <= ELEMENTS_IN_TRANSACTION_MAX, `${count} elements, of ${ELEMENTS_IN_TRANSACTION_MAX} at most`);
        const refused = control.transaction(batch.map(({ request }) => request));
        if (refused === undefined) return;
        const what = describe(tableName, batch[refused.index]?.about);
        throw new KernelError(refused.error.code, `${what}: ${refused.error.message}`);
      },
      close: () => control.close(),
    };
  } finally {
    closeSync(namespace);
  }
}

function describe(tableName: string, about: ElementsMessage | undefined): string {
  if (about === undefined) return `table inet ${tableName}: changing members of sets`;
  const { verb, set, elements } = about;
  const named = elements.slice(0, ELEMENTS_NAMED_MAX).map(textOf).join(', ');
  const more = elements.length > ELEMENTS_NAMED_MAX ? `, … (${elements.length})` : '';
  return `set inet ${tableName} ${set}: ${verb === 'add' ? 'adding' : 'removing'} ${named}${more}`;
}

function textOf(element: SetElement): string {
  switch (element.kind) {
    case 'address':
      return formatIp(element.address);
    case 'prefix':
      return formatCidr(element.prefix);
    case 'port':
      return `${formatIp(element.address)} . ${element.protocol} . ${element.port}`;
  }
}
