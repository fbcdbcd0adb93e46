/**
 * From resources to the speaker's configuration: who we are in BGP, and whom we talk to.
 *
 * By default every node peers with every other (the full mesh, peer-sessions.ts), and BGPPeers add sessions (bgp-peers.ts). Of
 * several wishes for a session with one address the first of this order holds: a BGPPeer for this `node`, one for a
 * `nodeSelector`, one for all nodes; then what a BGPPeer of the other end makes here (reversePeering); then the mesh.
 * Between equals the first name wins, and the other's status says so. Pure: equal resources give equal values, so that
 * the speaker touches only sessions that differ.
 */
import { peerName } from '../../bgp/contract.ts';
import type { PeerConfig } from '../../bgp/peer-config.ts';
import { SPEAKER_DEFAULTS } from '../../bgp/peer-config.ts';
import type { RouterId } from '../../net/asn.ts';
import { routerId, routerIdFromIp } from '../../net/asn.ts';
import { ip, sameIp } from '../../net/ip.ts';
import { ANY_LINK_LOCAL, resourceSessions } from './bgp-peers.ts';
import type {
  BgpResources,
  BgpSetup,
  NodeAddresses,
  SecretReader,
  Self,
  UnnumberedPeer,
  WantedSession,
} from './bgp-resources.ts';
import { asnOf, bgpSettings, meshSessions, nodeAddresses, sameSettings } from './peer-sessions.ts';

/** What BGP is to do on node `name`, or why it cannot speak yet. */
export function speakerConfiguration(
  name: string,
  resources: BgpResources,
  readSecret: SecretReader,
): BgpSetup | { readonly reason: string } {
  const node = resources.nodes.get(name);
  if (node === undefined) return { reason: `there is no Node resource called ${name}` };
  const addresses = nodeAddresses(node);
  const settings = bgpSettings(name, resources.configurations);
  const self: Self = { node, addresses, settings, asn: asnOf(node, settings) };
  const wanted = [...resourceSessions(self, resources, readSecret), ...meshSessions(self, resources, readSecret)];
  const { peers, problems } = chosen(wanted);
  const isUnnumbered = ({ address }: PeerConfig) => sameIp(address, ANY_LINK_LOCAL);
  if (addresses[4] === undefined && addresses[6] === undefined && !peers.some(isUnnumbered)) {
    const way = 'set one, or have it peer on a link (BGPPeer with peerIP fe80:: and annotation muslin.io/interface)';
    return { reason: `Node ${name} has neither spec.bgp.ipv4Address nor spec.bgp.ipv6Address; ${way}` };
  }
  const clusterId = node.spec.bgp?.routeReflectorClusterID;
  const own = ([4, 6] as const).flatMap((family) => addresses[family]?.address ?? []);
  return {
    speaker: {
      ...SPEAKER_DEFAULTS,
      asn: self.asn,
      routerId: routerIdOf(name, addresses),
      clusterId: clusterId === undefined ? undefined : Number(routerIdFromIp(ip(clusterId))),
      nextHops: { ...(addresses[4] && { 4: addresses[4].address }), ...(addresses[6] && { 6: addresses[6].address }) },
      peers: peers.filter((peer) => !isUnnumbered(peer)),
    },
    unnumbered: peers
      .filter(isUnnumbered)
      .flatMap(({ address: _, asn: peerAsn, ...peer }): UnnumberedPeer[] =>
        peer.device === undefined ? [] : [{ device: peer.device, asn: peerAsn, peer }],
      ),
    listen: { addresses: settings.bindMode === 'NodeIP' ? own : [], port: settings.listenPort },
    peerRoutes: wanted.flatMap(({ route }) => route ?? []),
    problems,
  };
}

/** One session for each peer, the first that is wanted; in an order that depends on nothing but the peers. */
function chosen(wanted: readonly WantedSession[]): { readonly peers: PeerConfig[]; readonly problems: string[] } {
  const byName = new Map<string, WantedSession & { readonly config: PeerConfig }>();
  const problems: string[] = [];
  for (const session of wanted) {
    problems.push(...session.problems.map((problem) => `${session.origin}: ${problem}`));
    const { config } = session;
    if (config === undefined) continue;
    const name = peerName(config);
    const first = byName.get(name);
    if (first === undefined) byName.set(name, { ...session, config });
    else if (session.explicit && !sameSettings(first.config, config)) {
      problems.push(`${session.origin}: the session with ${name} is as ${first.origin} has it; remove one of the two`);
    }
  }
  const names = [...byName.keys()].sort();
  return { peers: names.flatMap((name) => byName.get(name)?.config ?? []), problems: [...new Set(problems)] };
}

/** The IPv4 address, or for a node without one a number made from its name (RFC 6286: any, if unique in the AS). */
function routerIdOf(name: string, addresses: NodeAddresses): RouterId {
  if (addresses[4] !== undefined) return routerIdFromIp(addresses[4].address);
  let hash = 0x811c9dc5; // FNV-1a
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return routerId(Math.max(hash, 1));
}
