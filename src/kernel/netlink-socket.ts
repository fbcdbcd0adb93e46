/**
 * Netlink sockets: one for asking, one for listening.
 *
 * The control socket blocks: a request is sent, and its answer read, in one synchronous call of some microseconds. A
 * refusal becomes KernelError with errno's name and the kernel's own sentence. The event socket never blocks: the event
 * loop calls when there is something to read. Both belong to the namespace in which the thread was when they were made.
 *
 * Lost events: when the receive buffer is full the kernel drops events and answers one read with ENOBUFS. It goes on
 * dropping until the buffer has been read empty, so `overrun` is reported only then: what the listener reads from the
 * kernel afterwards, together with the events that come afterwards, is complete. libuv stops watching a socket that
 * reports an error, so the watch is started again.
 *
 * Source: linux/netlink.h, man 7 netlink. Called by netlink-kernel.ts, conntrack.ts, nflog-socket.ts, nft-….ts.
 */
import { closeSync } from 'node:fs';
import { endianness } from 'node:os';
import { assert } from '../lib/assert.ts';
import { KernelError } from './kernel.ts';
import { type Ending, readAnswer } from './netlink/answer-reader.ts';
import { type Answer, decodeAnswer } from './netlink/errors.ts';
import { encodeMessage, type NetlinkMessage, type NetlinkRequest, NLM_F, parseMessages } from './netlink/message.ts';
import {
  AF_NETLINK,
  bind,
  errnoName,
  MSG_PEEK,
  MSG_TRUNC,
  type Poll,
  pollReadable,
  receive,
  SO_RCVBUFFORCE,
  SO_RCVTIMEO,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  send,
  setSocketNumber,
  setSocketOption,
  socket,
} from './system-calls.ts';

/** The kernel's part that a socket speaks with; from linux/netlink.h. */
export const NETLINK_PROTOCOL = { route: 0, netfilter: 12 } as const;
type NetlinkProtocol = (typeof NETLINK_PROTOCOL)[keyof typeof NETLINK_PROTOCOL];

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
/** Acks repeat only the header of the request. */
const NETLINK_CAP_ACK = 10;
/** Refusals come with a sentence. */
const NETLINK_EXT_ACK = 11;
/** The kernel checks the headers of dump requests, and filters by what they say. */
const NETLINK_GET_STRICT_CHK = 12;

/** The kernel fills a dump's datagrams up to this, if the receiver's buffer is that large (netlink_dump). */
const RECEIVE_BUFFER_LENGTH = 32 * 1024;
/** A single message above this is not believed: the largest known, a card with hundreds of functions, has 1 MB. */
const RECEIVE_BUFFER_LENGTH_MAX = 16 * 1024 * 1024;
/** How long a request may stay unanswered. The kernel answers in microseconds, or in seconds under its routing lock. */
const ANSWER_TIMEOUT_SECONDS = 10;
/** How often a dump that a change tore is read anew, before the caller gets EAGAIN. */
const DUMP_ATTEMPTS = 20;
/** Room for about 20,000 route events while the event loop is busy. */
const EVENT_BUFFER_LENGTH = 8 * 1024 * 1024;
/** Datagrams read in one turn of the event loop, so that a storm of events leaves room for other work. */
const READS_PER_TURN = 512;

export interface ControlSocket {
  /** Sends one request; gives the messages that came before its ack, copied. Throws KernelError when refused. */
  request(request: NetlinkRequest): NetlinkMessage[];
  /**
   * Reads a whole dump, calling `onMessage` for each message (a view, not to be kept), after `onStart`. When the kernel
   * says that the dump was torn by a change it begins anew: `onStart` is called again, and drops what came before.
   */
  dump(request: NetlinkRequest, onStart: () => void, onMessage: (message: NetlinkMessage) => void): void;
  /**
   * Begins a dump that is read as slowly as the caller likes: each step gives one datagram's messages (views, good until
   * the next step). The kernel goes on only when it is read. Nothing else may be asked of the socket until the end; one who gives
   * up before closes the socket. That changes tore the dump is not noticed.
   */
  dumpInParts(request: NetlinkRequest): Generator<readonly NetlinkMessage[], void>;
  /**
   * Sends netfilter's transaction, a batch from its begin to its end, in one datagram. Gives the first refusal, with the
   * place of the request that it is about; undefined when all was done. Throws KernelError when it cannot be sent or the
   * answer is lost.
   */
  transaction(batch: readonly NetlinkRequest[]): Refused | undefined;
  close(): void;
}

/** A request of a batch that the kernel has refused; when it is the first, the whole was refused. */
export interface Refused {
  readonly index: number;
  readonly error: KernelError;
}

/** A blocking socket in the calling thread's namespace. */
export function openControlSocket(protocol: NetlinkProtocol = NETLINK_PROTOCOL.route): ControlSocket {
  const fd = openAskingSocket(protocol);
  const receiver = new NetlinkReceiver(fd);
  let sequence = 0;

  const begin = (request: NetlinkRequest): number => {
    sequence = (sequence + 1) >>> 0;
    send(fd, encodeMessage(request, sequence));
    return sequence;
  };

  const receiveAnswer = () => receiveInTime(receiver);

  const read = (number: number, onMessage: (message: NetlinkMessage) => void): Ending => {
    const ending = readAnswer(receiveAnswer, number, onMessage);
    if (ending.errno !== 0) throw refusal(ending);
    return ending;
  };

  return {
    request: (request) => {
      const number = begin({ ...request, flags: request.flags | NLM_F.ack });
      const answers: NetlinkMessage[] = [];
      read(number, (message) => answers.push({ ...message, body: message.body.slice() }));
      return answers;
    },
    dump: (request, onStart, onMessage) => {
      for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
        onStart();
        if (!read(begin(request), onMessage).torn) return;
      }
      throw new KernelError('EAGAIN', `netlink: the dump was torn by changes ${DUMP_ATTEMPTS} times, read it later`);
    },
    *dumpInParts(request) {
      const number = begin(request);
      for (;;) {
        const part: NetlinkMessage[] = [];
        for (const message of receiveAnswer()) {
          if (message.sequence !== number) continue;
          const answer = decodeAnswer(message);
          if (answer === undefined) {
            part.push(message);
            continue;
          }
          if (answer.errno !== 0) throw refusal(answer);
          yield part;
          return;
        }
        yield part;
      }
    },
    transaction: (batch) => {
      const first = (sequence + 1) >>> 0;
      const last = batch.length - 2; // the end of a batch gets no answer from older kernels
      const bytes = batch.map((request, index) =>
        encodeMessage(
          index === last ? { ...request, flags: request.flags | NLM_F.ack } : request,
          (first + index) >>> 0,
        ),
      );
      sequence = (first + batch.length) >>> 0;
      sendLarge(fd, Buffer.concat(bytes));
      return readRefusal(receiveAnswer, first, last);
    },
    close: () => closeSync(fd),
  };
}

/** The next datagram's messages. Throws KernelError when none comes. */
function receiveInTime(receiver: NetlinkReceiver): NetlinkMessage[] {
  try {
    return receiver.receive();
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'EAGAIN') throw error;
    throw new KernelError('ETIMEDOUT', `netlink: the kernel has not answered for ${ANSWER_TIMEOUT_SECONDS} seconds`);
  }
}

function openAskingSocket(protocol: NetlinkProtocol): number {
  const fd = openNetlinkSocket(protocol, 0);
  try {
    setSocketNumber(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    setSocketNumber(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    setSocketNumber(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    setSocketOption(fd, SOL_SOCKET, SO_RCVTIMEO, timeval(ANSWER_TIMEOUT_SECONDS));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/**
 * Reads the answers to a batch: refusals, in the order of its messages, then that to the last one, which has asked for it. When the
 * whole is refused the begin alone is answered.
 */
function readRefusal(receiveAnswer: () => readonly NetlinkMessage[], first: number, last: number): Refused | undefined {
  let refused: Refused | undefined;
  for (;;) {
    for (const message of receiveAnswer()) {
      const index = (message.sequence - first) >>> 0;
      const answer = index > last ? undefined : decodeAnswer(message);
      if (answer === undefined) continue;
      if (answer.errno !== 0) refused ??= { index, error: refusal(answer) };
      if (index === last || index === 0) return refused;
    }
  }
}

/** Sends a datagram that may be larger than a socket's send buffer is at first. */
function sendLarge(fd: number, bytes: Uint8Array): void {
  try {
    send(fd, bytes);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'EMSGSIZE') throw error;
    setSocketNumber(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes.length);
    send(fd, bytes);
  }
}

export interface EventSocket {
  close(): void;
}

/** A socket in the calling thread's namespace that listens to multicast groups (RTNLGRP_… numbers). */
export function openEventSocket(
  groups: readonly number[],
  onMessage: (message: NetlinkMessage) => void,
  onOverrun: () => void,
): EventSocket {
  const fd = openNetlinkSocket(NETLINK_PROTOCOL.route, SOCK_NONBLOCK);
  let poll: Poll | undefined;
  let overrun = false;
  let open = true;
  const receiver = new NetlinkReceiver(fd);

  const close = (): void => {
    if (!open) return;
    open = false;
    poll?.close();
    closeSync(fd);
  };

  /** The next datagram's messages; undefined when the buffer is empty. */
  const next = (): NetlinkMessage[] | undefined => {
    try {
      return receiver.receive();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.code === 'EAGAIN') return undefined;
      // A malformed datagram is a lost one.
      if (error.code !== 'ENOBUFS' && error.code !== 'EBADMSG') throw error;
      overrun = true;
      poll?.restart();
      return [];
    }
  };

  const onReadable = (): void => {
    for (let reads = 0; open && reads < READS_PER_TURN; reads++) {
      const messages = next();
      if (messages === undefined) {
        if (!overrun) return;
        overrun = false;
        onOverrun();
        return;
      }
      for (const message of messages) if (open) onMessage(message);
    }
  };

  try {
    setSocketNumber(fd, SOL_SOCKET, SO_RCVBUFFORCE, EVENT_BUFFER_LENGTH);
    for (const group of groups) joinGroup(fd, group);
    poll = pollReadable(fd, onReadable);
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}

/** Has a socket get what the kernel tells to a multicast group. */
export function joinGroup(fd: number, group: number): void {
  setSocketNumber(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
}

/** Reads datagrams into a buffer that grows to what comes. */
export class NetlinkReceiver {
  readonly #fd: number;
  #buffer = new Uint8Array(RECEIVE_BUFFER_LENGTH);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The messages of the next datagram, as views that the next call overwrites. */
  receive(): NetlinkMessage[] {
    // Looking first costs a microsecond; a datagram that does not fit would be cut off and the rest lost.
    const length = receive(this.#fd, this.#buffer, MSG_PEEK | MSG_TRUNC);
    if (length > RECEIVE_BUFFER_LENGTH_MAX) {
      receive(this.#fd, this.#buffer, MSG_TRUNC);
      throw new KernelError('EBADMSG', `netlink: a message of ${length} bytes, above ${RECEIVE_BUFFER_LENGTH_MAX}`);
    }
    if (length > this.#buffer.length) this.#buffer = new Uint8Array(length);
    const received = receive(this.#fd, this.#buffer, 0);
    const { messages, malformed } = parseMessages(this.#buffer.subarray(0, received));
    if (malformed !== undefined) throw new KernelError('EBADMSG', `netlink: ${malformed}`);
    return messages;
  }
}

/** What the kernel's "no" becomes. */
export function refusal(answer: Answer): KernelError {
  const code = errnoName(answer.errno);
  return new KernelError(code, answer.text === undefined ? code : `${code}: ${answer.text}`);
}

/** A socket's file descriptor, in the calling thread's namespace; `flags` are those of socket(2). */
export function openNetlinkSocket(protocol: NetlinkProtocol, flags: number): number {
  assert(endianness() === 'LE', 'the netlink codec is written for little-endian machines');
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, protocol);
  try {
    // struct sockaddr_nl: family, padding, port (the kernel chooses), groups.
    bind(fd, new Uint8Array(Uint16Array.of(AF_NETLINK, 0, 0, 0, 0, 0).buffer));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** struct timeval on 64-bit machines: seconds, microseconds. */
function timeval(seconds: number): Uint8Array {
  return new Uint8Array(BigInt64Array.of(BigInt(seconds), 0n).buffer);
}
