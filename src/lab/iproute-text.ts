/**
 * Routes and neighbours as iproute2 prints them, and patterns over such lines.
 *
 * A topology states what must be there in the words that its reader will see: a line of `ip route` or `ip neigh`. The
 * order of the words is iproute2's (ip/iproute.c, print_route); a neighbour's line ends before its state, which
 * changes by itself. A route over several next hops (ECMP), which iproute2 breaks into lines, is one line here: blanks and
 * line ends do not count. In a pattern * stands for any letters of one word.
 */
import { formatCidr } from '../net/cidr.ts';
import { addressBits, type Family, formatIp } from '../net/ip.ts';
import type { IfIndex, Neighbour, NextHop, Route } from '../net/kernel-objects.ts';
import { ROUTE_SCOPE } from '../net/kernel-objects.ts';

/** /etc/iproute2/rt_protos; "boot" is what routes have that nobody marked, and is not printed. */
const PROTOCOL_NAMES: Readonly<Record<number, string>> = { 2: 'kernel', 4: 'static', 9: 'ra', 12: 'bird', 186: 'bgp' };
const PROTOCOL_BOOT = 3;

const SCOPE_NAMES: Readonly<Record<number, string>> = { [ROUTE_SCOPE.link]: 'link', [ROUTE_SCOPE.host]: 'host' };

/** The kernel gives every IPv6 route without a metric this one (IP6_RT_PRIO_USER). */
const IPV6_DEFAULT_METRIC = 1024;

type DeviceName = (index: IfIndex) => string;

/** A route's line; IPv6 hangs what it discards on lo. "172.17.9.0/24 via 192.168.100.101 dev eth0 proto bird onlink". */
export function routeLine(route: Route, deviceName: DeviceName): string {
  const { family } = route.destination.address;
  const [only] = route.nextHops;
  const several = route.nextHops.length > 1;
  const hop = (each: NextHop) => hopText(each, family, deviceName);
  const metric = route.metric === 0 && family === 6 ? IPV6_DEFAULT_METRIC : route.metric;
  return words(
    route.type === 'unicast' ? '' : route.type,
    destinationText(route),
    several || only === undefined ? '' : hop(only),
    only === undefined && family === 6 ? 'dev lo' : '',
    route.protocol === PROTOCOL_BOOT ? '' : `proto ${PROTOCOL_NAMES[route.protocol] ?? route.protocol}`,
    route.scope === ROUTE_SCOPE.universe ? '' : `scope ${SCOPE_NAMES[route.scope] ?? route.scope}`,
    route.source === undefined ? '' : `src ${formatIp(route.source)}`,
    metric === 0 ? '' : `metric ${metric}`,
    !several && only?.onlink ? 'onlink' : '',
    family === 6 ? 'pref medium' : '',
    ...(several
      ? route.nextHops.map((each) => words('nexthop', hop(each), 'weight 1', each.onlink ? 'onlink' : ''))
      : []),
  );
}

/** "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee". */
export function neighbourLine(neighbour: Neighbour, deviceName: DeviceName): string {
  return words(
    formatIp(neighbour.address),
    `dev ${deviceName(neighbour.index)}`,
    neighbour.mac === undefined ? '' : `lladdr ${neighbour.mac}`,
  );
}

/** Whether `line` is what `pattern` describes; the number of blanks does not count. */
export function fits(pattern: string, line: string): boolean {
  const wanted = pattern.trim().split(/\s+/);
  const found = line.trim().split(/\s+/);
  return wanted.length === found.length && wanted.every((word, index) => wordFits(word, found[index] ?? ''));
}

function wordFits(pattern: string, word: string): boolean {
  const escaped = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
  return new RegExp(`^${escaped}$`).test(word);
}

function destinationText({ destination }: Route): string {
  if (destination.length === 0) return 'default';
  const whole = destination.length === addressBits(destination.address.family);
  return whole ? formatIp(destination.address) : formatCidr(destination);
}

/** A gateway of another family than the destination's is named with it (RFC 8950 makes such routes). */
function hopText(hop: NextHop, family: Family, deviceName: DeviceName): string {
  const foreign = hop.gateway !== undefined && hop.gateway.family !== family;
  return words(
    hop.gateway === undefined ? '' : `via ${foreign ? 'inet6 ' : ''}${formatIp(hop.gateway)}`,
    hop.index === undefined ? '' : `dev ${deviceName(hop.index)}`,
  );
}

function words(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(' ');
}
