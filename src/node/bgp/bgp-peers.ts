/**
 * From BGPPeer resources to the sessions that our node has by them.
 *
 * A BGPPeer concerns the nodes that `node` or `nodeSelector` names, or all. Its other end is an address, every node that
 * `peerSelector` chooses, or every local workload that `localWorkloadSelector` chooses. With `peerSelector` the chosen nodes
 * get the opposite session, unless reversePeering is Manual: a reflector need not be told of its clients. A session with
 * an address speaks that address's family only, one with a node all that both have. What cannot be had (a secret, a
 * family of ours) leaves the session out, with a problem that says so. Annotations (peer-settings.ts) come last. The
 * address fe80:: with the annotation muslin.io/interface is whoever answers there, with all families that we have.
 */
import type { PeerConfig } from '../../bgp/peer-config.ts';
import { BGP_PORT, SPEAKER_DEFAULTS } from '../../bgp/peer-config.ts';
import type { PeerRoute } from '../../felix/desired/desired.ts';
import type { BgpPeer } from '../../model/bgp-peer.ts';
import { parsePeerAddress } from '../../model/bgp-peer.ts';
import type { Node } from '../../model/node.ts';
import { resourceTitle } from '../../model/resource.ts';
import { matches } from '../../model/selector.ts';
import { parseSelector } from '../../model/selector-parser.ts';
import type { Asn } from '../../net/asn.ts';
import { asn } from '../../net/asn.ts';
import { parseCidr } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { formatIp, ip, isLinkLocal, sameIp } from '../../net/ip.ts';
import { missingFiltersProblem } from './bgp-policy.ts';
import type { BgpResources, SecretReader, Self, WantedSession } from './bgp-resources.ts';
import {
  asnOf,
  baseSettings,
  bgpSettings,
  inOrder,
  isClient,
  nodeAddresses,
  pathTo,
  restartTime,
} from './peer-sessions.ts';
import { parseDurationMs, withAnnotations } from './peer-settings.ts';

/** As a peer's address: whoever is at the other end of the device; it shows itself (unnumbered.ts). */
export const ANY_LINK_LOCAL = ip('fe80::');

/** The other end, with what is known of it beside the BGPPeer. */
interface OtherEnd {
  readonly address: Ip;
  readonly port: number;
  readonly asn: Asn;
  readonly clusterId: string | undefined;
  readonly description: string;
  readonly families: readonly Family[];
  readonly sourceAddress: Ip | undefined;
  readonly passive: boolean;
  readonly bfd: PeerConfig['bfd'];
}

/** In the order of precedence: see speaker-configuration.ts. */
export function resourceSessions(self: Self, resources: BgpResources, readSecret: SecretReader): WantedSession[] {
  const peers = inOrder(resources.peers);
  const specific = [
    peers.filter(({ spec }) => spec.node !== undefined),
    peers.filter(({ spec }) => spec.nodeSelector !== undefined),
    peers.filter(({ spec }) => spec.node === undefined && spec.nodeSelector === undefined),
  ];
  const translation = new Translation(self, resources, readSecret);
  return [
    ...specific
      .flat()
      .filter((peer) => concerns(peer, self.node))
      .flatMap((peer) => translation.forward(peer)),
    ...peers.flatMap((peer) => translation.reverse(peer)),
  ];
}

/** Whether the sessions of `peer` begin at `node`. */
function concerns(peer: BgpPeer, node: Node): boolean {
  return concernOf(peer)(node);
}

function selects(selector: string, labels: Readonly<Record<string, string>> | undefined): boolean {
  return chooserOf(selector)(labels);
}

/** Reads the selector once, for thousands of nodes that it may choose. */
function chooserOf(selector: string): (labels: Readonly<Record<string, string>> | undefined) => boolean {
  const parsed = parseSelector(selector);
  return parsed.ok ? (labels) => matches(parsed.selector, labels ?? {}) : () => false;
}

/** Whether the sessions of `peer` begin there, for any node. */
function concernOf(peer: BgpPeer): (node: Node) => boolean {
  const { node: name, nodeSelector } = peer.spec;
  if (name !== undefined) return ({ metadata }) => metadata.name === name;
  const chooses = nodeSelector === undefined ? undefined : chooserOf(nodeSelector);
  return ({ metadata }) => chooses === undefined || chooses(metadata.labels);
}

class Translation {
  readonly #self: Self;
  readonly #resources: BgpResources;
  readonly #readSecret: SecretReader;

  constructor(self: Self, resources: BgpResources, readSecret: SecretReader) {
    this.#self = self;
    this.#resources = resources;
    this.#readSecret = readSecret;
  }

  forward(peer: BgpPeer): WantedSession[] {
    const { peerIP, peerSelector, localWorkloadSelector } = peer.spec;
    if (peerIP !== undefined) return [this.#toAddress(peer, peerIP)];
    if (localWorkloadSelector !== undefined) return this.#toWorkloads(peer, localWorkloadSelector);
    const chooses = chooserOf(peerSelector ?? '');
    return this.#others(({ metadata }) => chooses(metadata.labels)).flatMap((node) =>
      this.#toNode(peer, node, asnOf(node, this.#settingsOf(node))),
    );
  }

  /** The opposite sessions of a BGPPeer that chooses us as its other end. */
  reverse(peer: BgpPeer): WantedSession[] {
    const { peerSelector, reversePeering, localASNumber } = peer.spec;
    if (peerSelector === undefined || reversePeering === 'Manual') return [];
    const { node: self } = this.#self;
    if (!selects(peerSelector, self.metadata.labels)) return [];
    return this.#others(concernOf(peer)).flatMap((node) => {
      const shown = localASNumber === undefined ? asnOf(node, this.#settingsOf(node)) : asn(localASNumber);
      const { localASNumber: _, ...spec } = peer.spec;
      return this.#toNode({ ...peer, spec }, node, shown).map((session) => ({ ...session, explicit: false }));
    });
  }

  /** The other nodes that are chosen, in order: few of thousands, so that only these are sorted. */
  #others(isChosen: (node: Node) => boolean): Node[] {
    const self = this.#self.node.metadata.name;
    const chosen = [...this.#resources.nodes].filter(([name, node]) => name !== self && isChosen(node));
    return inOrder(new Map(chosen));
  }

  #settingsOf({ metadata }: Node) {
    return bgpSettings(metadata.name, this.#resources.configurations);
  }

  #toNode(peer: BgpPeer, node: Node, peerAsn: Asn): WantedSession[] {
    const path = pathTo(this.#self, node);
    if (path === undefined) return [];
    const { passive, ...rest } = path;
    return [
      this.#session(peer, {
        ...rest,
        // By hand at both ends, neither may wait: the other one may not have been written yet.
        passive: passive && peer.spec.reversePeering !== 'Manual',
        asn: peerAsn,
        port: this.#settingsOf(node).listenPort,
        clusterId: node.spec.bgp?.routeReflectorClusterID,
        description: `${resourceTitle(peer)}, Node ${node.metadata.name}`,
      }),
    ];
  }

  #toAddress(peer: BgpPeer, text: string): WantedSession {
    const parsed = parsePeerAddress(text);
    if (parsed === undefined || peer.spec.asNumber === undefined) {
      return { ...nothing(peer), problems: [`peerIP ${text} with asNumber ${peer.spec.asNumber} is not a peer`] };
    }
    const { address, port } = parsed;
    const node = inOrder(this.#resources.nodes).find((each) =>
      sameIp(nodeAddresses(each)[address.family]?.address, address),
    );
    const own = this.#self.addresses[address.family]?.address;
    if (sameIp(own, address)) return nothing(peer); // a peer of all nodes may be one of them
    return this.#session(peer, {
      address,
      port: port ?? (node === undefined ? BGP_PORT : this.#settingsOf(node).listenPort),
      asn: asn(peer.spec.asNumber),
      clusterId: node?.spec.bgp?.routeReflectorClusterID,
      description: resourceTitle(peer),
      families: sameIp(address, ANY_LINK_LOCAL) ? this.#families() : [address.family],
      sourceAddress: isLinkLocal(address) ? undefined : own,
      passive: false,
      bfd: undefined,
    });
  }

  /** A node without an address of its own has both: on the link, its link-local address is next hop for either (RFC 8950). */
  #families(): Family[] {
    const own = ([4, 6] as const).filter((family) => this.#self.addresses[family] !== undefined);
    return own.length === 0 ? [4, 6] : own;
  }

  #toWorkloads(peer: BgpPeer, selector: string): WantedSession[] {
    const { localWorkloadPeeringIPV4, localWorkloadPeeringIPV6 } = this.#self.settings;
    const fixed = { 4: localWorkloadPeeringIPV4, 6: localWorkloadPeeringIPV6 };
    return inOrder(this.#resources.endpoints)
      .filter(({ metadata }) => selects(selector, metadata.labels))
      .flatMap((endpoint) =>
        endpoint.spec.ipNetworks.flatMap((network): WantedSession[] => {
          const address = parseCidr(network)?.address;
          if (address === undefined || peer.spec.asNumber === undefined) return [];
          const { family } = address;
          const own = fixed[family] === undefined ? this.#self.addresses[family]?.address : ip(fixed[family]);
          const session = this.#session(peer, {
            address,
            port: BGP_PORT,
            asn: asn(peer.spec.asNumber),
            clusterId: undefined,
            description: `${resourceTitle(peer)}, ${resourceTitle(endpoint)}`,
            families: [family],
            sourceAddress: own,
            passive: false,
            bfd: undefined,
          });
          const problems = [...session.problems, ...fixedAddressProblems(family, fixed[family])];
          return [{ ...session, problems }];
        }),
      );
  }

  #session(peer: BgpPeer, { clusterId, ...end }: OtherEnd): WantedSession {
    const { spec } = peer;
    const shown = spec.localASNumber === undefined ? undefined : asn(spec.localASNumber);
    const external = end.asn !== (shown ?? this.#self.asn);
    const filters = spec.filters ?? [];
    const { missing, ...base } = baseSettings(this.#self, this.#resources, { external, filters });
    const password = this.#password(peer);
    const restart = restartTime(spec.maxRestartTime);
    const { settings, problems } = withAnnotations(
      {
        ...base,
        ...end,
        sourceAddress: spec.sourceAddress === 'None' ? undefined : end.sourceAddress,
        localAsn: shown,
        reflectorClient: isClient(this.#self, { asn: end.asn, clusterId }),
        allowedOwnAsns: spec.numAllowedLocalASNumbers ?? 0,
        nextHop: nextHopOf(peer, external),
        // The address that the kernel chooses is the one of the way to this peer; the Node's own may not be reached there.
        localNextHop: spec.sourceAddress === 'None',
        password: 'secret' in password ? password.secret : undefined,
        restartTimeSeconds: restart.seconds,
        ...timesOf(spec.keepaliveTime),
        ttlSecurityHops: spec.ttlSecurity === 0 ? undefined : spec.ttlSecurity,
      },
      peer.metadata.annotations ?? {},
    );
    const config: PeerConfig = { ...settings, address: end.address, asn: end.asn };
    const place = placeProblem(config);
    const all = [
      ...problems,
      ...('problem' in password ? [`no session, since its password cannot be read: ${password.problem}`] : []),
      ...(missing.length > 0 ? [missingFiltersProblem(missing) ?? ''] : []),
      ...(restart.problem === undefined ? [] : [restart.problem]),
      ...(place === undefined ? [] : [place]),
    ];
    const isUsable = 'secret' in password && place === undefined;
    return {
      ...nothing(peer),
      config: isUsable ? config : undefined,
      route: peerRoute(peer, end.address),
      problems: all,
    };
  }

  #password(peer: BgpPeer): { readonly secret: string | undefined } | { readonly problem: string } {
    const reference = peer.spec.password?.secretKeyRef;
    if (reference === undefined) return { secret: undefined };
    const reading = this.#readSecret(reference);
    return 'problem' in reading && reference.optional === true ? { secret: undefined } : reading;
  }
}

function nothing(peer: BgpPeer): WantedSession {
  return { origin: resourceTitle(peer), explicit: true, config: undefined, route: undefined, problems: [] };
}

function nextHopOf({ spec }: BgpPeer, external: boolean): PeerConfig['nextHop'] {
  if (spec.nextHopMode === 'Self') return 'self';
  if (spec.nextHopMode === 'Keep') return 'keep';
  return spec.keepOriginalNextHop === true && external ? 'keep' : 'auto';
}

/** The hold time is three keepalives at least, or the session could not live. */
function timesOf(keepaliveTime: string | undefined): Pick<PeerConfig, 'keepaliveSeconds' | 'holdTimeSeconds'> {
  if (keepaliveTime === undefined) return { keepaliveSeconds: undefined, holdTimeSeconds: undefined };
  const keepaliveSeconds = Math.max(Math.round((parseDurationMs(keepaliveTime) ?? 0) / 1000), 1);
  const isLong = keepaliveSeconds * 3 > SPEAKER_DEFAULTS.holdTimeSeconds;
  return { keepaliveSeconds, holdTimeSeconds: isLong ? keepaliveSeconds * 3 : undefined };
}

/** A link-local address means nothing without its device, and any other one nothing with it. */
function placeProblem({ address, device }: PeerConfig): string | undefined {
  if (isLinkLocal(address) === (device !== undefined)) return undefined;
  const text = formatIp(address);
  if (device !== undefined)
    return `no session: annotation muslin.io/interface is for link-local peers, and ${text} is none`;
  return `no session: ${text} is link-local; say on which device with the annotation muslin.io/interface`;
}

/** Calico puts the address on the host's end of each workload's device; here it is the host's owner who has it somewhere. */
function fixedAddressProblems(family: Family, address: string | undefined): string[] {
  if (address === undefined) return [];
  const field = `localWorkloadPeeringIPV${family}`;
  return [
    `the session is from ${address} (${field}), which this host must have already: ip addr add ${address} dev lo`,
  ];
}

function peerRoute(peer: BgpPeer, address: Ip): PeerRoute | undefined {
  const { reachableBy } = peer.spec;
  return reachableBy === undefined
    ? undefined
    : { peer: address, gateway: ip(reachableBy), origin: resourceTitle(peer) };
}
