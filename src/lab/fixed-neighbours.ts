/**
 * Machines of large segments, which are to know each other's MAC addresses from the start.
 *
 * The kernel keeps the neighbours of all namespaces in one table for each family, with room for 1,024 unless the machine's own
 * settings say otherwise (gc_thresh3 of arp(7)). 33 machines that all talk to each other fill it; from then on packets are
 * dropped, in the lab and everywhere else on the machine. Permanent entries are not counted. Small labs ask for their
 * neighbours as real hosts do. Pure; called by plan.ts.
 */
import type { Ip } from '../net/ip.ts';
import type { Plug, Topology } from './topology.ts';

/** Half of what there is room for: the machine's own neighbours, other labs' and the containers' need some, too. */
const NEIGHBOURS_MAX = 512;

/** A machine's interface, with the addresses that the others of its segment are to know. */
export interface SegmentEnd {
  readonly machine: string;
  readonly interface: string;
  readonly addresses: readonly Ip[];
}

/** The ends on each segment whose machines are to know all others there; none while all neighbours find room. */
export function fixedNeighbours(topology: Topology): (readonly SegmentEnd[])[] {
  const ends = [...topology.hosts, ...topology.routers].flatMap(({ name, plugs }) =>
    plugs.map((plug) => ({ segment: plug.segment, end: endOf(name, plug) })),
  );
  const segments = topology.segments.map((segment) =>
    ends.filter((each) => each.segment === segment).map(({ end }) => end),
  );
  const pairs = segments.reduce((sum, { length }) => sum + length * (length - 1), 0);
  return pairs <= NEIGHBOURS_MAX ? [] : segments.filter(({ length }) => length > 1);
}

function endOf(machine: string, plug: Plug): SegmentEnd {
  return { machine, interface: plug.interface, addresses: plug.addresses.map(({ address }) => address) };
}
