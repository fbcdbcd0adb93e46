/**
 * Path attributes that we do not use, but know well enough to say when they are malformed.
 *
 * They belong to services that we do not run (VPNs, multicast, segment routing, link state). What is well-formed and
 * transitive is passed on as it came; what is non-transitive ends here. The checks go as deep as the RFCs demand: a peer
 * behind us that does use the attribute should not get one from us that would make it reset its session.
 *
 * RFC 5543 (with RFC 7606 section 7.13), 5701, 6368, 6514, 7311, 8669, 9012, 9552; the Next Hop Dependent Characteristics of IDR's draft.
 * The rows become part of the table in attributes-table.ts.
 */
import { ByteReader, byteAt } from '../../lib/bytes.ts';
import { ATTRIBUTE, FLAG_EXTENDED_LENGTH, OPTIONAL_NON_TRANSITIVE, OPTIONAL_TRANSITIVE } from './attributes.ts';

interface CarriedAttribute {
  readonly type: number;
  readonly name: string;
  readonly flags: number;
  readonly whenMalformed: 'discard-attribute' | 'treat-as-withdraw';
  readonly whenFlaggedWrong?: 'discard-attribute' | 'treat-as-withdraw';
  readonly internalOnly?: true;
  readonly use: 'pass-on' | 'drop';
  /** In words what is wrong with a value. */
  readonly check: (value: Uint8Array) => string | undefined;
}

export const CARRIED_ATTRIBUTES: readonly CarriedAttribute[] = [
  {
    type: 22,
    name: 'PMSI_TUNNEL',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    use: 'pass-on',
    check: checkPmsiTunnel,
  },
  {
    type: 23,
    name: 'TUNNEL_ENCAPSULATION',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    use: 'pass-on',
    check: checkTunnelEncapsulation,
  },
  {
    type: 24,
    name: 'TRAFFIC_ENGINEERING',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    use: 'drop',
    check: () => undefined,
  },
  {
    type: 25,
    name: 'IPv6 EXTENDED COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    use: 'pass-on',
    check: (value) =>
      value.length > 0 && value.length % 20 === 0
        ? undefined
        : `${value.length} bytes, a multiple of 20 above 0 would be right`,
  },
  {
    type: 26,
    name: 'AIGP',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    whenFlaggedWrong: 'discard-attribute', // RFC 7311
    use: 'drop', // no session of ours has AIGP_SESSION enabled (section 3.1)
    check: () => undefined,
  },
  {
    type: 29,
    name: 'BGP-LS',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    whenFlaggedWrong: 'discard-attribute', // RFC 9552 section 8.2.2
    use: 'drop',
    check: (value) => checkTlvs(value, 2, () => undefined),
  },
  {
    type: 39,
    name: 'NEXT_HOP_CHARACTERISTICS',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    whenFlaggedWrong: 'discard-attribute',
    use: 'pass-on',
    check: checkNextHopCharacteristics,
  },
  {
    type: 40,
    name: 'BGP_PREFIX_SID',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    whenFlaggedWrong: 'discard-attribute',
    internalOnly: true, // RFC 8669 section 4: from outside of the domain it is not accepted
    use: 'pass-on',
    check: (value) => checkTlvs(value, 1, checkPrefixSid),
  },
  {
    type: 128,
    name: 'ATTR_SET',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    use: 'pass-on',
    check: checkAttributeSet,
  },
];

/** The last tunnel type that RFC 6514 section 5 defines. */
const PMSI_TUNNEL_TYPE_MAX = 7;
const PMSI_INGRESS_REPLICATION = 6;

/** Flags, tunnel type, a label of 3 bytes, and the tunnel's identifier: of ingress replication an address. */
function checkPmsiTunnel(value: Uint8Array): string | undefined {
  if (value.length < 5) return `${value.length} bytes, at least 5 would be right`;
  const type = byteAt(value, 1);
  if (type > PMSI_TUNNEL_TYPE_MAX) return `tunnel type ${type}, at most ${PMSI_TUNNEL_TYPE_MAX} is defined`;
  const identifierBytes = value.length - 5;
  if (type !== PMSI_INGRESS_REPLICATION || identifierBytes === 4 || identifierBytes === 16) return undefined;
  return `ingress replication to an address of ${identifierBytes} bytes`;
}

/** Sub-TLVs of types from here on have a length of two bytes (RFC 9012 section 2). */
const LONG_SUB_TLV_TYPE_MIN = 128;

function checkTunnelEncapsulation(value: Uint8Array): string | undefined {
  const reader = new ByteReader(value);
  while (reader.remaining > 0) {
    reader.u16();
    const tunnel = reader.sub(reader.u16() ?? -1);
    if (tunnel === undefined) return 'a tunnel that overruns';
    while (tunnel.remaining > 0) {
      const type = tunnel.u8() ?? 0;
      const length = type < LONG_SUB_TLV_TYPE_MIN ? tunnel.u8() : tunnel.u16();
      if (tunnel.take(length ?? -1) === undefined) return `a sub-TLV of type ${type} that overruns its tunnel`;
    }
  }
  return undefined;
}

const LABEL_INDEX_TLV = 1;
const LABEL_INDEX_BYTES = 7;

function checkPrefixSid(type: number, length: number): string | undefined {
  if (type !== LABEL_INDEX_TLV || length === LABEL_INDEX_BYTES) return undefined;
  return `a label index of ${length} bytes, ${LABEL_INDEX_BYTES} would be right`;
}

/** An address family, a next hop, and TLVs about it. */
function checkNextHopCharacteristics(value: Uint8Array): string | undefined {
  const reader = new ByteReader(value);
  const afi = reader.u16();
  const safi = reader.u8();
  const nextHop = reader.take(reader.u8() ?? -1);
  if ((afi !== 1 && afi !== 2) || safi === undefined || safi === 0) return `address family ${afi}/${safi}`;
  if (nextHop === undefined || ![4, 16, 32].includes(nextHop.length)) return `a next hop of ${nextHop?.length} bytes`;
  while (reader.remaining > 0) {
    reader.u16();
    if (reader.take(reader.u16() ?? -1) === undefined) return 'a TLV that overruns';
  }
  return undefined;
}

/** What an ATTR_SET must not have (RFC 6368 section 5). */
const FORBIDDEN_IN_ATTR_SET: readonly number[] = [ATTRIBUTE.mpReach, ATTRIBUTE.mpUnreach];

/** The AS of origin and path attributes as in an UPDATE; only where they begin and end is looked at. */
function checkAttributeSet(value: Uint8Array): string | undefined {
  if (value.length < 4) return `${value.length} bytes, at least 4 would be right`;
  const reader = new ByteReader(value, 4);
  while (reader.remaining > 0) {
    const flags = reader.u8() ?? 0;
    const type = reader.u8() ?? 0;
    const length = (flags & FLAG_EXTENDED_LENGTH) === 0 ? reader.u8() : reader.u16();
    if (reader.take(length ?? -1) === undefined) return `attribute ${type} in it overruns`;
    if (FORBIDDEN_IN_ATTR_SET.includes(type)) return `attribute ${type} in it`;
  }
  return undefined;
}

/** A sequence of TLVs with types of `typeBytes` and lengths of two bytes. */
function checkTlvs(
  value: Uint8Array,
  typeBytes: 1 | 2,
  check: (type: number, length: number) => string | undefined,
): string | undefined {
  const reader = new ByteReader(value);
  while (reader.remaining > 0) {
    const type = (typeBytes === 1 ? reader.u8() : reader.u16()) ?? 0;
    const length = reader.u16() ?? -1;
    if (reader.take(length) === undefined) return `a TLV of type ${type} that overruns`;
    const wrong = check(type, length);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}
