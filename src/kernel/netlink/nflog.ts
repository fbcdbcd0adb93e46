/**
 * Logged packets: NFULNL_MSG_CONFIG, by which a socket becomes the listener of a group, and NFULNL_MSG_PACKET.
 *
 * The kernel sends the first bytes of each packet that meets a rule `log group N`, with the rule's prefix and the devices,
 * numbered from 0 for each listener, so that gaps tell how many were lost. PF_BIND, by which a protocol family was once
 * bound, is not sent: rules that name a group do not need it, and it would take the kernel's own log of invalid packets away.
 *
 * Source: linux/netfilter/nfnetlink_log.h, nfnetlink_log.c. Called by kernel/nflog-socket.ts.
 */
import { type IfIndex, ifIndex } from '../../net/kernel-objects.ts';
import { type NetlinkMessage, type NetlinkRequest, parseAttributes, textOf } from './message.ts';
import { be16, be32, be32At, be32Of, NFGENMSG_LENGTH, NFNL_SUBSYSTEM, netfilterType, nfgenmsg } from './netfilter.ts';

const PACKET = netfilterType(NFNL_SUBSYSTEM.log, 0);
const CONFIG = netfilterType(NFNL_SUBSYSTEM.log, 1);

const NFULA_CFG = { command: 1, mode: 2, bufferLength: 3, timeout: 4, threshold: 5, flags: 6 } as const;
const COMMAND_BIND = 1;
const COPY_PACKET = 2;
const FLAG_SEQUENCE = 1;
const NFULA = { timestamp: 3, inDevice: 4, outDevice: 5, payload: 9, prefix: 10, sequence: 12 } as const;
const TIMESTAMP_LENGTH = 16;

export interface NflogListening {
  readonly group: number;
  /** How much of each packet is sent, from the IP header on. */
  readonly copyBytes: number;
  /** The kernel sends as soon as it has so many packets … */
  readonly batchPackets: number;
  /** … or the first of them has waited so long. */
  readonly batchHundredths: number;
  /** Room for a batch. */
  readonly batchBytes: number;
}

export interface NflogMessage {
  readonly group: number;
  readonly prefix: string;
  readonly inIndex: IfIndex | undefined;
  readonly outIndex: IfIndex | undefined;
  /** When it came in, in milliseconds since 1970; undefined where the kernel did not note it. */
  readonly timeMs: number | undefined;
  readonly sequence: number | undefined;
  /** The packet's first bytes; a view. */
  readonly payload: Uint8Array;
}

/** All settings in one message, so that no packet comes before they are in force. EPERM: the group has another listener. */
export function encodeNflogBind(listening: NflogListening): NetlinkRequest {
  const body = nfgenmsg(0, listening.group)
    .attribute(NFULA_CFG.command, Uint8Array.of(COMMAND_BIND))
    // struct nfulnl_msg_config_mode: range, mode, padding.
    .attribute(NFULA_CFG.mode, Uint8Array.of(...be32(listening.copyBytes), COPY_PACKET, 0))
    .attribute(NFULA_CFG.bufferLength, be32(listening.batchBytes))
    .attribute(NFULA_CFG.timeout, be32(listening.batchHundredths))
    .attribute(NFULA_CFG.threshold, be32(listening.batchPackets))
    .attribute(NFULA_CFG.flags, be16(FLAG_SEQUENCE))
    .finish();
  return { type: CONFIG, flags: 0, body };
}

/** The packet that an NFULNL_MSG_PACKET describes; undefined for all else and for what is malformed. */
export function decodeNflogMessage({ type, body }: NetlinkMessage): NflogMessage | undefined {
  const attributes = type === PACKET ? parseAttributes(body, NFGENMSG_LENGTH) : undefined;
  if (attributes === undefined) return undefined;
  const index = (attribute: number): IfIndex | undefined => {
    const value = be32Of(attributes.get(attribute));
    return value === undefined ? undefined : ifIndex(value);
  };
  return {
    group: be32At(body, 0) & 0xffff,
    prefix: textOf(attributes.get(NFULA.prefix)) ?? '',
    inIndex: index(NFULA.inDevice),
    outIndex: index(NFULA.outDevice),
    timeMs: timeOf(attributes.get(NFULA.timestamp)),
    sequence: be32Of(attributes.get(NFULA.sequence)),
    payload: attributes.get(NFULA.payload) ?? new Uint8Array(0),
  };
}

/** struct nfulnl_msg_packet_timestamp: seconds and microseconds, of 64 bits each. */
function timeOf(value: Uint8Array | undefined): number | undefined {
  if (value?.length !== TIMESTAMP_LENGTH) return undefined;
  const seconds = be32At(value, 0) * 2 ** 32 + be32At(value, 4);
  return seconds * 1000 + be32At(value, 12) / 1000;
}
