/**
 * Whether a packet is what a rule's match asks for, by the same values that the kernel is given.
 *
 * Where the kernel cannot ask, neither can this: ports are of a protocol, a type of ICMP is of a family, and a match on a
 * packet of another one is false, turned around or not, as `tcp dport != 80` is false for UDP in both backends. A device
 * that a hook does not know has no name. Limits are taken as not used up, since one packet alone is looked at; whose turn it
 * is, whoever asks about the packet says, so that all that may become of it can be asked.
 * Of a set, addresses are looked up by their text, and the only prefix that can hold an address by halving, since no member
 * lies inside of another. `SetReader` remembers a set's prefixes in order, and so holds as long as the program does not change.
 */
import { assert } from '../../../lib/assert.ts';
import { byteAt } from '../../../lib/bytes.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { cidr, compareCidr } from '../../../net/cidr.ts';
import type { Family, Ip } from '../../../net/ip.ts';
import { compareIp, formatIp, isLinkLocal } from '../../../net/ip.ts';
import type { ConntrackState, End, FilterProgram, Match } from './program.ts';
import { setKey } from './program.ts';

/** What the host knows of addresses, by its own ones and its routes. */
export interface FilterWorld {
  /** Whether it is an address of this host: of the device, or of any where that is undefined. */
  isLocal(address: Ip, deviceName: string | undefined): boolean;
  /** The device that a packet to this address leaves by; undefined where no route leads to it. */
  deviceOf(address: Ip): string | undefined;
}

/** A packet at one hook, as its matches see it. Marks, addresses and tracking change on the way. */
export interface PacketState {
  readonly family: Family;
  readonly protocol: number;
  source: Ip;
  destination: Ip;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
  conntrack: ConntrackState;
  mark: number;
  /** How many rules that take turns pass it on before one keeps it. */
  turnsLeft: number;
  /** Whether its destination was translated. */
  translated: boolean;
  /** Undefined where the hook does not know it. */
  inDevice: string | undefined;
  outDevice: string | undefined;
}

const PORT_PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;
const PORT_PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(PORT_PROTOCOLS).map(([name, number]) => [number, name]),
);
const ICMP_PROTOCOL = { 4: 1, 6: 58 } as const;

type Of<Kind extends Match['kind']> = Extract<Match, { readonly kind: Kind }>;

/** Whether the match holds for the packet as it is now. */
export function matchHolds(match: Match, packet: PacketState, sets: SetReader, world: FilterWorld): boolean {
  switch (match.kind) {
    case 'device':
      return deviceHolds(match, packet) === match.is;
    case 'family':
      return packet.family === match.family;
    case 'protocol':
      return (packet.protocol === match.protocol) === match.is;
    case 'nets':
      return match.family === packet.family && insideOne(match.prefixes, packet[match.end]) === match.is;
    case 'set':
      return match.family === packet.family && sets.has(match, packet[match.end]) === match.is;
    case 'portSet':
      return match.family === packet.family && sets.hasPort(match, packet) === match.is;
    case 'ports':
      return packet.protocol === PORT_PROTOCOLS[match.protocol] && portsHold(match, packet) === match.is;
    case 'icmp': {
      const icmp = match.family === packet.family && packet.protocol === ICMP_PROTOCOL[match.family];
      return icmp && icmpHolds(match, packet) === match.is;
    }
    case 'conntrack':
      return match.states.includes(packet.conntrack) === match.is;
    case 'dnat':
      return packet.translated === match.is;
    case 'mark': {
      const set = packet.mark & match.bits;
      return match.is ? set === (match.bits | 0) : set === 0;
    }
    case 'local': {
      const device = match.onOutDevice ? packet.outDevice : undefined;
      return world.isLocal(packet[match.end], device) === match.is;
    }
    case 'forged':
      // Every device has fe80::/64 on it, so a link-local source is never another device's.
      return !isLinkLocal(packet.source) && world.deviceOf(packet.source) !== packet.inDevice;
    case 'turn':
      packet.turnsLeft -= 1;
      return packet.turnsLeft < 0;
    case 'limit':
      return true;
  }
}

function deviceHolds({ direction, name, prefix }: Of<'device'>, packet: PacketState): boolean {
  const device = (direction === 'in' ? packet.inDevice : packet.outDevice) ?? '';
  return prefix ? device.startsWith(name) : device === name;
}

function portsHold({ end, ports }: Of<'ports'>, packet: PacketState): boolean {
  const port = portOf(packet, end);
  return port !== undefined && ports.some(({ first, last }) => first <= port && port <= last);
}

function icmpHolds({ match }: Of<'icmp'>, { icmpType, icmpCode }: PacketState): boolean {
  return icmpType === match.type && (match.code === undefined || icmpCode === match.code);
}

function portOf(packet: PacketState, end: End): number | undefined {
  return end === 'source' ? packet.sourcePort : packet.destinationPort;
}

function insideOne(prefixes: readonly Cidr[], { bytes }: Ip): boolean {
  for (const prefix of prefixes) if (isInside(prefix, bytes)) return true;
  return false;
}

/** As `containsIp`, for bytes of the same family, without making a value for each question: rules are many. */
function isInside({ address, length }: Cidr, bytes: Uint8Array): boolean {
  const whole = length >> 3;
  for (let index = 0; index < whole; index++) if (address.bytes[index] !== bytes[index]) return false;
  const rest = length & 7;
  return rest === 0 || (byteAt(address.bytes, whole) ^ byteAt(bytes, whole)) >> (8 - rest) === 0;
}

interface SetView {
  readonly members: ReadonlySet<string>;
  /** Those among the members, ordered by address. */
  readonly prefixes: readonly Cidr[];
}

/** Membership in the sets of a program that does not change meanwhile. */
export class SetReader {
  readonly #program: FilterProgram;
  /** By match: its set need not be looked for by name each time. */
  readonly #views = new Map<Match, SetView>();

  constructor(program: FilterProgram) {
    this.#program = program;
  }

  has(match: Of<'set'>, address: Ip): boolean {
    const { members, prefixes } = this.#view(match, match.part);
    if (match.part !== 'prefixes' && members.has(formatIp(address))) return true;
    const nearest = lastNotAfter(prefixes, address);
    return nearest !== undefined && isInside(nearest, address.bytes);
  }

  hasPort(match: Of<'portSet'>, packet: PacketState): boolean {
    const protocol = PORT_PROTOCOL_NAMES.get(packet.protocol);
    const port = portOf(packet, match.end);
    if (protocol === undefined || port === undefined) return false;
    return this.#view(match, 'all').members.has(`${formatIp(packet[match.end])},${protocol}:${port}`);
  }

  #view(match: Of<'set' | 'portSet'>, part: Of<'set'>['part']): SetView {
    let view = this.#views.get(match);
    if (view === undefined) {
      const key = setKey({ ...match, part });
      const members = this.#program.sets.get(key)?.members;
      assert(members !== undefined, `a rule names the set ${key}, which is not there`);
      view = { members, prefixes: prefixesOf(members) };
      this.#views.set(match, view);
    }
    return view;
  }
}

function prefixesOf(members: ReadonlySet<string>): Cidr[] {
  const prefixes: Cidr[] = [];
  for (const member of members) if (member.includes('/')) prefixes.push(cidr(member));
  return prefixes.sort(compareCidr);
}

/** The last of the prefixes whose first address is not after this one. */
function lastNotAfter(prefixes: readonly Cidr[], address: Ip): Cidr | undefined {
  let [low, high] = [0, prefixes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const prefix = prefixes[middle];
    if (prefix !== undefined && compareIp(prefix.address, address) <= 0) low = middle + 1;
    else high = middle;
  }
  return prefixes[low - 1];
}
