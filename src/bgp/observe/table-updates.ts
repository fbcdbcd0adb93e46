/**
 * A part of a table as UPDATEs, as the peer could have sent it: for a collector that comes late.
 *
 * Prefixes with the same attributes share messages. The order among different attributes does not matter, since a page has each
 * path once. What does not fit into a message with its attributes is left out; nothing that was received is that long.
 *
 * RFC 4271 section 4.3, RFC 4760, RFC 7911. Called by node/monitoring/bmp-station.ts.
 */
import { ByteWriter } from '../../lib/bytes.ts';
import type { Cidr } from '../../net/cidr.ts';
import { familyOf } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import type { EncodedAttributes } from '../export/update-writer.ts';
import { encodeForSending } from '../export/update-writer.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { ATTRIBUTE, writeAttributeHeader } from '../wire/attributes.ts';
import { HEADER_BYTES } from '../wire/message.ts';
import { writePrefix } from '../wire/nlri.ts';
import type { DumpEntry } from './views.ts';

export interface TableSession {
  readonly asnBytes: 2 | 4;
  readonly messageBytesMax: number;
  /** Families in which prefixes have path identifiers before them. */
  readonly pathIds: readonly Family[];
}

const FLAG_OPTIONAL_EXTENDED = 0x90;
/** Withdrawn length, attributes length, and the header of an MP_REACH_NLRI. */
const FIXED_BYTES = 4 + 4;

interface Group {
  readonly family: Family;
  readonly attributes: PathAttributes;
  readonly prefixes: Uint8Array[];
}

/** The bodies of UPDATEs that say all that the entries say. */
export function tableUpdates(entries: readonly DumpEntry[], session: TableSession): Uint8Array[] {
  const groups: Readonly<Record<Family, Map<PathAttributes, Group>>> = { 4: new Map(), 6: new Map() };
  for (const { prefix, paths } of entries) {
    const family = familyOf(prefix);
    for (const { attributes, pathId } of paths) {
      const group = groups[family].get(attributes) ?? { family, attributes, prefixes: [] };
      groups[family].set(attributes, group);
      group.prefixes.push(encodedPrefix(prefix, session.pathIds.includes(family) ? (pathId ?? 0) : undefined));
    }
  }
  return [...groups[4].values(), ...groups[6].values()].flatMap((group) => groupUpdates(group, session));
}

function groupUpdates({ family, attributes, prefixes }: Group, session: TableSession): Uint8Array[] {
  if (attributes.nextHop === undefined) return [];
  const encoded = encodeForSending(attributes, family, session.asnBytes, session.messageBytesMax);
  if (encoded === undefined) return [];
  const fixed = HEADER_BYTES + FIXED_BYTES + encoded.bytes.length + (encoded.reachHead?.length ?? 0);
  const room = session.messageBytesMax - fixed;
  const bodies: Uint8Array[] = [];
  let nlri = new ByteWriter(room);
  for (const prefix of prefixes) {
    if (nlri.length + prefix.length > room) {
      bodies.push(updateBody(encoded, nlri.finish()));
      nlri = new ByteWriter(room);
    }
    nlri.bytes(prefix);
  }
  bodies.push(updateBody(encoded, nlri.finish()));
  return bodies;
}

function updateBody({ bytes, reachHead }: EncodedAttributes, nlri: Uint8Array): Uint8Array {
  const attributes = new ByteWriter(bytes.length + nlri.length + 64);
  if (reachHead !== undefined) {
    writeAttributeHeader(attributes, FLAG_OPTIONAL_EXTENDED, ATTRIBUTE.mpReach, reachHead.length + nlri.length);
    attributes.bytes(reachHead).bytes(nlri);
  }
  attributes.bytes(bytes);
  const body = new ByteWriter(attributes.length + nlri.length + 4);
  body.u16(0).u16(attributes.length).bytes(attributes.finish());
  return (reachHead === undefined ? body.bytes(nlri) : body).finish();
}

function encodedPrefix(prefix: Cidr, pathId: number | undefined): Uint8Array {
  const writer = new ByteWriter(24);
  if (pathId !== undefined) writer.u32(pathId);
  writePrefix(writer, prefix);
  return writer.finish();
}
