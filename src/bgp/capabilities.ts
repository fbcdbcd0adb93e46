/**
 * Capabilities: what the two sides of a session can do, said once in OPEN.
 *
 * One table with a row for each capability that we understand; to learn a new one is to add a row. Unknown ones are
 * ignored, as are malformed values, since a capability that was not said clearly was not said (RFC 5492 section 5 leaves
 * no other error than "unsupported"). A peer may repeat a capability, or spread them over many optional parameters.
 * Route refresh is understood but never offered: who offers it must answer.
 *
 * RFC 5492, RFC 4760 section 8, RFC 6793 section 4, RFC 4724 section 3, RFC 2918.
 */
import { type ByteReader, ByteWriter } from '../lib/bytes.ts';
import type { Family } from '../net/ip.ts';

export interface GracefulRestart {
  /** The R bit: the sender has just restarted, and is not to be waited for. */
  readonly restarting: boolean;
  readonly restartTimeSeconds: number;
  readonly families: readonly {
    readonly family: Family;
    /** The F bit: packets were forwarded during the restart. */
    readonly forwardingPreserved: boolean;
  }[];
}

export interface Capabilities {
  /** Families of MP-BGP; undefined when the capability was not sent, which means IPv4 in the classic fields. */
  readonly families: readonly Family[] | undefined;
  /** The sender's AS number in 32 bits; undefined when it only knows 16 bits. */
  readonly fourOctetAsn: number | undefined;
  readonly gracefulRestart: GracefulRestart | undefined;
  readonly routeRefresh: boolean;
}

export const NO_CAPABILITIES: Capabilities = {
  families: undefined,
  fourOctetAsn: undefined,
  gracefulRestart: undefined,
  routeRefresh: false,
};

const UNICAST = 1;
const RESTART_FLAG = 0x8000;
const RESTART_TIME_MASK = 0x0fff;
const FORWARDING_FLAG = 0x80;

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
  /** What `value` adds to what is known so far; undefined when malformed or of no concern to us. */
  readonly decode: (value: ByteReader, known: Capabilities) => Partial<Capabilities> | undefined;
  /** The values to send: as many capabilities of this code. */
  readonly encode: (own: Capabilities) => Uint8Array[];
}

const CAPABILITIES: readonly CapabilityRow[] = [
  { code: 1, decode: decodeMultiprotocol, encode: (own) => (own.families ?? []).map(multiprotocolValue) },
  { code: 2, decode: () => ({ routeRefresh: true }), encode: (own) => (own.routeRefresh ? [new Uint8Array(0)] : []) },
  { code: 64, decode: decodeGracefulRestart, encode: encodeGracefulRestart },
  { code: 65, decode: decodeFourOctetAsn, encode: encodeFourOctetAsn },
];

/** What the capabilities in `reader`, a sequence of code, length, value, add to `known`; undefined when they overrun. */
export function decodeCapabilities(reader: ByteReader, known: Capabilities): Capabilities | undefined {
  let capabilities = known;
  while (reader.remaining > 0) {
    const code = reader.u8();
    const value = reader.sub(reader.u8() ?? -1);
    if (code === undefined || value === undefined) return undefined;
    const row = CAPABILITIES.find((candidate) => candidate.code === code);
    capabilities = { ...capabilities, ...row?.decode(value, capabilities) };
  }
  return capabilities;
}

export function encodeCapabilities(own: Capabilities): Uint8Array {
  const writer = new ByteWriter(64);
  for (const row of CAPABILITIES) {
    for (const value of row.encode(own)) writer.u8(row.code).u8(value.length).bytes(value);
  }
  return writer.finish();
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
    restarting: (head & RESTART_FLAG) !== 0,
    restartTimeSeconds: head & RESTART_TIME_MASK,
    families: [...families].map(([family, forwardingPreserved]) => ({ family, forwardingPreserved })),
  };
  return { gracefulRestart };
}

function encodeGracefulRestart(own: Capabilities): Uint8Array[] {
  const restart = own.gracefulRestart;
  if (restart === undefined) return [];
  const writer = new ByteWriter(16);
  writer.u16((restart.restarting ? RESTART_FLAG : 0) | (restart.restartTimeSeconds & RESTART_TIME_MASK));
  for (const { family, forwardingPreserved } of restart.families) {
    writeAfiSafi(writer, family);
    writer.u8(forwardingPreserved ? FORWARDING_FLAG : 0);
  }
  return [writer.finish()];
}
