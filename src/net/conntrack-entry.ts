/**
 * Connections as the kernel's connection tracking knows them, as values.
 *
 * An entry has two directions: `original` is the first packet as it came, `reply` what answers look like before any
 * translation is undone. So where the destination was translated, `reply.source` is whom the connection really leads to;
 * where the source was, `reply.destination` is what the other side sees.
 *
 * The contract between kernel/conntrack.ts, which reads and removes them, and felix/dataplane/connections.ts.
 */
import type { Family, Ip } from './ip.ts';

/** One direction of a connection. */
export interface Flow {
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  /** Undefined for protocols without ports. */
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  readonly icmp: { readonly type: number; readonly code: number; readonly id: number } | undefined;
  /** Where only this direction is in a zone of its own. */
  readonly zone: number | undefined;
}

export interface ConntrackEntry {
  readonly family: Family;
  readonly original: Flow;
  readonly reply: Flow;
  /** Bits of CONNTRACK_STATUS. */
  readonly status: number;
  readonly zone: number;
  readonly mark: number;
  /** Tells the entry from another with the same addresses and ports that comes after it. */
  readonly id: number;
}

/** enum ip_conntrack_status of linux/netfilter/nf_conntrack_common.h, as far as somebody here asks. */
export const CONNTRACK_STATUS = {
  /** Another connection announced this one, as FTP's control connection does: the kernel calls it related. */
  expected: 1 << 0,
  assured: 1 << 2,
  sourceTranslated: 1 << 4,
  destinationTranslated: 1 << 5,
  dying: 1 << 9,
} as const;
