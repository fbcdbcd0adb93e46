/**
 * The socket that the CNI plugin speaks to: one connection, one request, one answer.
 *
 * Bounded on all sides: connections, the size of a request, the time that a caller may take to send it. Only root may
 * connect (mode 0600 in a directory that is 0700). Whatever happens, the caller gets an answer that a runtime
 * understands; a request that we could not even read is answered in the newest version of CNI.
 */
import { chmodSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { CniError, CniVersion } from '../cni/cni-error.ts';
import { CNI_ERROR, encodeError, encodeVersions, NEWEST_CNI_VERSION } from '../cni/cni-error.ts';
import type { RequestFrame } from '../cni/frame.ts';
import { encodeAnswer, RequestFrameDecoder } from '../cni/frame.ts';
import type { CniRequest } from '../cni/request.ts';
import { parseRequest } from '../cni/request.ts';
import type { CniResult } from '../cni/result.ts';
import { encodeResult } from '../cni/result.ts';
import type { Log } from '../lib/log.ts';

/** What a request led to: ADD gives a result, the others nothing. */
export type CniOutcome = { readonly result: CniResult | undefined } | { readonly error: CniError };

export type CniWork = Exclude<CniRequest, { readonly command: 'VERSION' }>;

/** A runtime that starts hundreds of containers at once opens as many connections. */
const CONNECTIONS_MAX = 1024;
/** The plugin has the whole request at hand when it connects. */
const RECEIVE_TIMEOUT_MS = 5_000;

/** Listens on `path`; `work` carries a valid request out and never rejects. */
export async function startCniServer(
  path: string,
  work: (request: CniWork) => Promise<CniOutcome>,
  log: Log,
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, work, log));
  server.maxConnections = CONNECTIONS_MAX;
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, backlog: CONNECTIONS_MAX }, resolve);
  });
  chmodSync(path, 0o600);
  return server;
}

function serve(socket: Socket, work: (request: CniWork) => Promise<CniOutcome>, log: Log): void {
  const decoder = new RequestFrameDecoder();
  let answered = false;
  const answer = (exitCode: number, output: string): void => {
    answered = true;
    socket.end(encodeAnswer(exitCode, output));
  };
  const refuse = (message: string): void => {
    log.warn('request on the CNI socket refused', { reason: message });
    answer(1, encodeError(NEWEST_CNI_VERSION, { code: CNI_ERROR.ioFailure, message, details: '' }));
  };
  socket.setTimeout(RECEIVE_TIMEOUT_MS, () => {
    if (!answered) refuse(`no complete request within ${RECEIVE_TIMEOUT_MS / 1000} s`);
  });
  socket.on('error', (error) => log.debug('CNI caller went away', { error: error.message }));
  socket.on('end', () => {
    if (!answered && !socket.destroyed) refuse('the request ends too early');
  });
  socket.on('data', (chunk: Buffer) => {
    if (answered) return;
    const state = decoder.push(chunk);
    if (state.kind === 'malformed') refuse(state.reason);
    if (state.kind !== 'complete') return;
    answered = true; // whatever else the caller sends, this request is the one
    socket.setTimeout(0);
    void respond(state.frame, work, log).then(({ exitCode, output }) => answer(exitCode, output));
  });
}

async function respond(
  frame: RequestFrame,
  work: (request: CniWork) => Promise<CniOutcome>,
  log: Log,
): Promise<{ exitCode: number; output: string }> {
  const parsed = parseRequest(frame);
  if (!parsed.ok) return failure(parsed.version, parsed.error, log);
  if (parsed.request.command === 'VERSION') return { exitCode: 0, output: encodeVersions() };
  const outcome = await work(parsed.request);
  if ('error' in outcome) return failure(parsed.version, outcome.error, log);
  const output = outcome.result === undefined ? '' : encodeResult(parsed.version, outcome.result);
  return { exitCode: 0, output };
}

function failure(version: CniVersion, error: CniError, log: Log): { exitCode: number; output: string } {
  log.warn('CNI request failed', { code: error.code, reason: error.message });
  return { exitCode: 1, output: encodeError(version, error) };
}
