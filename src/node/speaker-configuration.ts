/**
 * From resources to the speaker's configuration: who we are in BGP, and whom we talk to.
 *
 * By default every node peers with every other (the full mesh), over IPv4 where both have it, else over IPv6; one session
 * carries all families that both ends have. Of each pair one side dials and the other waits, so that two connections
 * cannot collide; the side with the lower address waits, and both ends agree because both compare the same two addresses.
 * Pure: the speaker itself knows nothing of resources.
 */
import type { PeerConfig, SpeakerConfig } from '../bgp/contract.ts';
import type { BgpConfiguration, EffectiveBgp } from '../model/bgp-configuration.ts';
import { DEFAULT_BGP_CONFIGURATION, effectiveBgp, nodeBgpConfigurationName } from '../model/bgp-configuration.ts';
import type { Node } from '../model/node.ts';
import type { Asn, RouterId } from '../net/asn.ts';
import { asn, routerId, routerIdFromIp } from '../net/asn.ts';
import type { InterfaceAddress } from '../net/cidr.ts';
import { parseInterfaceAddress } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { compareIp } from '../net/ip.ts';

/** RFC 4271 section 10 suggests 90 s; a dead peer's TCP usually says so earlier. */
const HOLD_TIME_SECONDS = 90;
/** BIRD's and FRR's default: how long peers keep our routes while we restart. */
const RESTART_TIME_SECONDS = 120;

export interface NodeAddresses {
  readonly 4?: InterfaceAddress;
  readonly 6?: InterfaceAddress;
}

/** The addresses that a node speaks BGP from, with their subnets. */
export function nodeAddresses(node: Node): NodeAddresses {
  const ipv4 = parseInterfaceAddress(node.spec.bgp?.ipv4Address ?? '');
  const ipv6 = parseInterfaceAddress(node.spec.bgp?.ipv6Address ?? '');
  return { ...(ipv4 && { 4: ipv4 }), ...(ipv6 && { 6: ipv6 }) };
}

export interface BgpResources {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly configurations: ReadonlyMap<string, BgpConfiguration>;
}

/** The settings that hold on node `name`. */
export function bgpSettings(name: string, { configurations }: BgpResources): EffectiveBgp {
  return effectiveBgp(
    configurations.get(DEFAULT_BGP_CONFIGURATION),
    configurations.get(nodeBgpConfigurationName(name)),
  );
}

/** The speaker's configuration on node `name`, or why it cannot speak yet. */
export function speakerConfiguration(
  name: string,
  resources: BgpResources,
): SpeakerConfig | { readonly reason: string } {
  const self = resources.nodes.get(name);
  if (self === undefined) return { reason: `there is no Node resource called ${name}` };
  const addresses = nodeAddresses(self);
  if (addresses[4] === undefined && addresses[6] === undefined) {
    return { reason: `Node ${name} has neither spec.bgp.ipv4Address nor spec.bgp.ipv6Address` };
  }
  const settings = bgpSettings(name, resources);
  const others = [...resources.nodes.values()].filter((node) => node.metadata.name !== name);
  return {
    asn: asnOf(self, settings),
    routerId: routerIdOf(name, addresses),
    nextHops: { ...(addresses[4] && { 4: addresses[4].address }), ...(addresses[6] && { 6: addresses[6].address }) },
    peers: settings.nodeToNodeMeshEnabled ? others.flatMap((node) => meshPeer(node, addresses, resources) ?? []) : [],
    holdTimeSeconds: HOLD_TIME_SECONDS,
    restartTimeSeconds: RESTART_TIME_SECONDS,
  };
}

function meshPeer(node: Node, own: NodeAddresses, resources: BgpResources): PeerConfig | undefined {
  const theirs = nodeAddresses(node);
  const families = ([4, 6] as const).filter((family) => own[family] !== undefined && theirs[family] !== undefined);
  const session = families[0];
  const ownAddress = session === undefined ? undefined : own[session]?.address;
  const address = session === undefined ? undefined : theirs[session]?.address;
  if (ownAddress === undefined || address === undefined) return undefined;
  const settings = bgpSettings(node.metadata.name, resources);
  return {
    address,
    port: settings.listenPort,
    asn: asnOf(node, settings),
    passive: compareIp(ownAddress, address) < 0,
    families,
    description: `mesh, Node ${node.metadata.name}`,
  };
}

function asnOf(node: Node, settings: EffectiveBgp): Asn {
  return asn(node.spec.bgp?.asNumber ?? settings.asNumber);
}

/** The IPv4 address, or for a node without one a number made from its name (RFC 6286: any, if unique in the AS). */
function routerIdOf(name: string, addresses: NodeAddresses): RouterId {
  if (addresses[4] !== undefined) return routerIdFromIp(addresses[4].address);
  let hash = 0x811c9dc5; // FNV-1a
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return routerId(Math.max(hash, 1));
}

/** The address that connections to `peer` are to come from, so that the peer recognises us. */
export function sourceAddressFor(peer: Ip, configuration: SpeakerConfig): Ip | undefined {
  return configuration.nextHops[peer.family];
}
