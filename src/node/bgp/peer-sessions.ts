/**
 * Sessions between nodes: the mesh, and what mesh and BGPPeers have in common.
 *
 * Two nodes have one session, over IPv4 where both have it, else over IPv6; it carries all families that both have. Of each
 * pair one side dials and the other waits, so that two connections cannot collide: the side with the lower address
 * waits, and both ends agree because both compare the same two addresses. Reflectors (nodes with a cluster identifier)
 * are not in the mesh. Both ends are muslin, so BFD watches the path unless somebody says otherwise.
 */
import type { PeerConfig } from '../../bgp/peer-config.ts';
import { INTERNAL_PEER } from '../../bgp/peer-config.ts';
import type { BgpConfiguration, EffectiveBgp } from '../../model/bgp-configuration.ts';
import { DEFAULT_BGP_CONFIGURATION, effectiveBgp, nodeBgpConfigurationName } from '../../model/bgp-configuration.ts';
import type { Node } from '../../model/node.ts';
import type { Asn } from '../../net/asn.ts';
import { asn } from '../../net/asn.ts';
import { containsIp, parseInterfaceAddress } from '../../net/cidr.ts';
import { compareIp } from '../../net/ip.ts';
import { exportPolicyFor, importPolicyFor } from './bgp-policy.ts';
import type { BgpResources, NodeAddresses, SecretReader, Self, WantedSession } from './bgp-resources.ts';
import { type PeerSettings, parseDurationMs } from './peer-settings.ts';

/** Notices a dead peer in under a second, and leaves a loaded machine time to send. */
const BFD_ON_LINK = { intervalMs: 300, multiplier: 3, multihop: false } as const;
const BFD_THROUGH_ROUTERS = { ...BFD_ON_LINK, multihop: true } as const;
/** Twelve bits in the capability (RFC 4724). */
const RESTART_TIME_SECONDS_MAX = 0xfff;

/** By the resource, which never changes: with each change of a node all sessions with all others are worked out anew. */
const knownAddresses = new WeakMap<Node, NodeAddresses>();

/** The addresses that a node speaks BGP from, with their subnets. */
export function nodeAddresses(node: Node): NodeAddresses {
  const known = knownAddresses.get(node) ?? readAddresses(node);
  knownAddresses.set(node, known);
  return known;
}

function readAddresses(node: Node): NodeAddresses {
  const ipv4 = parseInterfaceAddress(node.spec.bgp?.ipv4Address ?? '');
  const ipv6 = parseInterfaceAddress(node.spec.bgp?.ipv6Address ?? '');
  return { ...(ipv4 && { 4: ipv4 }), ...(ipv6 && { 6: ipv6 }) };
}

/** The settings that hold on node `name`. */
export function bgpSettings(name: string, configurations: ReadonlyMap<string, BgpConfiguration>): EffectiveBgp {
  return effectiveBgp(
    configurations.get(DEFAULT_BGP_CONFIGURATION),
    configurations.get(nodeBgpConfigurationName(name)),
  );
}

export function asnOf(node: Node, settings: EffectiveBgp): Asn {
  return asn(node.spec.bgp?.asNumber ?? settings.asNumber);
}

/** What every session from resources begins with: policies are explicit, so that RFC 8212 silences none of them. */
export function baseSettings(
  self: Self,
  { pools, filters }: Pick<BgpResources, 'pools' | 'filters'>,
  session: { readonly external: boolean; readonly filters: readonly string[] },
): PeerSettings & { readonly missing: readonly string[] } {
  const chain = {
    filters: session.filters.flatMap((name) => filters.get(name) ?? []),
    missing: session.filters.filter((name) => !filters.has(name)),
    external: session.external,
  };
  return {
    ...INTERNAL_PEER,
    importPolicy: importPolicyFor(chain),
    exportPolicy: exportPolicyFor({ ...chain, pools: inOrder(pools), configuration: self.settings }),
    missing: chain.missing,
  };
}

/** How we reach another node; undefined where the two have no family in common. */
export function pathTo(self: Self, node: Node) {
  const theirs = nodeAddresses(node);
  const families = ([4, 6] as const).filter(
    (family) => self.addresses[family] !== undefined && theirs[family] !== undefined,
  );
  const [session] = families;
  const own = session === undefined ? undefined : self.addresses[session];
  const address = session === undefined ? undefined : theirs[session]?.address;
  if (own === undefined || address === undefined) return undefined;
  const multihop = !containsIp(own.subnet, address);
  return {
    address,
    families,
    sourceAddress: own.address,
    passive: compareIp(own.address, address) < 0,
    bfd: multihop ? BFD_THROUGH_ROUTERS : BFD_ON_LINK,
  };
}

/** Reflectors treat peers of their AS as clients, but for those of the same cluster (RFC 4456). */
export function isClient(self: Self, peer: { readonly asn: Asn; readonly clusterId: string | undefined }): boolean {
  const own = self.node.spec.bgp?.routeReflectorClusterID;
  return own !== undefined && peer.asn === self.asn && peer.clusterId !== own;
}

/** "90s" as the time that a peer keeps our routes while we restart. */
export function restartTime(text: string | undefined): {
  readonly seconds: number | undefined;
  readonly problem?: string;
} {
  if (text === undefined) return { seconds: undefined };
  const seconds = Math.ceil((parseDurationMs(text) ?? 0) / 1000);
  if (seconds <= RESTART_TIME_SECONDS_MAX) return { seconds };
  const problem = `the restart time ${text} is cut to ${RESTART_TIME_SECONDS_MAX}s, the most that BGP can say`;
  return { seconds: RESTART_TIME_SECONDS_MAX, problem };
}

/** The sessions with all other nodes, where the mesh is on and neither end is a reflector. */
export function meshSessions(self: Self, resources: BgpResources, readSecret: SecretReader): WantedSession[] {
  const { settings, node } = self;
  if (!settings.nodeToNodeMeshEnabled || node.spec.bgp?.routeReflectorClusterID !== undefined) return [];
  const reference = settings.nodeMeshPassword?.secretKeyRef;
  const reading = reference === undefined ? undefined : readSecret(reference);
  const origin = 'mesh';
  const absent = { config: undefined, route: undefined, explicit: false };
  if (reading !== undefined && 'problem' in reading && reference?.optional !== true) {
    return [{ ...absent, origin, problems: [`no session, since nodeMeshPassword cannot be read: ${reading.problem}`] }];
  }
  const password = reading !== undefined && 'secret' in reading ? reading.secret : undefined;
  const restart = restartTime(settings.nodeMeshMaxRestartTime);
  const bases = { true: base(true), false: base(false) };
  function base(external: boolean): PeerSettings {
    const { missing: _, ...settings } = baseSettings(self, resources, { external, filters: [] });
    return settings;
  }
  return inOrder(resources.nodes).flatMap((other): WantedSession[] => {
    if (other.metadata.name === node.metadata.name || other.spec.bgp?.routeReflectorClusterID !== undefined) return [];
    const path = pathTo(self, other);
    if (path === undefined) return [];
    const theirs = bgpSettings(other.metadata.name, resources.configurations);
    const peerAsn = asnOf(other, theirs);
    const config: PeerConfig = {
      ...bases[`${peerAsn !== self.asn}`],
      ...path,
      port: theirs.listenPort,
      asn: peerAsn,
      password,
      restartTimeSeconds: restart.seconds,
      description: `mesh, Node ${other.metadata.name}`,
    };
    const problems = restart.problem === undefined ? [] : [`nodeMeshMaxRestartTime: ${restart.problem}`];
    return [{ ...absent, origin, config, problems }];
  });
}

/** Whether two wishes come to the same session, whoever wishes. */
export function sameSettings(a: PeerConfig, b: PeerConfig): boolean {
  return JSON.stringify({ ...a, description: '' }) === JSON.stringify({ ...b, description: '' });
}

/** The values by their names: what comes out must not depend on the order in which resources came. */
export function inOrder<Value>(map: ReadonlyMap<string, Value>): Value[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
}
