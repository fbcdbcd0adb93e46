/**
 * Listens to packets that the rules log, as long as somebody watches.
 *
 * A flood must cost little: in each period at most so many packets are read, then the socket is left alone until the
 * period is over. Meanwhile the kernel fills the bounded receive buffer and throws away the rest. Packets are numbered, so each
 * gap tells how many were lost, once the next packet has come. Closing the socket ends the listening, also if
 * the process dies; a rule that logs to a group without listener costs next to nothing.
 *
 * A group has one listener in a namespace: a second one is refused.
 *
 * Source: linux/netfilter/nfnetlink_log.h. Called by the agent, for those who watch what is dropped.
 */
import { closeSync } from 'node:fs';
import type { IfIndex } from '../net/kernel-objects.ts';
import { type PacketHead, parsePacketHead } from '../net/packet-head.ts';
import { KernelError } from './kernel.ts';
import { readAnswer } from './netlink/answer-reader.ts';
import { encodeMessage, type NetlinkMessage, NLM_F } from './netlink/message.ts';
import { decodeNflogMessage, encodeNflogBind, type NflogMessage } from './netlink/nflog.ts';
import { NETLINK_PROTOCOL, NetlinkReceiver, openNetlinkSocket, refusal } from './netlink-socket.ts';
import { inNamespace } from './network-namespace.ts';
import {
  type Poll,
  pollReadable,
  SO_RCVBUFFORCE,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  send,
  setSocketNumber,
} from './system-calls.ts';

/** An IPv6 header, some extension headers, and the ports behind them. */
const COPY_BYTES = 96;
/** A batch costs a system call; the person who watches does not notice the twentieth of a second. */
const BATCH_PACKETS = 32;
const BATCH_HUNDREDTHS = 5;
/** 32 packets, each with its copy, a prefix of 64 bytes, devices, addresses and time: about 300 bytes. */
const BATCH_BYTES = 16 * 1024;
/** Some thousand packets, what a person can still make something of; the kernel counts twice this for bookkeeping. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;
/** What is read in a period; 5,000 a second are far more than can be looked at, and cost some percent of a processor. */
const PACKETS_PER_PERIOD = 500;
const PERIOD_MS = 100;

export interface LoggedPacket {
  readonly group: number;
  /** What the rule calls itself, at most 63 characters. */
  readonly prefix: string;
  /** Undefined for what the host sends itself. */
  readonly inIndex: IfIndex | undefined;
  /** Undefined for what the host gets itself. */
  readonly outIndex: IfIndex | undefined;
  /** When it came in, in milliseconds since 1970; undefined where the kernel did not note it. */
  readonly timeMs: number | undefined;
  /** Undefined for what is not IP. */
  readonly head: PacketHead | undefined;
}

export interface NflogSocket {
  close(): void;
}

/**
 * Listens to groups of the namespace at a path, or of the calling thread's own. `onPackets` gets what was read at once, and how many
 * more there were since the last call that nobody will see. Throws KernelError: EPERM when somebody else listens to
 * one of the groups.
 */
export function openNflogSocket(
  namespacePath: string | undefined,
  groups: readonly number[],
  onPackets: (packets: readonly LoggedPacket[], lost: number) => void,
): NflogSocket {
  const open = (): number => openNetlinkSocket(NETLINK_PROTOCOL.netfilter, SOCK_NONBLOCK);
  const fd = namespacePath === undefined ? open() : inNamespace(namespacePath, open);
  try {
    setSocketNumber(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
    return new Listener(fd, groups, onPackets);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

class Listener implements NflogSocket {
  readonly #fd: number;
  readonly #receiver: NetlinkReceiver;
  readonly #poll: Poll;
  readonly #onPackets: (packets: readonly LoggedPacket[], lost: number) => void;
  readonly #gaps = new SequenceGaps();
  #leftInPeriod = PACKETS_PER_PERIOD;
  #period: NodeJS.Timeout | undefined;
  #open = true;

  constructor(
    fd: number,
    groups: readonly number[],
    onPackets: (packets: readonly LoggedPacket[], lost: number) => void,
  ) {
    this.#fd = fd;
    this.#receiver = new NetlinkReceiver(fd);
    this.#onPackets = onPackets;
    for (const group of groups) this.#bind(group);
    this.#poll = pollReadable(fd, () => this.#onReadable());
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#period);
    this.#poll.close();
    closeSync(this.#fd);
  }

  /** The kernel answers within the call, so that the answer lies ready; packets that come before it are passed over. */
  #bind(group: number): void {
    const request = encodeNflogBind({
      group,
      copyBytes: COPY_BYTES,
      batchPackets: BATCH_PACKETS,
      batchHundredths: BATCH_HUNDREDTHS,
      batchBytes: BATCH_BYTES,
    });
    send(this.#fd, encodeMessage({ ...request, flags: request.flags | NLM_F.ack }, group));
    const ending = readAnswer(
      () => this.#receiver.receive(),
      group,
      () => undefined,
    );
    if (ending.errno === 0) return;
    const { code, message } = refusal(ending);
    throw new KernelError(code, `listening to logged packets of group ${group}: ${message}`);
  }

  #onReadable(): void {
    const packets: LoggedPacket[] = [];
    let empty = false;
    while (!empty && this.#leftInPeriod > 0) {
      const messages = this.#receive();
      empty = messages === undefined;
      for (const message of messages ?? []) {
        const logged = decodeNflogMessage(message);
        if (logged === undefined) continue;
        this.#leftInPeriod--;
        this.#gaps.note(logged);
        packets.push(packetOf(logged));
      }
    }
    this.#startPeriod();
    if (this.#leftInPeriod <= 0) this.#poll.pause();
    const lost = this.#gaps.take();
    if (packets.length + lost > 0) this.#onPackets(packets, lost);
  }

  /** The next datagram's messages; undefined when none waits. */
  #receive(): readonly NetlinkMessage[] | undefined {
    try {
      return this.#receiver.receive();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.code === 'EAGAIN') return undefined;
      if (error.code !== 'ENOBUFS' && error.code !== 'EBADMSG') throw error;
      // Something was lost; the numbers tell how much. libuv has stopped watching a socket that reports an error.
      this.#poll.restart();
      return [];
    }
  }

  #startPeriod(): void {
    this.#period ??= setTimeout(() => {
      this.#period = undefined;
      const paused = this.#leftInPeriod <= 0;
      this.#leftInPeriod = PACKETS_PER_PERIOD;
      if (paused) this.#poll.restart();
    }, PERIOD_MS);
  }
}

/** Counts numbers that never came, for each group. */
class SequenceGaps {
  readonly #next = new Map<number, number>();
  #lost = 0;

  note({ group, sequence }: NflogMessage): void {
    if (sequence === undefined) return;
    this.#lost += (sequence - (this.#next.get(group) ?? 0)) >>> 0;
    this.#next.set(group, (sequence + 1) >>> 0);
  }

  take(): number {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }
}

function packetOf({ group, prefix, inIndex, outIndex, timeMs, payload }: NflogMessage): LoggedPacket {
  return { group, prefix, inIndex, outIndex, timeMs, head: parsePacketHead(payload) };
}
