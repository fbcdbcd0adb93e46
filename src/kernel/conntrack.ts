/**
 * The kernel's connection tracking table of one network namespace: read in parts, and entries removed.
 *
 * A busy host has hundreds of thousands of entries. The kernel makes a dump as it is read, some hundred entries a
 * datagram; so the reader is a generator that reads one datagram a step, and who holds it sets the pace. What changes
 * meanwhile may be missing or be there twice; an entry made after the dump began has met the rules of its own time.
 *
 * Each dump has a socket of its own: one that is given up half-way leaves nothing behind, and entries can be removed
 * while it is being read. Called by node/filter/connection-cutter.ts.
 */
import { closeSync } from 'node:fs';
import type { ConntrackEntry } from '../net/conntrack-entry.ts';
import { KernelError } from './kernel.ts';
import { decodeConntrackEntry, encodeConntrackDump, encodeConntrackRemove } from './netlink/conntrack.ts';
import { type ControlSocket, NETLINK_PROTOCOL, openControlSocket } from './netlink-socket.ts';
import { inOpenNamespace, openNamespace } from './network-namespace.ts';

export interface Conntrack {
  /** The entries of both families, some hundred a step, which takes about a millisecond. Throws KernelError. */
  entries(): Generator<readonly ConntrackEntry[], void>;
  /** Whether there was such an entry to remove. Throws KernelError: EBUSY for one that hardware carries on with. */
  remove(entry: ConntrackEntry): boolean;
  close(): void;
}

/** Opens the table of the namespace at a path, or of the calling thread's own. Throws KernelError. */
export function openConntrack(namespacePath?: string): Conntrack {
  const namespace = openNamespace(namespacePath);
  const name = namespacePath ?? "the thread's network namespace";
  const open = (): ControlSocket =>
    inOpenNamespace(namespace, name, () => openControlSocket(NETLINK_PROTOCOL.netfilter));
  let control: ControlSocket;
  try {
    control = open();
  } catch (error) {
    closeSync(namespace);
    throw error;
  }
  return {
    *entries() {
      const reader = open();
      try {
        for (const messages of reader.dumpInParts(encodeConntrackDump())) {
          yield messages.map(decodeConntrackEntry).filter((entry) => entry !== undefined);
        }
      } finally {
        reader.close();
      }
    },
    remove: (entry) => {
      try {
        control.request(encodeConntrackRemove(entry));
        return true;
      } catch (error) {
        if (error instanceof KernelError && error.code === 'ENOENT') return false;
        throw error;
      }
    },
    close: () => {
      control.close();
      closeSync(namespace);
    },
  };
}
