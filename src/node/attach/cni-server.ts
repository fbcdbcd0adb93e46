/**
 * The socket that the CNI plugin speaks to: one connection, one request, one answer.
 *
 * Bounded on all sides: connections, the size of a request, the time that a caller may take to send it and to take the answer.
 * When too many send nothing, the one that has been silent longest makes room for the next, so that idle connections keep nobody out.
 * Only root may connect (mode 0600 in a directory that is 0700). Whatever happens, the caller gets an answer that a
 * runtime understands; a request that we could not even read is answered in the newest version of CNI.
 *
 *   waiting   until the request is whole      at most WAITING_MAX, each for RECEIVE_TIMEOUT_MS
 *   working   until the work is done          at most WORKING_MAX; who comes then is told to come again
 *   leaving   until the answer is written     at most LEAVE_TIMEOUT_MS
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { CniError, CniVersion } from '../../cni/cni-error.ts';
import { CNI_ERROR, encodeError, encodeVersions, NEWEST_CNI_VERSION } from '../../cni/cni-error.ts';
import type { RequestFrame } from '../../cni/frame.ts';
import { encodeAnswer, RequestFrameDecoder } from '../../cni/frame.ts';
import type { CniRequest } from '../../cni/request.ts';
import { parseRequest } from '../../cni/request.ts';
import type { CniResult } from '../../cni/result.ts';
import { encodeResult } from '../../cni/result.ts';
import { KernelError } from '../../kernel/kernel.ts';
import { OWN_NAMESPACE, sameNamespace } from '../../kernel/network-namespace.ts';
import type { Log } from '../../lib/log.ts';

/** What a request led to: ADD gives a result, the others nothing. */
export type CniOutcome = { readonly result: CniResult | undefined } | { readonly error: CniError };

export type CniWork = Exclude<CniRequest, { readonly command: 'VERSION' }>;

type Work = (request: CniWork) => Promise<CniOutcome>;

/** A runtime that starts hundreds of containers at once opens as many connections. */
const WAITING_MAX = 1024;
const WORKING_MAX = 1024;
/** The plugin has the whole request at hand when it connects. */
const RECEIVE_TIMEOUT_MS = 5_000;
/** An answer fits into the socket's buffer, so only a caller that stopped reading long ago is cut off. */
const LEAVE_TIMEOUT_MS = 5_000;
/** Of a socket's file: for its owner alone, from the moment that it is there. */
const SOCKET_UMASK = 0o177;

const BUSY: CniError = {
  code: CNI_ERROR.tryAgainLater,
  message: `the agent works on ${WORKING_MAX} calls already; try again later`,
  details: '',
};

/** Listens on `path`; `work` carries a valid request out and never rejects. */
export async function startCniServer(path: string, work: Work, log: Log): Promise<Server> {
  const reception = new Reception(work, log);
  const server = createServer({ allowHalfOpen: true }, (socket) => reception.receive(socket));
  rmSync(path, { force: true });
  const umask = process.umask(SOCKET_UMASK);
  try {
    server.listen({ path, backlog: WAITING_MAX }); // makes the file before it returns
  } finally {
    process.umask(umask);
  }
  await once(server, 'listening');
  return server;
}

class Reception {
  readonly #work: Work;
  readonly #log: Log;
  /** Connections whose request is not whole yet, the oldest first, each with what refuses it. */
  readonly #waiting = new Map<Socket, (reason: string) => void>();
  #working = 0;

  constructor(work: Work, log: Log) {
    this.#work = work;
    this.#log = log;
  }

  receive(socket: Socket): void {
    const decoder = new RequestFrameDecoder();
    const timer = setTimeout(
      () => refuse(`no complete request within ${RECEIVE_TIMEOUT_MS / 1000} s`),
      RECEIVE_TIMEOUT_MS,
    );
    /** No more is read; the value is whether this is the first to say so. */
    const settle = (): boolean => {
      clearTimeout(timer);
      return this.#waiting.delete(socket);
    };
    const refuse = (reason: string): void => {
      if (!settle()) return;
      this.#log.warn('request on the CNI socket refused', { reason });
      leave(socket, 1, encodeError(NEWEST_CNI_VERSION, { code: CNI_ERROR.ioFailure, message: reason, details: '' }));
    };
    this.#waiting.set(socket, refuse);
    socket.on('error', (error) => this.#log.debug('CNI caller went away', { error: error.message }));
    socket.on('close', settle);
    socket.on('end', () => refuse('the request ends too early'));
    socket.on('data', (chunk: Buffer) => {
      if (!this.#waiting.has(socket)) return; // the request is whole, or refused: what follows is of no interest
      const state = decoder.push(chunk);
      if (state.kind === 'malformed') refuse(state.reason);
      if (state.kind === 'complete' && settle()) void this.#answer(socket, state.frame);
    });
    this.#makeRoom();
  }

  #makeRoom(): void {
    const [oldest] = this.#waiting.values();
    if (this.#waiting.size > WAITING_MAX) oldest?.(`more than ${WAITING_MAX} callers have sent no complete request`);
  }

  async #answer(socket: Socket, frame: RequestFrame): Promise<void> {
    if (this.#working >= WORKING_MAX) {
      const { exitCode, output } = failure(NEWEST_CNI_VERSION, BUSY, this.#log);
      leave(socket, exitCode, output);
      return;
    }
    this.#working += 1;
    try {
      const { exitCode, output } = await respond(frame, this.#work, this.#log);
      leave(socket, exitCode, output);
    } finally {
      this.#working -= 1;
    }
  }
}

/** Writes the answer and closes the connection, whether or not the caller closes its side. */
function leave(socket: Socket, exitCode: number, output: string): void {
  socket.setTimeout(LEAVE_TIMEOUT_MS, () => socket.destroy());
  socket.end(encodeAnswer(exitCode, output), () => socket.destroy());
}

async function respond(frame: RequestFrame, work: Work, log: Log): Promise<{ exitCode: number; output: string }> {
  const parsed = parseRequest(frame);
  if (!parsed.ok) return failure(parsed.version, parsed.error, log);
  const { version, request } = parsed;
  if (request.command === 'VERSION') return { exitCode: 0, output: encodeVersions() };
  const refused = ownNamespaceError(request);
  if (refused !== undefined) return failure(version, refused, log);
  const outcome = await work(request);
  if ('error' in outcome) return failure(version, outcome.error, log);
  if (outcome.result === undefined || request.command !== 'ADD') return { exitCode: 0, output: '' };
  const surroundings = { previous: request.previous, dns: request.configuration.dns };
  return { exitCode: 0, output: encodeResult(version, outcome.result, surroundings) };
}

/** A container in the namespace that the hosts' ends are in would have both ends of its wire in it; a tap has but one. */
function ownNamespaceError(request: CniWork): CniError | undefined {
  if (request.command !== 'ADD' && request.command !== 'CHECK') return undefined;
  if (request.mayBeOwnNamespace || request.configuration.tap || !isOwnNamespace(request.netns)) return undefined;
  const message = `CNI_NETNS: ${request.netns} is the host's own network namespace; a container has another one`;
  return { code: CNI_ERROR.invalidNamespace, message, details: '' };
}

function isOwnNamespace(path: string): boolean {
  try {
    return sameNamespace(path, OWN_NAMESPACE);
  } catch (error) {
    if (error instanceof KernelError) return false; // there is nothing at that path, which the work will say
    throw error;
  }
}

function failure(version: CniVersion, error: CniError, log: Log): { exitCode: number; output: string } {
  log.warn('CNI request failed', { code: error.code, reason: error.message });
  return { exitCode: 1, output: encodeError(version, error) };
}
