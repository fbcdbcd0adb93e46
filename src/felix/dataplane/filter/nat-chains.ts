/**
 * Translation of addresses: floating addresses inwards and outwards, and containers that leave with their host's address.
 *
 *   PREROUTING, OUTPUT   cali-fip-dnat      floating address → container, service → one of its containers
 *   POSTROUTING          cali-fip-snat      container → floating address: where it meets itself, and, if asked, to the world
 *                        cali-nat-outgoing  container of a masquerading pool → host's address, unless it speaks to a pool
 *                        tunnel devices     host's other addresses → the tunnel's
 *
 * Order decides: a container with a floating address of its own speaks with that rather than with the host's. Traffic between
 * pools is never translated, for policy at the other end must see who sends. Only a connection's first packet comes here.
 */

import { hostPrefix } from '../../../net/cidr.ts';
import type { Family, Ip } from '../../../net/ip.ts';
import { compareIp, sameIp } from '../../../net/ip.ts';
import { IP_PROTOCOL } from '../../../net/packet-head.ts';
import type { DesiredEndpoint, DesiredService } from '../../desired/desired.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import type { FloatingIp, PortRange } from '../../desired/policy.ts';
import { ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS } from '../../desired/policy.ts';
import type { Provenance } from '../../desired/provenance.ts';
import type { Action, Chain, End, Match, Rule } from './program.ts';
import { device, hookedChain, innerChain, inSet, jump, notInSet, protocol, rule } from './rules.ts';
import { serviceChains, serviceHairpins, serviceJumps } from './service-chains.ts';
import type { SetLookup } from './set-parts.ts';

const FAMILIES: readonly Family[] = [4, 6];
const VXLAN_DEVICES: Readonly<Record<Family, string>> = { 4: 'vxlan.calico', 6: 'vxlan-v6.calico' };
const PORT_MAX = 65_535;
/** Ports below are for the root of a host to listen at; Linux gives none of them to others. */
const UNPRIVILEGED_PORT_MIN = 1024;

/** `services` in any order. */
export function natChains(
  settings: FilterSettings,
  endpoints: readonly DesiredEndpoint[],
  services: Iterable<DesiredService>,
  sets: SetLookup,
): Chain[] {
  const sorted = [...services].sort((a, b) => compareIp(a.address, b.address));
  const floating = settings.floatingIps ? floatingOf(endpoints) : [];
  return [
    hookedChain('nat', 'cali-PREROUTING', 'PREROUTING', [rule([], jump('cali-fip-dnat'), 'Floating addresses')]),
    hookedChain('nat', 'cali-OUTPUT', 'OUTPUT', [rule([], jump('cali-fip-dnat'), 'Floating addresses')]),
    hookedChain('nat', 'cali-POSTROUTING', 'POSTROUTING', [
      rule([], jump('cali-fip-snat'), 'Floating addresses'),
      rule([], jump('cali-nat-outgoing'), 'Out of the pools'),
      ...tunnelRules(settings),
    ]),
    innerChain('nat', 'cali-fip-dnat', [...floating.map(inwards), ...serviceJumps(sorted)]),
    innerChain('nat', 'cali-fip-snat', [...serviceHairpins(sorted), ...outwards(floating, sets)]),
    ...serviceChains(sorted),
    innerChain('nat', 'cali-nat-outgoing', outgoingRules(settings, sets)),
  ];
}

interface OwnedFloatingIp extends FloatingIp {
  readonly provenance: Provenance;
}

/** By external address, each once: where several containers claim it, the lowest internal one has it. */
function floatingOf(endpoints: readonly DesiredEndpoint[]): OwnedFloatingIp[] {
  const claims = endpoints.flatMap(({ floatingIps, provenance }) =>
    floatingIps
      .filter(({ external, internal }) => external.family === internal.family)
      .map((floating) => ({ ...floating, provenance })),
  );
  claims.sort((a, b) => compareIp(a.external, b.external) || compareIp(a.internal, b.internal));
  return claims.filter(({ external }, index) => !sameIp(claims[index - 1]?.external, external));
}

function inwards({ external, internal, provenance }: OwnedFloatingIp): Rule {
  return {
    ...rule([address('destination', external)], { kind: 'dnat', to: internal }, 'To its container'),
    provenance,
  };
}

/** All hairpins, then all that leave. A container with several external addresses speaks with the lowest. */
function outwards(floating: readonly OwnedFloatingIp[], sets: SetLookup): Rule[] {
  const hairpins = firstByInternal(floating).map(({ external, internal, provenance }) => {
    const matches = [address('source', internal), address('destination', internal)];
    return { ...rule(matches, snat(external), 'To itself, as from outside'), provenance };
  });
  const leaving = firstByInternal(floating.filter(({ outgoing }) => outgoing)).map(
    ({ external, internal, provenance }) => {
      const matches = [address('source', internal), ...notInSet(sets, 'destination', internal.family, ALL_POOLS)];
      return { ...rule(matches, snat(external), 'Out with its floating address'), provenance };
    },
  );
  return [...hairpins, ...leaving];
}

/** Ordered by internal address; of those with the same one the first. */
function firstByInternal(floating: readonly OwnedFloatingIp[]): OwnedFloatingIp[] {
  const sorted = [...floating].sort((a, b) => compareIp(a.internal, b.internal) || compareIp(a.external, b.external));
  return sorted.filter(({ internal }, index) => !sameIp(sorted[index - 1]?.internal, internal));
}

function outgoingRules({ natOutgoing }: FilterSettings, sets: SetLookup): Rule[] {
  const { ports, address: fixed, excludeHosts, device: outDevice } = natOutgoing;
  return FAMILIES.flatMap((family) => {
    const outside = [
      ...notInSet(sets, 'destination', family, ALL_POOLS),
      ...(excludeHosts ? notInSet(sets, 'destination', family, ALL_HOSTS).filter(isSet) : []),
      ...(outDevice === undefined ? [] : [outDeviceMatch(outDevice)]),
    ];
    const to = fixed?.family === family ? fixed : undefined;
    return inSet(sets, 'source', family, MASQUERADED_POOLS).flatMap((source) =>
      translations([source, ...outside], to, ports),
    );
  });
}

/** Only TCP and UDP can be given a range of ports; what these are done with must not meet the rule for the rest. */
function translations(matches: readonly Match[], to: Ip | undefined, ports: PortRange | undefined): Rule[] {
  const comment = 'Container to the outside';
  const translate = (range: PortRange | undefined): Action =>
    to === undefined ? { kind: 'masquerade', ports: range } : { kind: 'snat', to, ports: range };
  const rest = rule(matches, translate(undefined), comment);
  if (ports === undefined) return [rest];
  const bounded = [IP_PROTOCOL.tcp, IP_PROTOCOL.udp].flatMap((number) => [
    rule([...matches, protocol(number)], translate(ports), comment),
    rule([...matches, protocol(number)], { kind: 'return' }, comment),
  ]);
  return [...bounded, rest];
}

/**
 * A process of the host that bound itself to another address of it would get its answers past the tunnel. Where UDP goes
 * through VXLAN, it must not be given VXLAN's port: answers to that are not tracked, and so not translated back.
 */
function tunnelRules({ ipip, vxlan }: FilterSettings): Rule[] {
  const comment = 'Leaves by the tunnel with the address of another device';
  const masquerade = (matches: readonly Match[], ports: PortRange | undefined) =>
    rule(matches, { kind: 'masquerade', ports }, comment);
  const ipipRules = ipip ? [masquerade(fromOtherDevice('tunl0', 4), undefined)] : [];
  if (vxlan === undefined) return ipipRules;
  const ports = portsBeside(vxlan.port);
  const vxlanRules = FAMILIES.flatMap((family) => {
    const matches = fromOtherDevice(VXLAN_DEVICES[family], family);
    return [masquerade([...matches, protocol(IP_PROTOCOL.udp)], ports), masquerade(matches, undefined)];
  });
  return [...ipipRules, ...vxlanRules];
}

function fromOtherDevice(name: string, family: Family): Match[] {
  return [
    { kind: 'family', family },
    device('out', name),
    { kind: 'local', end: 'source', onOutDevice: true, is: false },
    { kind: 'local', end: 'source', onOutDevice: false, is: true },
  ];
}

/** The greater of the two ranges that leave the port out. */
function portsBeside(port: number): PortRange {
  const below = { first: UNPRIVILEGED_PORT_MIN, last: port - 1 };
  const above = { first: port + 1, last: PORT_MAX };
  return above.last - above.first >= below.last - below.first ? above : below;
}

/** "eth0", or "eth+" for all that begin so. */
function outDeviceMatch(pattern: string): Match {
  const prefix = pattern.endsWith('+');
  return { kind: 'device', direction: 'out', name: prefix ? pattern.slice(0, -1) : pattern, prefix, is: true };
}

function isSet(match: Match): boolean {
  return match.kind === 'set';
}

function address(end: End, host: Ip): Match {
  return { kind: 'nets', end, family: host.family, prefixes: [hostPrefix(host)], is: true };
}

function snat(to: Ip): Action {
  return { kind: 'snat', to, ports: undefined };
}
