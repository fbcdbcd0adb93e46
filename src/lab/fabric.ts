/**
 * The fabric of a cloud: a network that drops each packet whose addresses it did not assign.
 *
 * A router that forwards assigned addresses only makes the segments that it is plugged into such a network: packets pass,
 * through the router and from machine to machine of one segment, when source and destination are both addresses that the
 * topology gives to machines there. Container addresses are none of these, so plain routing fails, as it does in
 * public clouds. ARP and neighbour discovery pass. Several such routers are one fabric. Pure: rules as nft's text.
 */
import { formatIp, type Ip } from '../net/ip.ts';
import type { Topology } from './topology.ts';

interface FabricRules {
  /** A router, or a segment that one is plugged into. */
  readonly entity: string;
  readonly script: string;
  readonly addresses: number;
}

const NEIGHBOUR_DISCOVERY = 'nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert';

/** What each router and segment of the topology's fabric is to be told; nothing where there is no fabric. */
export function fabricRules({ routers, hosts }: Pick<Topology, 'routers' | 'hosts'>): FabricRules[] {
  const fabric = routers.filter(({ forwards }) => forwards === 'assigned');
  const segments = new Set(fabric.flatMap(({ plugs }) => plugs.map(({ segment }) => segment)));
  const assigned = [...hosts, ...routers]
    .flatMap(({ plugs }) => plugs.filter(({ segment }) => segments.has(segment)))
    .flatMap(({ addresses }) => addresses.map(({ address }) => address));
  const neighbours = ['ether type arp accept', `icmpv6 type { ${NEIGHBOUR_DISCOVERY} } accept`];
  return [
    ...fabric.map(({ name }) => ({ entity: name, script: table('inet', assigned, []), addresses: assigned.length })),
    ...[...segments].map((segment) => ({
      entity: segment,
      script: table('bridge', assigned, neighbours),
      addresses: assigned.length,
    })),
  ];
}

function table(family: 'inet' | 'bridge', assigned: readonly Ip[], before: readonly string[]): string {
  const lines = [
    ...set('assigned4', 'ipv4_addr', assigned, 4),
    ...set('assigned6', 'ipv6_addr', assigned, 6),
    'chain forward {',
    '  type filter hook forward priority 0; policy drop;',
    ...before.map((rule) => `  ${rule}`),
    '  ip saddr @assigned4 ip daddr @assigned4 accept',
    '  ip6 saddr @assigned6 ip6 daddr @assigned6 accept',
    '  counter drop',
    '}',
  ];
  // Made anew where it is there already, as when a machine joins.
  const anew = `table ${family} fabric {\n}\ndelete table ${family} fabric\n`;
  return `${anew}table ${family} fabric {\n${lines.map((line) => `  ${line}\n`).join('')}}\n`;
}

function set(name: string, type: string, addresses: readonly Ip[], family: 4 | 6): string[] {
  const elements = addresses.filter((address) => address.family === family).map(formatIp);
  // nft takes no empty list.
  return [
    `set ${name} {`,
    `  type ${type}`,
    ...(elements.length > 0 ? [`  elements = { ${elements.join(', ')} }`] : []),
    '}',
  ];
}
