/**
 * The packet filter of a host, from the containers that it has.
 *
 *   input   ─► cali-INPUT ──goto──► cali-wl-to-host ──jump──► cali-from-wl-dispatch ──► cali-fw-DEVICE
 *   forward ─► cali-FORWARD ─1─jump─► cali-from-wl-dispatch ──► cali-fw-DEVICE
 *                           └2─jump─► cali-to-wl-dispatch ────► cali-tw-DEVICE
 *   output  ─► cali-OUTPUT          from the host to its own containers: not policed, for health checks must get through
 *
 * Chain names are Calico's, which people know and grep for. Only packets from or to a device "cali…" are looked at; one
 * whose device is in no map is dropped, for a container that we do not know yet may do nothing (fail closed).
 * An endpoint's chains drop or return, they never accept: so the sender's chain, the receiver's and all other tables have
 * their say. Only what ends at the host is accepted (defaultEndpointToHostAction Accept, as in Calico's manifests).
 * In cali-fw the source is judged before connection tracking is asked: a forged packet that fits another container's
 * connection is "established". So is a reply to port 4789, hence encapsulation comes first, too. IPv6 neighbour discovery
 * is never tracked, and so never "invalid".
 */
import type { Cidr } from '../../../net/cidr.ts';
import { cidr, compareCidr, familyOf } from '../../../net/cidr.ts';
import type { Family } from '../../../net/ip.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import { WORKLOAD_DEVICE_PREFIX } from '../ownership.ts';
import type { Action, Chain, Direction, DispatchMap, FilterProgram, Hook, Match, Refusal, Rule } from './program.ts';

/** Where the traditional "filter" tables stand (NF_IP_PRI_FILTER). */
const FILTER_PRIORITY = 0;
const PROTOCOL_IPIP = 4;
/** RFC 7348 section 5. */
const VXLAN_PORT = 4789;
const ROUTER_ADVERTISEMENT = 134;
/** Multicast listener query, report, done; router solicitation; neighbour solicitation and advertisement. */
const NEIGHBOUR_TYPES = [130, 131, 132, 133, 135, 136];
/** From a link-local address, or from `::`, by which one asks whether one's own address is taken (RFC 4862 section 5.4). */
const NEIGHBOUR_DISCOVERY: readonly Match[] = [
  { kind: 'source', inside: true, prefixes: [cidr('::/128'), cidr('fe80::/10')] },
  { kind: 'icmpv6Type', types: NEIGHBOUR_TYPES },
];
const FAMILIES: readonly Family[] = [4, 6];

/** IFNAMSIZ is 16 bytes with the final zero; of the characters that Linux allows, those that no backend mistakes. */
const DEVICE_NAME = new RegExp(`^${WORKLOAD_DEVICE_PREFIX}[A-Za-z0-9_.-]{1,11}$`);

/** The program that polices `endpoints`. The same endpoints in another order make the same program. */
export function buildFilterProgram(endpoints: readonly DesiredEndpoint[]): FilterProgram {
  const sorted = [...endpoints].sort((a, b) => compare(a.deviceName, b.deviceName) || compare(a.id, b.id));
  const refusals = refusalsOf(sorted);
  const refused = new Set(refusals.map(({ endpointId }) => endpointId));
  const policed = sorted.filter(({ id }) => !refused.has(id));
  return {
    chains: [...SKELETON, ...policed.flatMap(chainsOf)],
    maps: [dispatchMap('cali-from-wl', policed, fromWorkloadName), dispatchMap('cali-to-wl', policed, toWorkloadName)],
    refusals,
  };
}

/** Where two endpoints claim a device, neither gets it: whose addresses it may send from cannot be told. */
function refusalsOf(endpoints: readonly DesiredEndpoint[]): Refusal[] {
  const claims = new Map<string, string[]>();
  for (const { id, deviceName } of endpoints) claims.set(deviceName, [...(claims.get(deviceName) ?? []), id]);
  return endpoints.flatMap(({ id, deviceName }) => {
    const claimants = claims.get(deviceName) ?? [];
    if (!DEVICE_NAME.test(deviceName)) {
      const right = `"${WORKLOAD_DEVICE_PREFIX}" and 1 to 11 more letters, digits, dots, dashes or underscores`;
      return [
        { endpointId: id, reason: `device name ${JSON.stringify(deviceName)} cannot be policed, it must be ${right}` },
      ];
    }
    if (claimants.length === 1) return [];
    return [{ endpointId: id, reason: `device ${deviceName} belongs to several endpoints: ${claimants.join(', ')}` }];
  });
}

/** What is there whatever the endpoints are. */
const SKELETON: readonly Chain[] = [
  {
    name: 'cali-INPUT',
    hook: filterHook('input'),
    rules: [rule([workloadDevice('in')], { kind: 'goto', chain: 'cali-wl-to-host' }, 'From a workload')],
  },
  {
    name: 'cali-FORWARD',
    hook: filterHook('forward'),
    rules: [
      rule([workloadDevice('in')], { kind: 'jump', chain: 'cali-from-wl-dispatch' }, 'From a workload'),
      rule([workloadDevice('out')], { kind: 'jump', chain: 'cali-to-wl-dispatch' }, 'To a workload'),
    ],
  },
  {
    name: 'cali-OUTPUT',
    hook: filterHook('output'),
    rules: [rule([workloadDevice('out')], { kind: 'return' }, 'Host to its own workload')],
  },
  {
    name: 'cali-wl-to-host',
    hook: undefined,
    rules: [
      rule(NEIGHBOUR_DISCOVERY, { kind: 'accept' }, 'Neighbour discovery'),
      rule([], { kind: 'jump', chain: 'cali-from-wl-dispatch' }, 'What the workload may send'),
      rule([], { kind: 'accept' }, 'Workload to its host'),
    ],
  },
  dispatchChain('cali-from-wl-dispatch', 'in', 'cali-from-wl'),
  dispatchChain('cali-to-wl-dispatch', 'out', 'cali-to-wl'),
];

function dispatchChain(name: string, direction: Direction, map: DispatchMap['name']): Chain {
  const rules = [
    rule([], { kind: 'dispatch', direction, map }, 'By device'),
    rule([], { kind: 'drop' }, 'Unknown interface'),
  ];
  return { name, hook: undefined, rules };
}

/** By endpoint: an endpoint that has not changed keeps its very chains, so that only what changed is printed again. */
const endpointChains = new WeakMap<DesiredEndpoint, readonly Chain[]>();

function chainsOf(endpoint: DesiredEndpoint): readonly Chain[] {
  const known = endpointChains.get(endpoint);
  if (known !== undefined) return known;
  const chains = [fromWorkloadChain(endpoint), toWorkloadChain(endpoint)];
  endpointChains.set(endpoint, chains);
  return chains;
}

function dispatchMap(
  name: DispatchMap['name'],
  endpoints: readonly DesiredEndpoint[],
  chainName: (deviceName: string) => string,
): DispatchMap {
  return {
    name,
    entries: new Map(endpoints.map(({ deviceName }) => [deviceName, chainName(deviceName)])),
  };
}

function fromWorkloadChain(endpoint: DesiredEndpoint): Chain {
  const drop = (matches: Match[], comment: string) => rule(matches, { kind: 'drop' }, comment, endpoint);
  const rules = [
    drop([{ kind: 'icmpv6Type', types: [ROUTER_ADVERTISEMENT] }], 'Router advertisement'),
    ...FAMILIES.map((family) => drop([foreignSource(endpoint.addresses, family)], `Forged IPv${family} source`)),
    drop([{ kind: 'protocol', protocol: PROTOCOL_IPIP }], 'IPIP from a workload'),
    drop([{ kind: 'destinationPort', protocol: 'udp', port: VXLAN_PORT }], 'VXLAN from a workload'),
    ...connectionRules(endpoint),
  ];
  return { name: fromWorkloadName(endpoint.deviceName), hook: undefined, rules };
}

function toWorkloadChain(endpoint: DesiredEndpoint): Chain {
  return { name: toWorkloadName(endpoint.deviceName), hook: undefined, rules: connectionRules(endpoint) };
}

/** What was let through once stays let through, without being asked again. */
function connectionRules(endpoint: DesiredEndpoint): Rule[] {
  const known: Match = { kind: 'conntrack', states: ['established', 'related'] };
  const invalid: Match = { kind: 'conntrack', states: ['invalid'] };
  return [
    rule([known], { kind: 'return' }, 'Known connection', endpoint),
    rule([invalid], { kind: 'drop' }, 'Invalid connection state', endpoint),
  ];
}

/** Packets of the family that the endpoint may not send: all of them, where it has no address of the family. */
function foreignSource(addresses: readonly Cidr[], family: Family): Match {
  const prefixes = addresses.filter((prefix) => familyOf(prefix) === family).sort(compareCidr);
  return prefixes.length === 0 ? { kind: 'family', family } : { kind: 'source', inside: false, prefixes };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function fromWorkloadName(deviceName: string): string {
  return `cali-fw-${deviceName}`;
}

function toWorkloadName(deviceName: string): string {
  return `cali-tw-${deviceName}`;
}

function workloadDevice(direction: Direction): Match {
  return { kind: 'devicePrefix', direction, prefix: WORKLOAD_DEVICE_PREFIX };
}

function filterHook(point: Hook['point']): Hook {
  return { point, priority: FILTER_PRIORITY };
}

function rule(matches: readonly Match[], action: Action, comment: string, endpoint?: DesiredEndpoint): Rule {
  return { matches, action, comment, provenance: endpoint?.provenance };
}
