/**
 * BGPPeer: sessions that nodes have beyond the mesh, with routers of the network or with each other.
 *
 * `node` or `nodeSelector` says which nodes have the session; with neither, all have. The other end is either an address
 * (`peerIP`, with its AS number), or every node that `peerSelector` chooses, whose address and AS number its own Node
 * tells, or the workloads on the node that `localWorkloadSelector` chooses. Route reflectors (RFC 4456) are nodes with a
 * cluster identifier that all others peer with in the second way.
 */
import { z } from 'zod';
import type { Ip } from '../net/ip.ts';
import { formatIp, ip, parseIp } from '../net/ip.ts';
import { passwordField } from './bgp-fields.ts';
import { addressField, asnField, durationField, mapping, nameField, selectorField, textField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Resource } from './resource.ts';

/** A 32-bit integer in Calico's API; how often one's own AS may be in a path has no other bound. */
const LOCAL_AS_COUNT_MAX = 0x7fffffff;

/** The TTL of IP has 8 bits. */
const HOPS_MAX = 255;

/** Bounds the work for each route; nobody reads a longer chain. */
const FILTERS_MAX = 100;

export interface PeerAddress {
  readonly address: Ip;
  /** Absent where the peer's listen port is not said here. */
  readonly port?: number;
}

/** `10.0.0.1`, `10.0.0.1:1790`, `fd00::1` or `[fd00::1]:1790`. */
export function parsePeerAddress(text: string): PeerAddress | undefined {
  const plain = parseIp(text);
  if (plain !== undefined) return { address: plain };
  const parts = /^(?:\[(?<six>[^\]]*)\]|(?<four>[^:]*)):(?<port>[0-9]{1,5})$/.exec(text)?.groups;
  const address = parseIp(parts?.['six'] ?? parts?.['four'] ?? '');
  const port = Number(parts?.['port']);
  const family = parts?.['six'] === undefined ? 4 : 6;
  if (address?.family !== family || port < 1 || port > 65535) return undefined;
  return { address, port };
}

function formatPeerAddress({ address, port }: PeerAddress): string {
  const text = formatIp(address);
  if (port === undefined) return text;
  return address.family === 6 ? `[${text}]:${port}` : `${text}:${port}`;
}

const peerAddressField = () =>
  textField((text) => {
    const parsed = parsePeerAddress(text);
    if (parsed !== undefined) return formatPeerAddress(parsed);
    return { problem: `${quote(text)} is not a peer; write 10.0.0.1, 10.0.0.1:179, fd00::1 or [fd00::1]:179` };
  });

const spec = mapping({
  node: nameField().exactOptional(),
  nodeSelector: selectorField().exactOptional(),
  peerIP: peerAddressField().exactOptional(),
  peerSelector: selectorField().exactOptional(),
  localWorkloadSelector: selectorField().exactOptional(),
  asNumber: asnField().exactOptional(),
  localASNumber: asnField().exactOptional(),
  numAllowedLocalASNumbers: z.int().min(0).max(LOCAL_AS_COUNT_MAX).exactOptional(),
  sourceAddress: z.enum(['UseNodeIP', 'None']).default('UseNodeIP'),
  nextHopMode: z.enum(['Auto', 'Self', 'Keep']).exactOptional(),
  keepOriginalNextHop: z.boolean().exactOptional(),
  password: passwordField().exactOptional(),
  maxRestartTime: durationField().exactOptional(),
  keepaliveTime: durationField().exactOptional(),
  ttlSecurity: z.int().min(0).max(HOPS_MAX).exactOptional(),
  reachableBy: addressField().exactOptional(),
  filters: z.array(nameField()).max(FILTERS_MAX).readonly().exactOptional(),
  reversePeering: z.enum(['Auto', 'Manual']).exactOptional(),
});

export type BgpPeerSpec = Readonly<z.infer<typeof spec>>;
export type BgpPeer = Resource<'BGPPeer', BgpPeerSpec>;

/** The fields that say what is at the other end; one of them is needed. */
const OTHER_ENDS = ['peerIP', 'peerSelector', 'localWorkloadSelector'] as const;

function check({ spec }: BgpPeer): Problem[] {
  const problems: Problem[] = [];
  const wrong = (field: keyof BgpPeerSpec, message: string) => problems.push({ path: ['spec', field], message });
  if (spec.node !== undefined && spec.nodeSelector !== undefined) {
    wrong('nodeSelector', `excludes node ${quote(spec.node)}; remove one of the two`);
  }
  const [end, ...others] = OTHER_ENDS.filter((field) => spec[field] !== undefined);
  for (const other of others) wrong(other, `excludes ${end}; remove one of the two`);
  if (end === undefined) {
    problems.push({ path: ['spec'], message: `names no peer; set one of ${OTHER_ENDS.join(', ')}` });
  } else if (end === 'peerSelector' && spec.asNumber !== undefined) {
    wrong('asNumber', 'comes from the nodes that peerSelector chooses; remove it here');
  } else if (end !== 'peerSelector' && spec.asNumber === undefined) {
    wrong('asNumber', `is required with ${end}`);
  }
  if (spec.nextHopMode !== undefined && spec.keepOriginalNextHop === true) {
    wrong(
      'keepOriginalNextHop',
      'is the old form of nextHopMode; remove it, and set nextHopMode to Keep if that is meant',
    );
  }
  if (spec.reachableBy !== undefined) problems.push(...reachableByProblems(spec.reachableBy, spec.peerIP));
  return problems;
}

/** The gateway is the next hop of a host route to the peer, so there must be a peer, of the gateway's family. */
function reachableByProblems(gateway: string, peer: string | undefined): Problem[] {
  const path = ['spec', 'reachableBy'];
  if (peer === undefined) return [{ path, message: 'is the way to peerIP; set that too' }];
  if (parsePeerAddress(peer)?.address.family === ip(gateway).family) return [];
  return [{ path, message: `${quote(gateway)} is of another family than peerIP ${quote(peer)}` }];
}

export const bgpPeerKind = kindOf<'BGPPeer', BgpPeerSpec>({
  kind: 'BGPPeer',
  plural: 'bgppeers',
  shortNames: ['bgpp'],
  namespaced: false,
  spec,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'PEERIP', cell: ({ spec }) => spec.peerIP ?? spec.peerSelector ?? spec.localWorkloadSelector ?? '' },
    { title: 'NODE', cell: ({ spec }) => spec.node ?? spec.nodeSelector ?? '(global)' },
    { title: 'ASN', cell: ({ spec }) => String(spec.asNumber ?? '') },
    { title: 'FILTERS', cell: ({ spec }) => (spec.filters ?? []).join(','), wide: true },
  ],
});
