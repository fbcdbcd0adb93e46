/**
 * Reading path attributes: one table with a row for each attribute that we understand.
 *
 * A row says how the attribute is flagged, how its value is read into a draft, and what is done when it is malformed; to
 * learn a new attribute is to add a row, and a field where we use it. What a malformed attribute causes is a closed set
 * (`Treatment`), after RFC 7606. A decoder answers undefined, or in words what is wrong with the value.
 * Attributes that are checked and passed on, but not used, have their rows from attributes-carried.ts.
 *
 * RFC 4271 section 5, RFC 7606 section 7, RFC 1997, 4360, 4456, 6793, 8092, 9234. Called by attributes-block.ts.
 */
import { ByteReader, byteAt } from '../../lib/bytes.ts';
import { routerIdFromBytes } from '../../net/asn.ts';
import { ipFromBytes } from '../../net/ip.ts';
import { decodeAs4Path, decodeAsPath } from './as-path.ts';
import type { AsnWidth, ExtendedCommunity, LargeCommunity, PathAttributes } from './attributes.ts';
import { ATTRIBUTE, OPTIONAL_NON_TRANSITIVE, OPTIONAL_TRANSITIVE, WELL_KNOWN } from './attributes.ts';
import { CARRIED_ATTRIBUTES } from './attributes-carried.ts';

/** What a malformed attribute causes, from mild to strong; of several the strongest holds. A reset is a BgpError. */
export type Treatment = 'discard-attribute' | 'treat-as-withdraw';

/** Attributes while they are read one by one. */
export type AttributeDraft = {
  -readonly [Name in keyof PathAttributes]?: PathAttributes[Name];
} & {
  as4Path?: readonly number[];
  as4Aggregator?: NonNullable<PathAttributes['aggregator']>;
};

export interface AttributeRow {
  readonly type: number;
  readonly name: string;
  /** The Optional and Transitive bits that it must have. */
  readonly flags: number;
  readonly whenMalformed: Treatment;
  /** What wrong flags cause: withdrawal (RFC 7606 section 3 c) where the attribute's own RFC says nothing else. */
  readonly whenFlaggedWrong?: Treatment;
  /** Without meaning between ASes: dropped when it comes from an external peer. */
  readonly internalOnly?: true;
  /** What becomes of a value that is right: into the draft by `decode`; with the unknown ones; nothing. */
  readonly use: 'field' | 'pass-on' | 'drop';
  /** Puts the value into the draft; in words what is wrong with it. */
  readonly decode: (value: Uint8Array, draft: AttributeDraft, width: AsnWidth) => string | undefined;
}

/** The attributes with fields, except the two that carry prefixes, which update.ts reads. */
const FIELD_ATTRIBUTES: readonly Omit<AttributeRow, 'use'>[] = [
  {
    type: ATTRIBUTE.origin,
    name: 'ORIGIN',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      const origin = byteAt(value, 0);
      if (value.length !== 1) return lengthOtherThan('1', value);
      if (origin !== 0 && origin !== 1 && origin !== 2) return `${origin}, which is none of 0, 1 and 2`;
      draft.origin = origin;
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.asPath,
    name: 'AS_PATH',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft, { asnBytes }) => {
      const asPath = decodeAsPath(value, asnBytes);
      if (typeof asPath === 'string') return asPath;
      draft.asPath = asPath;
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.nextHop,
    name: 'NEXT_HOP',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      if (value.length !== 4) return lengthOtherThan('4', value);
      draft.nextHop = ipFromBytes(value);
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.med,
    name: 'MULTI_EXIT_DISC',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      if (value.length !== 4) return lengthOtherThan('4', value);
      draft.med = u32At(value, 0);
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.localPreference,
    name: 'LOCAL_PREF',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    decode: (value, draft) => {
      if (value.length !== 4) return lengthOtherThan('4', value);
      draft.localPreference = u32At(value, 0);
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.atomicAggregate,
    name: 'ATOMIC_AGGREGATE',
    flags: WELL_KNOWN,
    whenMalformed: 'discard-attribute',
    decode: (value, draft) => {
      if (value.length !== 0) return lengthOtherThan('0', value);
      draft.atomicAggregate = true;
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.aggregator,
    name: 'AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    decode: (value, draft, { asnBytes }) => {
      if (value.length !== asnBytes + 4) return lengthOtherThan(`${asnBytes + 4}`, value);
      const reader = new ByteReader(value);
      const asn = (asnBytes === 2 ? reader.u16() : reader.u32()) ?? 0;
      if (asn === 0) return 'AS 0';
      draft.aggregator = { asn, address: ipFromBytes(value.subarray(asnBytes)) };
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.communities,
    name: 'COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      if (!isList(value, 4)) return noList(value, 4);
      draft.communities = u32s(value);
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.originatorId,
    name: 'ORIGINATOR_ID',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    decode: (value, draft) => {
      if (value.length !== 4) return lengthOtherThan('4', value);
      const originatorId = routerIdFromBytes(value);
      if (originatorId === undefined) return '0.0.0.0, which is no identifier'; // RFC 6286
      draft.originatorId = originatorId;
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.clusterList,
    name: 'CLUSTER_LIST',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    decode: (value, draft) => {
      if (!isList(value, 4)) return noList(value, 4);
      draft.clusterList = u32s(value);
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.extendedCommunities,
    name: 'EXTENDED COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      if (!isList(value, 8)) return noList(value, 8);
      draft.extendedCommunities = Array.from(
        { length: value.length / 8 },
        (_, index): ExtendedCommunity => [u32At(value, index * 8), u32At(value, index * 8 + 4)],
      );
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.as4Path,
    name: 'AS4_PATH',
    flags: OPTIONAL_TRANSITIVE,
    // RFC 6793 section 6 would drop the attribute alone; but where a path cannot be read, a loop cannot be seen.
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      const as4Path = decodeAs4Path(value);
      if (typeof as4Path === 'string') return as4Path;
      draft.as4Path = as4Path;
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.as4Aggregator,
    name: 'AS4_AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    decode: (value, draft) => {
      if (value.length !== 8) return lengthOtherThan('8', value);
      const asn = u32At(value, 0);
      if (asn === 0) return 'AS 0';
      draft.as4Aggregator = { asn, address: ipFromBytes(value.subarray(4)) };
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.largeCommunities,
    name: 'LARGE_COMMUNITY',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      if (!isList(value, 12)) return noList(value, 12);
      draft.largeCommunities = largeCommunities(value);
      return undefined;
    },
  },
  {
    type: ATTRIBUTE.onlyToCustomer,
    name: 'OTC',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      if (value.length !== 4) return lengthOtherThan('4', value);
      const asn = u32At(value, 0);
      if (asn === 0) return 'AS 0';
      draft.onlyToCustomer = asn;
      return undefined;
    },
  },
];

const rowsByType: ReadonlyMap<number, AttributeRow> = new Map(
  [
    ...FIELD_ATTRIBUTES.map((row): AttributeRow => ({ ...row, use: 'field' })),
    ...CARRIED_ATTRIBUTES.map(({ check, ...row }): AttributeRow => ({ ...row, decode: (value) => check(value) })),
  ].map((row) => [row.type, row]),
);

/** The row of an attribute; undefined for an unknown one, and for the two that carry prefixes. */
export function attributeRow(type: number): AttributeRow | undefined {
  return rowsByType.get(type);
}

function lengthOtherThan(wanted: string, value: Uint8Array): string {
  return `${value.length} bytes, ${wanted} would be right`;
}

function isList(value: Uint8Array, unitBytes: number): boolean {
  return value.length > 0 && value.length % unitBytes === 0;
}

function noList(value: Uint8Array, unitBytes: number): string {
  return `${value.length} bytes, a multiple of ${unitBytes} above 0 would be right`;
}

function u32At(value: Uint8Array, offset: number): number {
  return new ByteReader(value, offset).u32() ?? 0;
}

function u32s(value: Uint8Array): number[] {
  return Array.from({ length: value.length / 4 }, (_, index) => u32At(value, index * 4));
}

/** Each value once: a receiver removes duplicates (RFC 8092 section 3). */
function largeCommunities(value: Uint8Array): LargeCommunity[] {
  const distinct = new Map<string, LargeCommunity>();
  for (let at = 0; at < value.length; at += 12) {
    const community: LargeCommunity = [u32At(value, at), u32At(value, at + 4), u32At(value, at + 8)];
    distinct.set(community.join(':'), community);
  }
  return [...distinct.values()];
}
