/**
 * What is written in a lab's picture: in the box of each machine, and beside the line of each segment.
 *
 * A box has the machine's name, then what it is and which addresses it has, then, for a host, its blocks and workloads.
 * Interface names are left out where there is only one; where the picture must be narrow, they and the word block are. Pure.
 */
import { formatCidr, type InterfaceAddress } from '../../net/cidr.ts';
import { formatIp } from '../../net/ip.ts';
import type { Host, Router, Topology } from '../topology.ts';

/** The text of a box: its title, what the machine is, and under a line what it carries. */
export interface BoxText {
  readonly kind: 'host' | 'router';
  readonly title: string;
  readonly about: readonly string[];
  readonly workloads: readonly string[];
}

export function hostText(topology: Topology, host: Host, terse: boolean): BoxText {
  const workloads = topology.workloads.filter((workload) => workload.host === host.name);
  return {
    kind: 'host',
    title: host.name,
    about: [
      ...(host.asNumber === undefined ? [] : [`AS ${host.asNumber}`]),
      ...(host.routeReflectorClusterID === undefined ? [] : ['reflector']),
      ...addressLines(host, terse),
      ...host.blocks.map((block) => (terse ? formatCidr(block) : `block ${formatCidr(block)}`)),
    ],
    workloads: workloads.flatMap(({ name, addresses }) => {
      const [first = '', ...more] = addresses.map(formatIp);
      return [`${name} ${first}`.trim(), ...more.map((address) => `${' '.repeat(name.length)} ${address}`)];
    }),
  };
}

export function routerText(router: Router, terse: boolean): BoxText {
  const what =
    router.forwards === 'assigned'
      ? 'fabric: its own addresses only'
      : router.runs === undefined
        ? 'router'
        : `router, ${router.runs.program}`;
  return { kind: 'router', title: router.name, about: [what, ...addressLines(router, terse)], workloads: [] };
}

/** "lan 192.168.100.0/24 fd00:100::/64". */
export function segmentLabel({ hosts, routers }: Topology, segment: string): string {
  const subnets = [...hosts, ...routers]
    .flatMap(({ plugs }) => plugs.filter((plug) => plug.segment === segment))
    .flatMap(({ addresses }) => addresses.map(({ subnet }) => formatCidr(subnet)));
  return [segment, ...new Set(subnets)].join(' ');
}

function addressLines({ plugs, addresses: own }: Host | Router, terse: boolean): string[] {
  const lines = (name: string, addresses: readonly InterfaceAddress[], isAlone: boolean): string[] => {
    const texts = addresses.map(({ address }) => formatIp(address));
    if (terse || isAlone) return texts;
    return texts.length === 0 ? [name] : texts.map((text) => `${name} ${text}`);
  };
  const isAlone = plugs.length === 1 && own.length === 0;
  return [
    ...(own.length === 0 ? [] : lines('lo', own, false)),
    ...plugs.flatMap((plug) => lines(plug.interface, plug.addresses, isAlone)),
  ];
}
