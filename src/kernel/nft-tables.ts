/**
 * The tables and chains of nftables in the calling thread's network namespace, read straight by netlink.
 *
 * nft's own listings read rules along with them, and some versions end with a corrupted heap over rules of iptables. A kernel
 * without nftables has no tables. Called for `muslin node purge`.
 */
import type { NftChain, NftTable } from '../net/nft-objects.ts';
import { KernelError } from './kernel.ts';
import type { NetlinkMessage, NetlinkRequest } from './netlink/message.ts';
import { decodeChain, decodeTable, encodeChainsDump, encodeTablesDump } from './netlink/nftables.ts';
import { NETLINK_PROTOCOL, openControlSocket } from './netlink-socket.ts';

/** Throws KernelError. */
export function readNftTables(): NftTable[] {
  return read(encodeTablesDump(), decodeTable);
}

/** Throws KernelError. */
export function readNftChains(): NftChain[] {
  return read(encodeChainsDump(), decodeChain);
}

function read<Value>(request: NetlinkRequest, decode: (message: NetlinkMessage) => Value | undefined): Value[] {
  let values: Value[] = [];
  try {
    const control = openControlSocket(NETLINK_PROTOCOL.netfilter);
    try {
      const restart = (): void => {
        values = [];
      };
      control.dump(request, restart, (message) => {
        const value = decode(message);
        if (value !== undefined) values.push(value);
      });
    } finally {
      control.close();
    }
  } catch (error) {
    const isMissing = error instanceof KernelError && ['EOPNOTSUPP', 'EPROTONOSUPPORT', 'EINVAL'].includes(error.code);
    if (!isMissing) throw error;
    return [];
  }
  return values;
}
