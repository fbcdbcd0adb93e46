/**
 * A speaker's views for tests, as a table of values: a few peers, a few prefixes, pages of a given size.
 */
import type { PeerCommand } from '../../bgp/contract.ts';
import type { DumpEntry, NeighborView, PeerView, RouteFilter, RoutePage, RouteView } from '../../bgp/observe/views.ts';
import { cidr, containsCidr, formatCidr, sameCidr } from '../../net/cidr.ts';
import type { BgpControl } from '../control-api.ts';

export function peerView(address: string, more: Partial<PeerView> = {}): PeerView {
  return {
    address,
    asn: 64512,
    description: '',
    type: 'internal',
    state: 'Established',
    forMs: 65_000,
    lastError: '',
    prefixesReceived: 3,
    prefixesAccepted: 2,
    prefixesSent: 1,
    holdTimeSeconds: 90,
    routerId: '10.0.0.2',
    stale: false,
    ...more,
  };
}

export function neighborView(address: string, more: Partial<NeighborView> = {}): NeighborView {
  const counts = { opens: 1, updates: 2, notifications: 0, keepalives: 7, refreshes: 0, bytes: 400 };
  return {
    ...peerView(address),
    localAddress: '10.0.0.1',
    localAsn: 64512,
    port: 179,
    passive: false,
    dynamic: false,
    md5: true,
    ttlSecurityHops: undefined,
    keepaliveSeconds: 30,
    families: ['IPv4 unicast'],
    capabilitiesSent: ['route refresh', 'add-path'],
    capabilitiesReceived: ['route refresh', 'role'],
    established: 2,
    flaps: 1,
    sent: counts,
    received: { ...counts, updates: 5 },
    lastNotification: {
      direction: 'received',
      code: 6,
      subcode: 2,
      text: 'cease: administrative shutdown (6/2): moving',
      agoMs: 61_000,
    },
    log: [
      { agoMs: 65_000, text: 'OpenConfirm → Established: KEEPALIVE' },
      { agoMs: 70_000, text: 'Active → OpenSent: connected' },
    ],
    bfd: undefined,
    treatedAsWithdraw: 0,
    attributesDiscarded: 0,
    loops: 4,
    queuedBytes: 0,
    ...more,
  };
}

export function routeView(prefix: string, more: Partial<RouteView> = {}): RouteView {
  return {
    prefix,
    from: '10.0.0.2',
    pathId: undefined,
    nextHop: '10.0.0.2',
    best: true,
    multipath: false,
    stale: false,
    asPath: '64513',
    localPreference: 100,
    origin: 'igp',
    med: undefined,
    communities: ['64512:1'],
    originatorId: undefined,
    clusterList: [],
    ...more,
  };
}

export interface FakeBgp extends BgpControl {
  readonly commands: { readonly peer: string; readonly command: PeerCommand }[];
  /** How many pages have been asked for. */
  pages: number;
}

/** `pageSize` prefixes a page, whatever was asked for. */
export function fakeBgp(options: {
  readonly peers?: readonly PeerView[];
  readonly neighbors?: readonly NeighborView[];
  readonly routes?: readonly RouteView[];
  readonly entries?: readonly DumpEntry[];
  readonly pageSize?: number;
  readonly problem?: string;
  readonly problems?: readonly string[];
}): FakeBgp {
  const { problem = '', problems = [], neighbors = [], routes = [], entries = [], pageSize = 2 } = options;
  const peers = [...neighbors, ...(options.peers ?? [])];
  const page = <Item>(items: readonly Item[], after: string | undefined, limit: number) => {
    fake.pages += 1;
    const start = Number(after ?? 0);
    const end = start + Math.min(pageSize, limit);
    return { items: items.slice(start, end), next: end < items.length ? String(end) : undefined };
  };
  const routePage = (filter: RouteFilter): RoutePage => {
    const { items, next } = page(matching(routes, filter), filter.after, filter.limit);
    return { routes: items, next };
  };
  const known = (name: string) => peers.some(({ address }) => address === name);
  const fake: FakeBgp = {
    commands: [],
    pages: 0,
    status: () => ({
      problem,
      problems,
      asn: 64512,
      routerId: '10.0.0.1',
      peers,
      announced: 1,
      learned: routes.length,
    }),
    peers: () => peers,
    neighbor: (name) => neighbors.find(({ address }) => address === name),
    routes: routePage,
    received: (name, filter) => (known(name) ? routePage({ ...filter, peer: name }) : undefined),
    advertised: (name, filter) => (known(name) ? routePage(filter) : undefined),
    explain: (prefix) => {
      const candidates = routes.filter((route) => route.prefix === formatCidr(prefix));
      if (candidates.length === 0) return undefined;
      return {
        prefix: formatCidr(prefix),
        candidates: candidates.map((route) => ({
          ...route,
          verdict: route.best ? 'best' : 'lost at: highest LOCAL_PREF (90, the best has 100)',
        })),
        decidedBy: 'highest LOCAL_PREF',
        gateways: ['10.0.0.2'],
        advertised: [{ peer: '10.0.0.3', verdict: 'not sent: learnt from an internal peer' }],
      };
    },
    dump: ({ after, limit }) => {
      const { items, next } = page(entries, after, limit);
      return { entries: items, next };
    },
    sizes: () => ({ prefixes: routes.length, paths: routes.length, attributeSets: 1 }),
    command: (peer, command) => {
      fake.commands.push({ peer, command });
    },
  };
  return fake;
}

function matching(routes: readonly RouteView[], { prefix, match, peer, family }: RouteFilter): RouteView[] {
  const found = routes.filter((route) => {
    const own = cidr(route.prefix);
    if (peer !== undefined && route.from !== peer) return false;
    if (family !== undefined && own.address.family !== family) return false;
    if (prefix === undefined) return true;
    if (match === 'exact') return sameCidr(own, prefix);
    return match === 'longer' ? containsCidr(prefix, own) : containsCidr(own, prefix);
  });
  if (match !== 'longest') return found;
  const longest = Math.max(...found.map((route) => cidr(route.prefix).length));
  return found.filter((route) => cidr(route.prefix).length === longest);
}
