/**
 * Connection tracking entries: IPCTNL_MSG_CT_NEW, _GET, _DELETE.
 *
 * An entry is two tuples (addresses, then protocol with ports or with ICMP's type, code and id), status bits, and an id
 * which the kernel makes anew for each entry: removing by tuple and id cannot hit a later connection with the same
 * addresses and ports. A tuple that was read is written back attribute by attribute, whatever its protocol.
 *
 * Source: linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_netlink.c. Called by kernel/conntrack.ts.
 */
import { byteAt } from '../../lib/bytes.ts';
import type { ConntrackEntry, Flow } from '../../net/conntrack-entry.ts';
import { addressBits, type Family, ipFromBytes } from '../../net/ip.ts';
import { AF, familyOfNumber } from './family.ts';
import { type NetlinkMessage, type NetlinkRequest, type NetlinkWriter, NLM_F, parseAttributes } from './message.ts';
import {
  be16,
  be16Of,
  be32,
  be32Of,
  NFGENMSG_LENGTH,
  NFNL_SUBSYSTEM,
  nestAttributes,
  netfilterType,
  nfgenmsg,
  u8Of,
} from './netfilter.ts';

const CT_NEW = netfilterType(NFNL_SUBSYSTEM.conntrack, 0);
const CT_GET = netfilterType(NFNL_SUBSYSTEM.conntrack, 1);
const CT_DELETE = netfilterType(NFNL_SUBSYSTEM.conntrack, 2);

const CTA = { original: 1, reply: 2, status: 3, mark: 8, id: 12, zone: 18 } as const;
const CTA_TUPLE = { ip: 1, protocol: 2, zone: 3 } as const;
const CTA_IP: Readonly<Record<Family, { readonly source: number; readonly destination: number }>> = {
  4: { source: 1, destination: 2 },
  6: { source: 3, destination: 4 },
};
const CTA_PROTO = { number: 1, sourcePort: 2, destinationPort: 3 } as const;
const CTA_PROTO_ICMP: Readonly<Record<Family, { readonly id: number; readonly type: number; readonly code: number }>> =
  { 4: { id: 4, type: 5, code: 6 }, 6: { id: 7, type: 8, code: 9 } };

/** A dump of all entries, in all zones. Asked for one family alone, the kernel would walk past those of the other without a pause. */
export function encodeConntrackDump(): NetlinkRequest {
  return { type: CT_GET, flags: NLM_F.dump, body: nfgenmsg(0, 0).finish() };
}

/** Removes the entry, if it is still the one with this id. */
export function encodeConntrackRemove(entry: ConntrackEntry): NetlinkRequest {
  const writer = nfgenmsg(AF[entry.family], 0);
  nestAttributes(writer, CTA.original, () => writeFlow(writer, entry.family, entry.original));
  writer.attribute(CTA.id, be32(entry.id));
  if (entry.zone !== 0) writer.attribute(CTA.zone, be16(entry.zone));
  return { type: CT_DELETE, flags: 0, body: writer.finish() };
}

/** The entry that an IPCTNL_MSG_CT_NEW describes; undefined for all else and for what is malformed. */
export function decodeConntrackEntry({ type, body }: NetlinkMessage): ConntrackEntry | undefined {
  if (type !== CT_NEW || body.length < NFGENMSG_LENGTH) return undefined;
  const family = familyOfNumber(byteAt(body, 0));
  const attributes = parseAttributes(body, NFGENMSG_LENGTH);
  if (family === undefined || attributes === undefined) return undefined;
  const original = decodeFlow(family, attributes.get(CTA.original));
  const reply = decodeFlow(family, attributes.get(CTA.reply));
  const id = be32Of(attributes.get(CTA.id));
  if (original === undefined || reply === undefined || id === undefined) return undefined;
  return {
    family,
    original,
    reply,
    status: be32Of(attributes.get(CTA.status)) ?? 0,
    zone: be16Of(attributes.get(CTA.zone)) ?? 0,
    mark: be32Of(attributes.get(CTA.mark)) ?? 0,
    id,
  };
}

function decodeFlow(family: Family, tuple: Uint8Array | undefined): Flow | undefined {
  const parts = tuple && parseAttributes(tuple);
  const addresses = nestedOf(parts?.get(CTA_TUPLE.ip));
  const protocol = nestedOf(parts?.get(CTA_TUPLE.protocol));
  const source = addresses?.get(CTA_IP[family].source);
  const destination = addresses?.get(CTA_IP[family].destination);
  const number = u8Of(protocol?.get(CTA_PROTO.number));
  const length = addressBits(family) / 8;
  if (source?.length !== length || destination?.length !== length || number === undefined) return undefined;
  const of = CTA_PROTO_ICMP[family];
  const type = u8Of(protocol?.get(of.type));
  const code = u8Of(protocol?.get(of.code));
  const id = be16Of(protocol?.get(of.id));
  return {
    protocol: number,
    source: ipFromBytes(source),
    destination: ipFromBytes(destination),
    sourcePort: be16Of(protocol?.get(CTA_PROTO.sourcePort)),
    destinationPort: be16Of(protocol?.get(CTA_PROTO.destinationPort)),
    icmp: type === undefined || code === undefined || id === undefined ? undefined : { type, code, id },
    zone: be16Of(parts?.get(CTA_TUPLE.zone)),
  };
}

function nestedOf(value: Uint8Array | undefined) {
  return value === undefined ? undefined : parseAttributes(value);
}

function writeFlow(writer: NetlinkWriter, family: Family, flow: Flow): void {
  nestAttributes(writer, CTA_TUPLE.ip, () => {
    writer.attribute(CTA_IP[family].source, flow.source.bytes);
    writer.attribute(CTA_IP[family].destination, flow.destination.bytes);
  });
  nestAttributes(writer, CTA_TUPLE.protocol, () => {
    writer.attribute(CTA_PROTO.number, Uint8Array.of(flow.protocol));
    if (flow.sourcePort !== undefined) writer.attribute(CTA_PROTO.sourcePort, be16(flow.sourcePort));
    if (flow.destinationPort !== undefined) writer.attribute(CTA_PROTO.destinationPort, be16(flow.destinationPort));
    if (flow.icmp !== undefined) {
      const of = CTA_PROTO_ICMP[family];
      writer.attribute(of.id, be16(flow.icmp.id));
      writer.attribute(of.type, Uint8Array.of(flow.icmp.type));
      writer.attribute(of.code, Uint8Array.of(flow.icmp.code));
    }
  });
  if (flow.zone !== undefined) writer.attribute(CTA_TUPLE.zone, be16(flow.zone));
}
