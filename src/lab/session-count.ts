/**
 * How many BGP sessions a lab has: what grows with the square of the hosts in a mesh, and with the hosts with reflectors.
 *
 * Each agent tells of its own ends. A session between two hosts has two ends that tell; one with a router that runs no
 * agent has one. Link-local peers are counted as hosts, since nothing tells whose address that is. Pure; for `lab up` and
 * `lab status`.
 */
import { isLinkLocal, parseIp, sameIp } from '../net/ip.ts';
import type { Topology } from './topology.ts';

/** An end as an agent shows it; a link-local address has its device behind it: fe80::1%eth0. */
interface SessionEnd {
  readonly address: string;
  readonly state: string;
}

/** Established sessions, of the ends of all agents together. */
export function establishedSessions(topology: Pick<Topology, 'hosts'>, ends: readonly SessionEnd[]): number {
  const own = topology.hosts.flatMap(({ plugs }) => plugs.flatMap(({ addresses }) => addresses));
  const established = ends.filter(({ state }) => state === 'Established');
  const doubled = established.filter(({ address: text }) => {
    const address = parseIp(text.replace(/%.*/, ''));
    if (address === undefined) return false;
    return isLinkLocal(address) || own.some((plugged) => sameIp(plugged.address, address));
  });
  return established.length - doubled.length + Math.ceil(doubled.length / 2);
}
