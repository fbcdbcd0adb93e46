/**
 * What an operator can choose of the packet filter, resolved from FelixConfiguration and the pools.
 *
 * The same for the whole host. Made by `node/filter-settings.ts`, read by `felix/dataplane/filter`. The names follow
 * FelixConfiguration, whose documentation says what each does.
 */
import type { Cidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import type { PortRange } from './policy.ts';

/** Bits of the packet mark; each is a single bit of FelixConfiguration's mask, the lowest first. */
export interface MarkBits {
  /** The verdict so far is "allowed". */
  readonly accept: number;
  /** Skip the rest of the tier. */
  readonly pass: number;
  /** A rule said Deny: log, then drop. */
  readonly drop: number;
  readonly scratch0: number;
  readonly scratch1: number;
}

/** A port of the host that stays open whatever policy says. */
export interface FailsafePort {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
  /** The other side; undefined is anybody. */
  readonly net: Cidr | undefined;
}

export interface FilterSettings {
  readonly marks: MarkBits;
  /** What becomes of what a container sends to its own host, after its policy allowed it. */
  readonly endpointToHostAction: 'accept' | 'drop' | 'return';
  /** What "allowed" means to the chains after ours; "return" lets these have a say. */
  readonly filterAllowAction: 'accept' | 'return';
  readonly mangleAllowAction: 'accept' | 'return';
  readonly denyAction: 'drop' | 'reject';
  readonly dropInvalid: boolean;
  readonly logPrefix: string;
  readonly logRate:
    | { readonly count: number; readonly per: 'second' | 'minute' | 'hour' | 'day'; readonly burst: number }
    | undefined;
  readonly failsafeInbound: readonly FailsafePort[];
  readonly failsafeOutbound: readonly FailsafePort[];
  /** Undefined: this host does not take part in VXLAN. */
  readonly vxlan: { readonly port: number } | undefined;
  /** The port that containers may not send to, whether or not this host speaks VXLAN. */
  readonly vxlanPort: number;
  readonly ipip: boolean;
  readonly vxlanFromWorkloads: boolean;
  readonly ipipFromWorkloads: boolean;
  /** Whether a container may send from what its annotation or resource allows besides its own addresses. */
  readonly sourceSpoofing: boolean;
  readonly natOutgoing: {
    readonly ports: PortRange | undefined;
    /** Instead of the address of the device that the packet leaves by. IPv4. */
    readonly address: Ip | undefined;
    /** Whether what goes to hosts of the cluster keeps its source. */
    readonly excludeHosts: boolean;
    /** "eth0", or "eth+" for all that begin so. */
    readonly device: string | undefined;
  };
  readonly floatingIps: boolean;
  /** iptables: before or after what others have in the kernel's chains. */
  readonly insertMode: 'insert' | 'append';
  /** Whether a connection that policy no longer allows is cut. */
  readonly cutConnections: boolean;
}

/** What holds where no FelixConfiguration is; Calico's values but for `endpointToHostAction`, where it is that of its manifests. */
export const FILTER_SETTINGS_DEFAULTS: FilterSettings = {
  marks: { accept: 0x10000, pass: 0x20000, drop: 0x40000, scratch0: 0x80000, scratch1: 0x100000 },
  endpointToHostAction: 'accept',
  filterAllowAction: 'accept',
  mangleAllowAction: 'accept',
  denyAction: 'drop',
  dropInvalid: true,
  logPrefix: 'calico-packet',
  logRate: undefined,
  failsafeInbound: [],
  failsafeOutbound: [],
  vxlan: undefined,
  vxlanPort: 4789,
  ipip: false,
  vxlanFromWorkloads: false,
  ipipFromWorkloads: false,
  sourceSpoofing: false,
  natOutgoing: { ports: undefined, address: undefined, excludeHosts: false, device: undefined },
  floatingIps: false,
  insertMode: 'insert',
  cutConnections: true,
};
