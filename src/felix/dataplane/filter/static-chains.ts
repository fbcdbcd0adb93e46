/**
 * The chains that hang in the kernel's, and those that sort packets by where they come from and go to.
 *
 *   raw         PREROUTING   what a container forged ends here; untracked policy of host devices
 *               OUTPUT       the same for what the host sends
 *   mangle      PREROUTING   policy of host devices before translation
 *               POSTROUTING  policy of host devices for what the host sends to a translated address
 *   filter      INPUT        tunnels, containers to their host, then policy of host devices
 *               FORWARD      host device in, container out, container in, host device out: each may drop, none accepts;
 *                            what all let pass bears the accept mark and is accepted at the end (hookRules)
 *               OUTPUT       not policed to containers, for health checks must get through; tunnels; host devices
 *
 * Rules, names and order are Felix's (rules/static.go). The accept mark carries a verdict from raw to mangle and filter, so a
 * packet is judged once; where a table begins anew, what marks it brings from outside is cleared. Without host endpoints their
 * chains are empty. What is forged or from an unknown device is logged before it is dropped. Every packet comes through raw and
 * mangle, so there a rule that most need not meet stands in a chain that these do not come to, where Felix has it in line.
 */
import { cidr, compareCidr, familyOf } from '../../../net/cidr.ts';
import type { Family } from '../../../net/ip.ts';
import { IP_PROTOCOL } from '../../../net/packet-head.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import { ALL_HOSTS, VXLAN_HOSTS } from '../../desired/policy.ts';
import { failsafeChains } from './failsafe-chains.ts';
import type { Action, Chain, Direction, DispatchMapName, Match, Rule } from './program.ts';
import {
  blanketBits,
  clearMark,
  device,
  goto,
  hookedChain,
  hostDevice,
  innerChain,
  inSet,
  jump,
  localAddress,
  marked,
  notMarked,
  protect,
  protocol,
  rule,
  setMark,
  udpTo,
  workloadDevice,
} from './rules.ts';
import type { SetLookup } from './set-parts.ts';
import { protectionChain } from './workload-protection.ts';

const PROTOCOL_IPIP = 4;
/** Multicast listener query, report, done; router solicitation; neighbour solicitation and advertisement. */
const NEIGHBOUR_TYPES = [130, 131, 132, 133, 135, 136];
const FAMILIES: readonly Family[] = [4, 6];
const KNOWN_CONNECTION: Match = { kind: 'conntrack', states: ['established', 'related'], is: true };

/** All that is there whatever endpoints and policies there are; host endpoints' dispatch chains, to which they jump, are not among them. */
export function staticChains(settings: FilterSettings, sets: SetLookup): Chain[] {
  return [
    ...rawChains(settings),
    ...mangleChains(settings),
    inputChain(settings, sets),
    workloadToHostChain(settings),
    protectionChain(settings),
    forwardChain(settings),
    outputChain(settings, sets),
    workloadDispatchChain('cali-from-wl-dispatch', 'in', 'cali-from-wl', settings),
    workloadDispatchChain('cali-to-wl-dispatch', 'out', 'cali-to-wl', settings),
    ...failsafeChains(settings, 'raw'),
    ...failsafeChains(settings, 'mangle'),
    ...failsafeChains(settings, 'filter'),
  ];
}

/** raw cali-rpf-skip: prefixes that a container may send from though no route to them leads to it. */
export function allowedSourcesChain(settings: FilterSettings, endpoints: readonly DesiredEndpoint[]): Chain {
  const allowing = settings.sourceSpoofing ? endpoints : [];
  const sorted = [...allowing].sort((a, b) => (a.deviceName < b.deviceName ? -1 : 1));
  const rules = sorted.flatMap(({ deviceName, allowedSources, provenance }) =>
    [...allowedSources].sort(compareCidr).map((prefix): Rule => {
      const source: Match = { kind: 'nets', end: 'source', family: familyOf(prefix), prefixes: [prefix], is: true };
      return { ...rule([device('in', deviceName), source], { kind: 'accept' }, 'May send from here'), provenance };
    }),
  );
  return innerChain('raw', 'cali-rpf-skip', rules);
}

function rawChains(settings: FilterSettings): Chain[] {
  const { accept } = settings.marks;
  const accepted = rule([marked(accept)], { kind: 'accept' }, 'Untracked policy accepted');
  const untracked = settings.vxlan === undefined ? [] : [vxlanUntracked(settings.vxlan.port)];
  return [
    hookedChain('raw', 'cali-PREROUTING', 'PREROUTING', [
      begin(settings),
      ...untracked,
      rule([workloadDevice('in'), { kind: 'forged' }], goto('cali-forged'), 'Not reached by this device'),
      rule([hostDevice('in')], jump('cali-from-host-endpoint'), 'Untracked policy'),
      accepted,
    ]),
    // What is allowed all the same is looked for here, behind the one question that each packet of a container is asked.
    innerChain('raw', 'cali-forged', [
      rule([], jump('cali-rpf-skip'), 'Sources that are allowed besides its own'),
      rule(UNSPECIFIED, { kind: 'accept' }, 'Asks whether its address is taken'),
      ...protect([], 'forged source', 'egress', { denyAction: 'drop' }), // xt_REJECT is for the filter table alone
    ]),
    hookedChain('raw', 'cali-OUTPUT', 'OUTPUT', [
      begin(settings),
      rule([], jump('cali-to-host-endpoint'), 'Untracked policy'),
      ...untracked,
      accepted,
    ]),
  ];
}

/**
 * `::` is nobody's, so no route leads to it: who has no address yet sends from there to his neighbours (RFC 4862 section
 * 5.4, RFC 3590), and nothing with that source is ever forwarded. A link-local source has its route on each device.
 */
const UNSPECIFIED: readonly Match[] = [
  { kind: 'nets', end: 'source', family: 6, prefixes: [cidr('::/128')], is: true },
  protocol(IP_PROTOCOL.icmpv6),
];

/** Each tunnel packet would be a connection of its own, for its source port tells flows apart (RFC 7348 section 5). */
function vxlanUntracked(port: number): Rule {
  return rule([udpTo(port)], { kind: 'notrack' }, 'VXLAN is not tracked');
}

function mangleChains(settings: FilterSettings): Chain[] {
  const { accept } = settings.marks;
  const allow: Action = { kind: settings.mangleAllowAction };
  return [
    hookedChain('mangle', 'cali-PREROUTING', 'PREROUTING', [
      rule([KNOWN_CONNECTION], allow, 'Known connection'),
      rule([marked(accept)], allow, 'Untracked policy accepted'),
      rule([], jump('cali-from-host-endpoint'), 'Policy before translation'),
      rule([marked(accept)], allow, 'Host endpoint policy accepted'),
    ]),
    hookedChain('mangle', 'cali-POSTROUTING', 'POSTROUTING', [
      rule([{ kind: 'dnat', is: true }, notMarked(accept)], goto('cali-to-translated'), 'To a translated address'),
    ]),
    innerChain('mangle', 'cali-to-translated', [
      begin(settings),
      rule([], jump('cali-to-host-endpoint'), 'From the host to a translated address'),
    ]),
  ];
}

function inputChain(settings: FilterSettings, sets: SetLookup): Chain {
  const { accept } = settings.marks;
  const allow: Action = { kind: settings.filterAllowAction };
  return hookedChain('filter', 'cali-INPUT', 'INPUT', [
    ...(settings.ipip ? ipipInputRules(settings, sets) : []),
    ...(settings.vxlan === undefined ? [] : vxlanInputRules(settings.vxlan.port, settings, sets)),
    rule([workloadDevice('in')], goto('cali-wl-to-host'), 'From a workload'),
    rule([marked(accept)], allow, 'Accepted before'),
    begin(settings),
    rule([], jump('cali-from-host-endpoint'), 'To the host itself'),
    rule([marked(accept)], allow, 'Host endpoint policy accepted'),
  ]);
}

/** Whoever may send tunnel packets can send from any container's address: so hosts of the cluster alone may. */
function ipipInputRules(settings: FilterSettings, sets: SetLookup): Rule[] {
  const ipip: readonly Match[] = [{ kind: 'family', family: 4 }, protocol(PROTOCOL_IPIP)];
  const known = inSet(sets, 'source', 4, ALL_HOSTS).map((source) =>
    rule(
      [protocol(PROTOCOL_IPIP), source, localAddress('destination')],
      { kind: settings.filterAllowAction },
      'IPIP from a known host',
    ),
  );
  return [...known, ...protect(ipip, 'IPIP from an unknown host', 'ingress', settings)];
}

function vxlanInputRules(port: number, settings: FilterSettings, sets: SetLookup): Rule[] {
  const known = FAMILIES.flatMap((family) => inSet(sets, 'source', family, VXLAN_HOSTS)).map((source) =>
    rule(
      [udpTo(port), source, localAddress('destination')],
      { kind: settings.filterAllowAction },
      'VXLAN from a known host',
    ),
  );
  const others = [udpTo(port), localAddress('destination')];
  return [...known, ...protect(others, 'VXLAN from an unknown host', 'ingress', { denyAction: 'drop' })];
}

/** What a container sends to its host: its policy first, then the action that the operator chose for all of them. */
function workloadToHostChain(settings: FilterSettings): Chain {
  const neighbours = NEIGHBOUR_TYPES.map((type) =>
    rule(
      [{ kind: 'icmp', family: 6, match: { type, code: undefined }, is: true }],
      { kind: 'accept' },
      'Neighbour discovery',
    ),
  );
  return innerChain('filter', 'cali-wl-to-host', [
    ...neighbours,
    rule([], jump('cali-from-wl-dispatch'), 'What the workload may send'),
    ...endpointToHostRules(settings),
  ]);
}

function endpointToHostRules(settings: FilterSettings): Rule[] {
  const { endpointToHostAction: action, filterAllowAction } = settings;
  if (action !== 'drop') return [rule([], { kind: action }, 'Workload to its host')];
  // Where "allowed" means "return", answers to the host come back here, too; elsewhere the workload's chain has accepted them.
  const answers = filterAllowAction === 'return' ? [rule([KNOWN_CONNECTION], { kind: 'return' }, 'Answers')] : [];
  return [...answers, ...protect([], 'workload to its host', 'egress', { denyAction: 'drop' })];
}

function forwardChain(settings: FilterSettings): Chain {
  const { accept, pass, scratch0, scratch1 } = settings.marks;
  const rules = [
    rule([], clearMark(pass | scratch0 | scratch1), 'Begin anew'),
    rule([notMarked(accept)], jump('cali-from-hep-forward'), 'Into the host'),
    rule([workloadDevice('in')], jump('cali-from-wl-dispatch'), 'From a workload'),
    rule([workloadDevice('out')], jump('cali-to-wl-dispatch'), 'To a workload'),
    rule([], jump('cali-to-hep-forward'), 'Out of the host'),
  ];
  const hookRules = [
    rule([marked(accept)], { kind: settings.filterAllowAction }, 'Policy accepted'),
    rule([], setMark(accept), 'Policy of the sending host is not for it'),
  ];
  return { ...hookedChain('filter', 'cali-FORWARD', 'FORWARD', rules), hookRules };
}

function outputChain(settings: FilterSettings, sets: SetLookup): Chain {
  const { accept } = settings.marks;
  const allow: Action = { kind: settings.filterAllowAction };
  return hookedChain('filter', 'cali-OUTPUT', 'OUTPUT', [
    rule([marked(accept)], allow, 'Accepted before'),
    rule([workloadDevice('out')], { kind: 'return' }, 'Host to its own workload'),
    ...tunnelOutputRules(settings, sets),
    begin(settings),
    rule([{ kind: 'dnat', is: false }], jump('cali-to-host-endpoint'), 'From the host itself'),
    rule([marked(accept)], allow, 'Host endpoint policy accepted'),
  ]);
}

function tunnelOutputRules({ ipip, vxlan, filterAllowAction }: FilterSettings, sets: SetLookup): Rule[] {
  const allow: Action = { kind: filterAllowAction };
  const toHosts = ipip ? inSet(sets, 'destination', 4, ALL_HOSTS) : [];
  const ipipRules = toHosts.map((hosts) =>
    rule([protocol(PROTOCOL_IPIP), hosts, localAddress('source')], allow, 'IPIP to a known host'),
  );
  if (vxlan === undefined) return ipipRules;
  const vxlanRules = FAMILIES.flatMap((family) => inSet(sets, 'destination', family, VXLAN_HOSTS)).map((hosts) =>
    rule([udpTo(vxlan.port), hosts, localAddress('source')], allow, 'VXLAN to a known host'),
  );
  return [...ipipRules, ...vxlanRules];
}

function workloadDispatchChain(
  name: string,
  direction: Direction,
  map: DispatchMapName,
  settings: FilterSettings,
): Chain {
  return innerChain('filter', name, [
    rule([], { kind: 'dispatch', direction, map }, 'By device'),
    ...protect([], 'unknown interface', direction === 'in' ? 'egress' : 'ingress', settings),
  ]);
}

function begin({ marks }: FilterSettings): Rule {
  return rule([], clearMark(blanketBits(marks)), 'Begin anew');
}
