/**
 * BFD control packets as values (RFC 5880 section 4.1).
 *
 *      version 3 bits, diagnostic 5 │ state 2, poll, final, C, A, D, M │ multiplier │ length
 *      my discriminator │ your discriminator │ desired min TX │ required min RX │ required min echo RX
 *
 * Reading makes those checks of section 6.8.6 that need no session; what is wrong is a value. Intervals are whole
 * microseconds, as on the wire. We have no authentication, so a packet that claims to be authenticated is refused, as that
 * section demands. Called by bfd.ts.
 */
import { ByteReader, ByteWriter } from '../lib/bytes.ts';

export type SessionState = 'AdminDown' | 'Down' | 'Init' | 'Up';

/** In the order of their numbers on the wire. */
const STATES: readonly SessionState[] = ['AdminDown', 'Down', 'Init', 'Up'];

/** Why a session last left Up, by its number on the wire. */
const DIAGNOSTICS = [
  'no diagnostic',
  'control detection time expired',
  'echo function failed',
  'neighbour signalled session down',
  'forwarding plane reset',
  'path down',
  'concatenated path down',
  'administratively down',
  'reverse concatenated path down',
] as const;

/** Those that we give ourselves. */
export const DIAGNOSTIC = {
  none: 0,
  detectionTimeExpired: 1,
  neighbourSignalledDown: 3,
  administrativelyDown: 7,
} as const;

/** A diagnostic in words; "diagnostic 23" for one that RFC 5880 does not know. */
export function diagnosticText(diagnostic: number): string {
  return DIAGNOSTICS[diagnostic] ?? `diagnostic ${diagnostic}`;
}

export interface ControlPacket {
  readonly state: SessionState;
  readonly diagnostic: number;
  readonly poll: boolean;
  readonly final: boolean;
  /** The sender's BFD goes on when its control plane stops (the C bit). */
  readonly controlPlaneIndependent: boolean;
  /** The sender wants no periodic packets while both ends are Up (the D bit). */
  readonly demand: boolean;
  readonly multiplier: number;
  readonly myDiscriminator: number;
  /** 0 while the sender does not know it. */
  readonly yourDiscriminator: number;
  readonly desiredMinTxUs: number;
  readonly requiredMinRxUs: number;
}

const VERSION = 1;
const LENGTH = 24;

const FLAG = {
  poll: 0x20,
  final: 0x10,
  controlPlaneIndependent: 0x08,
  authentication: 0x04,
  demand: 0x02,
  multipoint: 0x01,
};

/** The packet in a datagram, or why it must be dropped (RFC 5880 section 6.8.6). */
export function decodePacket(bytes: Uint8Array): ControlPacket | { readonly refused: string } {
  const reader = new ByteReader(bytes);
  const first = reader.u8();
  const flags = reader.u8();
  const multiplier = reader.u8();
  const length = reader.u8();
  const myDiscriminator = reader.u32();
  const yourDiscriminator = reader.u32();
  const desiredMinTxUs = reader.u32();
  const requiredMinRxUs = reader.u32();
  const requiredMinEchoRxUs = reader.u32();
  if (
    first === undefined ||
    flags === undefined ||
    multiplier === undefined ||
    length === undefined ||
    myDiscriminator === undefined ||
    yourDiscriminator === undefined ||
    desiredMinTxUs === undefined ||
    requiredMinRxUs === undefined ||
    requiredMinEchoRxUs === undefined
  ) {
    return { refused: `${bytes.length} bytes, fewer than the ${LENGTH} of a control packet` };
  }
  const state = STATES[flags >> 6] ?? 'AdminDown'; // two bits: there are four
  if (first >> 5 !== VERSION) return { refused: `version ${first >> 5} instead of ${VERSION}` };
  if (length < LENGTH) return { refused: `a length field of ${length}, below ${LENGTH}` };
  if (length > bytes.length) return { refused: `a length field of ${length} in ${bytes.length} bytes` };
  if (multiplier === 0) return { refused: 'a detection multiplier of 0' };
  if ((flags & FLAG.multipoint) !== 0) return { refused: 'the multipoint bit is set' };
  if (myDiscriminator === 0) return { refused: 'a discriminator of 0' };
  if (yourDiscriminator === 0 && state !== 'Down' && state !== 'AdminDown') {
    return { refused: `state ${state} without our discriminator` };
  }
  if ((flags & FLAG.authentication) !== 0) return { refused: 'authenticated, which we have not agreed upon' };
  return {
    state,
    diagnostic: first & 0x1f,
    poll: (flags & FLAG.poll) !== 0,
    final: (flags & FLAG.final) !== 0,
    controlPlaneIndependent: (flags & FLAG.controlPlaneIndependent) !== 0,
    demand: (flags & FLAG.demand) !== 0,
    multiplier,
    myDiscriminator,
    yourDiscriminator,
    desiredMinTxUs,
    requiredMinRxUs,
  };
}

/** The bytes of a packet. We take no echo packets: required min echo RX is 0. */
export function encodePacket(packet: ControlPacket): Uint8Array {
  const flags =
    (STATES.indexOf(packet.state) << 6) |
    (packet.poll ? FLAG.poll : 0) |
    (packet.final ? FLAG.final : 0) |
    (packet.controlPlaneIndependent ? FLAG.controlPlaneIndependent : 0) |
    (packet.demand ? FLAG.demand : 0);
  return new ByteWriter(LENGTH)
    .u8((VERSION << 5) | packet.diagnostic)
    .u8(flags)
    .u8(packet.multiplier)
    .u8(LENGTH)
    .u32(packet.myDiscriminator)
    .u32(packet.yourDiscriminator)
    .u32(packet.desiredMinTxUs)
    .u32(packet.requiredMinRxUs)
    .u32(0)
    .finish();
}
