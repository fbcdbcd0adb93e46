/**
 * Capabilities: what the two sides of a session can do, said once in OPEN.
 *
 * One table with a row for each capability that we understand; to learn a new one is to add a row. Unknown ones are
 * remembered by their code for people to see, and otherwise ignored, as are malformed values, since a capability that was
 * not said clearly was not said (RFC 5492 section 5 leaves no other error than "unsupported"). A peer may repeat a
 * capability, or spread them over many optional parameters.
 *
 * RFC 5492; what each row means is in the RFC beside it.
 */
import { type ByteReader, ByteWriter } from '../../lib/bytes.ts';
import type { Family } from '../../net/ip.ts';
import type { Role } from '../peer-config.ts';

export interface GracefulRestart {
  /** The R bit: the sender has just restarted, and is not to be waited for. */
  readonly restarting: boolean;
  /** The N bit: a NOTIFICATION or a silent peer does not end the restart procedure (RFC 8538). */
  readonly notification: boolean;
  readonly restartTimeSeconds: number;
  readonly families: readonly {
    readonly family: Family;
    /** The F bit: packets were forwarded during the restart. */
    readonly forwardingPreserved: boolean;
  }[];
}

/** What the sender is able and willing to do with several paths to a prefix (RFC 7911 section 4). */
export interface AddPath {
  readonly family: Family;
  readonly send: boolean;
  readonly receive: boolean;
}

export interface LongLived {
  readonly family: Family;
  readonly forwardingPreserved: boolean;
  /** How long the sender's routes are to be kept after the restart time, in seconds of 24 bits. */
  readonly staleSeconds: number;
}

export interface Capabilities {
  /** Families of MP-BGP; undefined when the capability was not sent, which means IPv4 in the classic fields. */
  readonly families: readonly Family[] | undefined;
  /** The sender's AS number in 32 bits; undefined when it only knows 16 bits. */
  readonly fourOctetAsn: number | undefined;
  readonly routeRefresh: boolean;
  /** RFC 7313. */
  readonly enhancedRouteRefresh: boolean;
  /** RFC 8654. */
  readonly extendedMessages: boolean;
  /** IPv4 prefixes may have IPv6 next hops (RFC 8950). */
  readonly ipv4OverIpv6: boolean;
  readonly gracefulRestart: GracefulRestart | undefined;
  readonly addPath: readonly AddPath[];
  /** RFC 9494; an empty list says that the sender only keeps the routes of others. */
  readonly longLived: readonly LongLived[] | undefined;
  /** RFC 9234; 'contradictory' for a number that no role has, and for two different ones. */
  readonly role: Role | 'contradictory' | undefined;
  /** The sender's host and domain name, for people (draft-walton-bgp-hostname-capability). */
  readonly hostName: string | undefined;
  /** Codes of what we do not understand, each once, ascending. */
  readonly unknown: readonly number[];
}

export const NO_CAPABILITIES: Capabilities = {
  families: undefined,
  fourOctetAsn: undefined,
  routeRefresh: false,
  enhancedRouteRefresh: false,
  extendedMessages: false,
  ipv4OverIpv6: false,
  gracefulRestart: undefined,
  addPath: [],
  longLived: undefined,
  role: undefined,
  hostName: undefined,
  unknown: [],
};

/** The longest time that the 24 bits of long-lived graceful restart hold. */
export const LONG_LIVED_SECONDS_MAX = 0xffffff;
/** The longest time that the 12 bits of graceful restart hold. */
export const RESTART_SECONDS_MAX = 0x0fff;

const UNICAST = 1;
const RESTARTING_FLAG = 0x8000;
const NOTIFICATION_FLAG = 0x4000;
const FORWARDING_FLAG = 0x80;
const ADD_PATH_RECEIVE = 1;
const ADD_PATH_SEND = 2;
const NOTHING = new Uint8Array(0);
/** By their numbers on the wire (RFC 9234 section 4.1). */
const ROLES: readonly Role[] = ['provider', 'route-server', 'route-server-client', 'customer', 'peer'];

/** The address family identifier (IANA AFI). */
function afiOf(family: Family): 1 | 2 {
  return family === 4 ? 1 : 2;
}

/** The family of an AFI and SAFI; undefined for all but IPv4 and IPv6 unicast. */
export function familyOfAfi(afi: number, safi: number): Family | undefined {
  if (safi !== UNICAST) return undefined;
  if (afi === 1) return 4;
  return afi === 2 ? 6 : undefined;
}

/** AFI and SAFI as on the wire in MP_REACH_NLRI, MP_UNREACH_NLRI and the prefix limit's NOTIFICATION. */
export function writeAfiSafi(writer: ByteWriter, family: Family): void {
  writer.u16(afiOf(family)).u8(UNICAST);
}

interface CapabilityRow {
  readonly code: number;
  readonly name: string;
  /** What `value` adds to what is known so far; undefined when malformed or of no concern to us. */
  readonly decode: (value: ByteReader, known: Capabilities) => Partial<Capabilities> | undefined;
  /** The values to send: as many capabilities of this code. */
  readonly encode: (own: Capabilities) => Uint8Array[];
}

const CAPABILITIES: readonly CapabilityRow[] = [
  {
    code: 1, // RFC 4760 section 8
    name: 'multiprotocol',
    decode: decodeMultiprotocol,
    encode: (own) => (own.families ?? []).map(multiprotocolValue),
  },
  flag(2, 'route refresh', 'routeRefresh'), // RFC 2918
  {
    code: 5, // RFC 8950 section 4
    name: 'extended next hop',
    decode: decodeExtendedNextHop,
    encode: (own) => (own.ipv4OverIpv6 ? [Uint8Array.of(0, afiOf(4), 0, UNICAST, 0, afiOf(6))] : []),
  },
  flag(6, 'extended messages', 'extendedMessages'), // RFC 8654
  { code: 9, name: 'role', decode: decodeRole, encode: encodeRole }, // RFC 9234
  { code: 64, name: 'graceful restart', decode: decodeGracefulRestart, encode: encodeGracefulRestart },
  { code: 65, name: 'four-octet AS', decode: decodeFourOctetAsn, encode: encodeFourOctetAsn }, // RFC 6793
  { code: 69, name: 'add-path', decode: decodeAddPath, encode: encodeAddPath }, // RFC 7911
  flag(70, 'enhanced route refresh', 'enhancedRouteRefresh'), // RFC 7313
  { code: 71, name: 'long-lived graceful restart', decode: decodeLongLived, encode: encodeLongLived }, // RFC 9494
  { code: 73, name: 'FQDN', decode: decodeHostName, encode: () => [] },
  // The code of route refresh before it had one of its own; still sent by old routers beside the new one.
  { code: 128, name: 'route refresh', decode: () => ({ routeRefresh: true }), encode: () => [] },
];

function flag(
  code: number,
  name: string,
  field: 'routeRefresh' | 'enhancedRouteRefresh' | 'extendedMessages',
): CapabilityRow {
  return { code, name, decode: () => ({ [field]: true }), encode: (own) => (own[field] ? [NOTHING] : []) };
}

/** What the capabilities in `reader`, a sequence of code, length, value, add to `known`; undefined when they overrun. */
export function decodeCapabilities(reader: ByteReader, known: Capabilities): Capabilities | undefined {
  let capabilities = known;
  while (reader.remaining > 0) {
    const code = reader.u8();
    const value = reader.sub(reader.u8() ?? -1);
    if (code === undefined || value === undefined) return undefined;
    const row = CAPABILITIES.find((candidate) => candidate.code === code);
    const { unknown } = capabilities;
    if (row !== undefined) capabilities = { ...capabilities, ...row.decode(value, capabilities) };
    else if (!unknown.includes(code)) {
      capabilities = { ...capabilities, unknown: [...unknown, code].sort((a, b) => a - b) };
    }
  }
  return capabilities;
}

export function encodeCapabilities(own: Capabilities): Uint8Array {
  const writer = new ByteWriter(96);
  for (const row of CAPABILITIES) {
    for (const value of row.encode(own)) writer.u8(row.code).u8(value.length).bytes(value);
  }
  return writer.finish();
}

/** Names for people: "multiprotocol", "FQDN (host-a.example.org)", "unknown 199". */
export function capabilityNames(capabilities: Capabilities): string[] {
  const said = CAPABILITIES.filter((row) => row.encode(capabilities).length > 0).map((row) => row.name);
  const { families, hostName, role, unknown } = capabilities;
  if (families?.length === 0) said.unshift('multiprotocol'); // of families that we do not know
  if (role === 'contradictory') said.push('role (contradictory)');
  if (hostName !== undefined) said.push(`FQDN (${hostName})`);
  return [...said, ...unknown.map((code) => `unknown ${code}`)];
}

/** The value of the multiprotocol capability, which is also the data of "unsupported capability". */
export function multiprotocolValue(family: Family): Uint8Array {
  return Uint8Array.of(0, afiOf(family), 0, UNICAST);
}

function decodeMultiprotocol(value: ByteReader, known: Capabilities): Partial<Capabilities> | undefined {
  const afi = value.u16();
  const safi = value.u16();
  if (afi === undefined || safi === undefined) return undefined;
  const family = familyOfAfi(afi, safi & 0xff); // the high byte is reserved and ignored
  const families = known.families ?? [];
  // A family that we do not know still says that the peer speaks MP-BGP.
  return family === undefined || families.includes(family) ? { families } : { families: [...families, family] };
}

function decodeExtendedNextHop(value: ByteReader): Partial<Capabilities> | undefined {
  if (value.remaining % 6 !== 0) return undefined;
  while (value.remaining > 0) {
    const family = familyOfAfi(value.u16() ?? 0, value.u16() ?? 0);
    if (value.u16() === afiOf(6) && family === 4) return { ipv4OverIpv6: true };
  }
  return undefined;
}

function decodeRole(value: ByteReader, known: Capabilities): Partial<Capabilities> | undefined {
  const number = value.u8();
  if (number === undefined || value.remaining > 0) return undefined;
  const role = ROLES[number] ?? 'contradictory';
  return { role: known.role === undefined || known.role === role ? role : 'contradictory' };
}

function encodeRole(own: Capabilities): Uint8Array[] {
  const { role } = own;
  return role === undefined || role === 'contradictory' ? [] : [Uint8Array.of(ROLES.indexOf(role))];
}

function decodeFourOctetAsn(value: ByteReader): Partial<Capabilities> | undefined {
  const fourOctetAsn = value.u32();
  return fourOctetAsn === undefined ? undefined : { fourOctetAsn };
}

function encodeFourOctetAsn(own: Capabilities): Uint8Array[] {
  return own.fourOctetAsn === undefined ? [] : [new ByteWriter(4).u32(own.fourOctetAsn).finish()];
}

function decodeGracefulRestart(value: ByteReader): Partial<Capabilities> | undefined {
  const head = value.u16();
  if (head === undefined || value.remaining % 4 !== 0) return undefined;
  const families = new Map<Family, boolean>();
  while (value.remaining > 0) {
    const family = familyOfAfi(value.u16() ?? 0, value.u8() ?? 0);
    const flags = value.u8() ?? 0;
    if (family !== undefined) families.set(family, (flags & FORWARDING_FLAG) !== 0);
  }
  const gracefulRestart = {
    restarting: (head & RESTARTING_FLAG) !== 0,
    notification: (head & NOTIFICATION_FLAG) !== 0,
    restartTimeSeconds: head & RESTART_SECONDS_MAX,
    families: [...families].map(([family, forwardingPreserved]) => ({ family, forwardingPreserved })),
  };
  return { gracefulRestart };
}

function encodeGracefulRestart(own: Capabilities): Uint8Array[] {
  const restart = own.gracefulRestart;
  if (restart === undefined) return [];
  const flags = (restart.restarting ? RESTARTING_FLAG : 0) | (restart.notification ? NOTIFICATION_FLAG : 0);
  const writer = new ByteWriter(16).u16(flags | restart.restartTimeSeconds);
  for (const { family, forwardingPreserved } of restart.families) {
    writeAfiSafi(writer, family);
    writer.u8(forwardingPreserved ? FORWARDING_FLAG : 0);
  }
  return [writer.finish()];
}

function decodeAddPath(value: ByteReader, known: Capabilities): Partial<Capabilities> | undefined {
  if (value.remaining % 4 !== 0) return undefined;
  const rows = new Map(known.addPath.map((row) => [row.family, row]));
  while (value.remaining > 0) {
    const family = familyOfAfi(value.u16() ?? 0, value.u8() ?? 0);
    const mode = value.u8() ?? 0;
    if (mode < ADD_PATH_RECEIVE || mode > (ADD_PATH_RECEIVE | ADD_PATH_SEND)) return undefined;
    const [send, receive] = [(mode & ADD_PATH_SEND) !== 0, (mode & ADD_PATH_RECEIVE) !== 0];
    if (family !== undefined) rows.set(family, { family, send, receive });
  }
  return { addPath: [...rows.values()] };
}

function encodeAddPath(own: Capabilities): Uint8Array[] {
  const rows = own.addPath.filter(({ send, receive }) => send || receive);
  if (rows.length === 0) return [];
  const writer = new ByteWriter(8);
  for (const { family, send, receive } of rows) {
    writeAfiSafi(writer, family);
    writer.u8((send ? ADD_PATH_SEND : 0) | (receive ? ADD_PATH_RECEIVE : 0));
  }
  return [writer.finish()];
}

function decodeLongLived(value: ByteReader): Partial<Capabilities> | undefined {
  if (value.remaining % 7 !== 0) return undefined;
  const rows = new Map<Family, LongLived>();
  while (value.remaining > 0) {
    const family = familyOfAfi(value.u16() ?? 0, value.u8() ?? 0);
    const word = value.u32() ?? 0; // a byte of flags, three of time
    const forwardingPreserved = ((word >>> 24) & FORWARDING_FLAG) !== 0;
    if (family !== undefined)
      rows.set(family, { family, forwardingPreserved, staleSeconds: word & LONG_LIVED_SECONDS_MAX });
  }
  return { longLived: [...rows.values()] };
}

function encodeLongLived(own: Capabilities): Uint8Array[] {
  if (own.longLived === undefined) return [];
  const writer = new ByteWriter(14);
  for (const { family, forwardingPreserved, staleSeconds } of own.longLived) {
    writeAfiSafi(writer, family);
    writer.u8(forwardingPreserved ? FORWARDING_FLAG : 0);
    writer.u8(staleSeconds >>> 16).u16(staleSeconds & 0xffff);
  }
  return [writer.finish()];
}

function decodeHostName(value: ByteReader): Partial<Capabilities> | undefined {
  const host = value.take(value.u8() ?? -1);
  if (host === undefined || host.length === 0) return undefined;
  const domain = value.take(value.u8() ?? 0);
  const names = domain === undefined || domain.length === 0 ? [host] : [host, domain];
  const text = names.map((bytes) => new TextDecoder().decode(bytes)).join('.');
  return { hostName: text.replaceAll(/\p{Cc}+/gu, ' ') };
}
