/**
 * The control socket: HTTP with JSON for `muslin node status`, `muslin bgp …`, health checks and curl.
 *
 * It answers questions, and takes a few commands for BGP sessions that change nothing of what is configured. The socket
 * belongs to root and is mode 0600. Answers are made from tables when asked, a page at a time, so an idle agent pays
 * nothing and a busy one is not held up. See control-api.ts for what is said.
 */
import { chmodSync, rmSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { KernelError } from '../kernel/kernel.ts';
import { nearMiss } from '../model/near-miss.ts';
import type { Answer } from './bgp/bgp-questions.ts';
import { answerBgpCommand, answerBgpQuestion } from './bgp/bgp-questions.ts';
import type { AgentStatus, BgpControl, DropBatch, DropView, PolicyControl, Readiness } from './control-api.ts';
import { writeMrtDump } from './monitoring/mrt-dump.ts';

export interface ControlSource {
  /** Undefined for a speaker that runs alone. */
  readonly status: (() => AgentStatus) | undefined;
  readonly readiness: () => Readiness;
  readonly bgp: BgpControl;
  /** Undefined for a speaker that runs alone. */
  readonly policy: PolicyControl | undefined;
}

/** A client that neither asks nor leaves holds a connection; this many are plenty for one host. */
const CONNECTIONS_MAX = 64;
const REQUEST_TIMEOUT_MS = 10_000;

const BGP = '/bgp/';
const DUMP = '/bgp/dump';
const DROPS = '/drops';
const DENIALS = '/denials';
const ENDPOINTS = '/endpoints';
const PATHS =
  '/status, /endpoints, /endpoints/NAME, /policies, /denials, /drops, /livez, /readyz, /bgp/status, /bgp/peers, /bgp/routes, /bgp/received/PEER, /bgp/advertised/PEER, /bgp/explain, /bgp/dump';

/** Listens on `path`, replacing a socket that a process before us left behind. */
export async function startControlServer(path: string, source: ControlSource): Promise<Server> {
  const server = createServer((request, response) => respond(source, request, response));
  server.maxConnections = CONNECTIONS_MAX;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return server;
}

function respond(source: ControlSource, request: IncomingMessage, response: ServerResponse): void {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  if (path === DUMP && request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    void writeMrtDump(source.bgp, response);
    return;
  }
  if (path === DROPS && request.method === 'GET' && source.policy !== undefined) {
    streamDrops(source.policy, response);
    return;
  }
  const { code, body } = answerTo(source, request.method ?? '', path, new URLSearchParams(query));
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}

function answerTo(source: ControlSource, method: string, path: string, parameters: URLSearchParams): Answer {
  const missing: Answer = { code: 404, body: { error: `no ${path}; there are ${PATHS}` } };
  if (method === 'POST' && path.startsWith(BGP))
    return answerBgpCommand(source.bgp, path.slice(BGP.length), parameters) ?? missing;
  if (method !== 'GET') return { code: 405, body: { error: `${method} is not answered here; GET is` } };
  if (path.startsWith(BGP)) return answerBgpQuestion(source.bgp, path.slice(BGP.length), parameters) ?? missing;
  if (path === '/livez') return { code: 200, body: { live: true } };
  if (path === '/readyz') {
    const readiness = source.readiness();
    return { code: readiness.ready ? 200 : 503, body: readiness };
  }
  if (source.policy !== undefined) {
    if (path === '/policies') return { code: 200, body: source.policy.policies() };
    if (path === DENIALS) return { code: 200, body: source.policy.denials() };
    if (path === ENDPOINTS) return { code: 200, body: source.policy.endpoints() };
    if (path.startsWith(`${ENDPOINTS}/`)) return answerEndpoint(source.policy, path.slice(ENDPOINTS.length + 1));
  }
  return path === '/status' && source.status !== undefined ? { code: 200, body: source.status() } : missing;
}

function answerEndpoint(policy: PolicyControl, encoded: string): Answer {
  const name = encoded.includes('%') ? decoded(encoded) : encoded;
  const found = policy.endpoint(name);
  if (!isList(found)) return { code: 200, body: found };
  if (found.length > 0) {
    const devices = found.map(({ device }) => device).join(', ');
    return {
      code: 404,
      body: { error: `"${name}" is the name of several endpoints; write one by its device: ${devices}` },
    };
  }
  const near = nearMiss(
    name,
    policy.endpoints().map(({ workload }) => workload),
  );
  const remedy = near === undefined ? '`muslin endpoint list` shows those that are here' : `is it "${near}"?`;
  return { code: 404, body: { error: `no endpoint "${name}" on this host; ${remedy}` } };
}

function isList<Item>(value: object | readonly Item[]): value is readonly Item[] {
  return Array.isArray(value);
}

/** What is no percent-encoding is taken as it is: it names nothing. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A client that takes what it is sent too slowly loses packets rather than memory of the agent's. */
const DROPS_BACKLOG_BYTES = 1 << 20;

/** A line of JSON for each batch until the client leaves. */
function streamDrops(policy: PolicyControl, response: ServerResponse): void {
  let lostBefore = 0;
  const listener = (drops: readonly DropView[], lost: number): void => {
    if (response.writableLength > DROPS_BACKLOG_BYTES) {
      lostBefore += drops.length + lost;
      return;
    }
    const batch: DropBatch = { drops, lost: lost + lostBefore };
    lostBefore = 0;
    response.write(`${JSON.stringify(batch)}\n`);
  };
  try {
    const stop = policy.watchDrops(listener);
    if (stop === undefined) throw new KernelError('EBUSY', 'too many watch dropped packets already; end one of them');
    response.on('close', stop);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    response.writeHead(503, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ error: error.message })}\n`);
    return;
  }
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
}
