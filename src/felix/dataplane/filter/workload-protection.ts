/**
 * What no container may send, whatever its policy says: encapsulated packets, router advertisements, answers of a DHCP server.
 *
 * One chain for all containers, to which each one's own chain leads only the protocols that it is about, so that a TCP packet
 * pays for three comparisons and no more. It stands before connection tracking is asked, since an answer to VXLAN's port is
 * "established", too.
 */
import type { FilterSettings } from '../../desired/filter-settings.ts';
import type { Chain, Match, Rule } from './program.ts';
import { innerChain, jump, protect, protocol, rule, udpTo } from './rules.ts';

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
    ...(vxlanFromWorkloads ? [] : denied([udpTo(vxlanPort)], 'VXLAN from a workload')),
    ...(ipipFromWorkloads ? [] : denied([protocol(PROTOCOL_IPIP)], 'IPIP from a workload')),
    ...denied([advertisement], 'router advertisement'),
    ...denied(fromDhcpServer(4), 'DHCP server'),
    ...denied(fromDhcpServer(6), 'DHCPv6 server'),
  ]);
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
