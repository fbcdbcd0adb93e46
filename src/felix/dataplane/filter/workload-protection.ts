/**
 * What no container may send, whatever its policy says: encapsulated packets, router advertisements, answers of a DHCP server.
 *
 * One chain for all containers, to which each one's own chain leads only the protocols that it is about, so that a TCP packet
 * pays for three comparisons and no more. It stands before connection tracking is asked, since an answer to VXLAN's port is
 * "established", too.
 */
import type { FilterSettings } from '../../desired/filter-settings.ts';
import type { Chain, Match, Rule } from './program.ts';
import { innerChain, jump, onePort, protect, protocol, rule, udpTo } from './rules.ts';

const CHAIN = 'cali-wl-protection';
const PROTOCOL_IPIP = 4;
const PROTOCOL_UDP = 17;
const PROTOCOL_ICMPV6 = 58;
const ROUTER_ADVERTISEMENT = 134;
/** From where a server answers: RFC 2131 section 4.1, RFC 8415 section 7.2. */
const DHCP_SERVER_PORT = { 4: 67, 6: 547 } as const;

/** For the beginning of each container's chain. */
export function protectionJumps({ ipipFromWorkloads }: FilterSettings): Rule[] {
  const protocols = [PROTOCOL_UDP, PROTOCOL_ICMPV6, ...(ipipFromWorkloads ? [] : [PROTOCOL_IPIP])];
  return protocols.map((number) => rule([protocol(number)], jump(CHAIN), 'What no workload may send'));
}

export function protectionChain(settings: FilterSettings): Chain {
  const { vxlanFromWorkloads, ipipFromWorkloads, vxlanPort } = settings;
  const denied = (matches: readonly Match[], what: string) => protect(matches, what, 'egress', settings);
  const advertisement: Match = {
    kind: 'icmp',
    family: 6,
    match: { type: ROUTER_ADVERTISEMENT, code: undefined },
    is: true,
  };
  return innerChain('filter', CHAIN, [
    harmlessUdp(vxlanFromWorkloads ? [] : [vxlanPort]),
    ...(vxlanFromWorkloads ? [] : denied([udpTo(vxlanPort)], 'VXLAN from a workload')),
    ...(ipipFromWorkloads ? [] : denied([protocol(PROTOCOL_IPIP)], 'IPIP from a workload')),
    ...denied([advertisement], 'router advertisement'),
    ...denied(fromDhcpServer(4), 'DHCP server'),
    ...denied(fromDhcpServer(6), 'DHCPv6 server'),
  ]);
}

/** One question for nearly all of UDP, instead of one for each of the rules behind it. */
function harmlessUdp(destinations: readonly number[]): Rule {
  const udp = { kind: 'ports', protocol: 'udp', is: false } as const;
  const sources = [DHCP_SERVER_PORT[4], DHCP_SERVER_PORT[6]];
  const to: Match[] =
    destinations.length === 0 ? [] : [{ ...udp, end: 'destination', ports: destinations.map(onePort) }];
  return rule(
    [...to, { ...udp, end: 'source', ports: sources.map(onePort) }],
    { kind: 'return' },
    'To and from other ports',
  );
}

function fromDhcpServer(family: 4 | 6): Match[] {
  const port = DHCP_SERVER_PORT[family];
  const ports: Match = {
    kind: 'ports',
    end: 'source',
    protocol: 'udp',
    ports: [{ first: port, last: port }],
    is: true,
  };
  return [{ kind: 'family', family }, ports];
}
