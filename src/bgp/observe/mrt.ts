/**
 * MRT: a routing table as a file that every BGP tool can read (bgpdump, bgpkit, BIRD, GoBGP).
 *
 * TABLE_DUMP_V2 begins with the peers; then each prefix has one record with all of its paths, each of which names its peer by
 * its place in that list. In place of MP_REACH_NLRI only the next hop is written (RFC 6396 section 4.3.4). Where a path has an
 * identifier the record is one of RFC 8050. AS numbers have four bytes. Pure: the time is an argument, in seconds
 * since 1970.
 *
 * RFC 6396, RFC 8050. Called by node/monitoring/mrt-dump.ts.
 */
import { assert } from '../../lib/assert.ts';
import { ByteWriter } from '../../lib/bytes.ts';
import type { RouterId } from '../../net/asn.ts';
import type { Cidr } from '../../net/cidr.ts';
import { familyOf } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { addressBits, ipFromBytes } from '../../net/ip.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { ATTRIBUTE, encodeAttributes, FLAG_OPTIONAL, writeAttributeHeader } from '../wire/attributes.ts';
import { writePrefix } from '../wire/nlri.ts';

const TABLE_DUMP_V2 = 13;
const PEER_INDEX_TABLE = 1;
const RIB_UNICAST: Readonly<Record<Family, number>> = { 4: 2, 6: 4 };
const RIB_UNICAST_ADD_PATH: Readonly<Record<Family, number>> = { 4: 8, 6: 10 };

const PEER_TYPE_IPV6 = 1;
const PEER_TYPE_FOUR_OCTET_AS = 2;

/** The place of a peer is written in 16 bits, and so is the number of paths. */
export const MRT_PEERS_MAX = 0xffff;

export interface MrtPeer {
  /** 0 for a peer that has never said. */
  readonly routerId: number;
  readonly address: Ip;
  readonly asn: number;
}

export interface MrtPath {
  /** The place in the list of peers. */
  readonly peerIndex: number;
  readonly pathId: number | undefined;
  readonly attributes: PathAttributes;
}

/** The first record of a file. */
export function encodePeerIndexTable(timestamp: number, collector: RouterId, peers: readonly MrtPeer[]): Uint8Array {
  assert(peers.length <= MRT_PEERS_MAX, `${peers.length} peers, an MRT table has room for ${MRT_PEERS_MAX}`);
  const body = new ByteWriter(64 + peers.length * 25);
  body.u32(collector).u16(0).u16(peers.length); // no name of a view
  for (const { routerId, address, asn } of peers) {
    body.u8(PEER_TYPE_FOUR_OCTET_AS | (address.family === 6 ? PEER_TYPE_IPV6 : 0));
    body.u32(routerId).bytes(address.bytes).u32(asn);
  }
  return record(timestamp, PEER_INDEX_TABLE, body.finish());
}

/** One prefix with its paths, MRT_PEERS_MAX at most; `sequence` counts the records from 0. */
export function encodeRib(timestamp: number, sequence: number, prefix: Cidr, paths: readonly MrtPath[]): Uint8Array {
  const family = familyOf(prefix);
  const addPath = paths.some(({ pathId }) => pathId !== undefined);
  const body = new ByteWriter(256);
  body.u32(sequence);
  writePrefix(body, prefix);
  body.u16(paths.length);
  for (const { peerIndex, pathId, attributes } of paths) {
    body.u16(peerIndex).u32(timestamp);
    if (addPath) body.u32(pathId ?? 0);
    const bytes = mrtAttributes(attributes, family);
    body.u16(bytes.length).bytes(bytes);
  }
  return record(timestamp, (addPath ? RIB_UNICAST_ADD_PATH : RIB_UNICAST)[family], body.finish());
}

/** A path of our own has no next hop, yet readers want one: they are given the unspecified address. */
function mrtAttributes(own: PathAttributes, family: Family): Uint8Array {
  const { nextHop = ipFromBytes(new Uint8Array(addressBits(family) / 8)), linkLocalNextHop } = own;
  const attributes = own.nextHop === undefined ? { ...own, nextHop } : own;
  const writer = new ByteWriter(128);
  writer.bytes(encodeAttributes(attributes, { asnBytes: 4 }));
  if (nextHop.family !== 6) return writer.finish();
  const length = (addressBits(6) / 8) * (linkLocalNextHop === undefined ? 1 : 2);
  writeAttributeHeader(writer, FLAG_OPTIONAL, ATTRIBUTE.mpReach, length + 1);
  writer.u8(length).bytes(nextHop.bytes);
  if (linkLocalNextHop !== undefined) writer.bytes(linkLocalNextHop.bytes);
  return writer.finish();
}

function record(timestamp: number, subtype: number, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter(12 + body.length);
  return writer.u32(timestamp).u16(TABLE_DUMP_V2).u16(subtype).u32(body.length).bytes(body).finish();
}
