/**
 * The control socket: HTTP with JSON for `muslin node status`, `muslin bgp …`, health checks and curl.
 *
 * Only answers questions; nothing can be changed through it. The socket belongs to root and is mode 0600. Answers are made
 * from tables when asked, so an idle agent pays nothing. See control-api.ts for what is said.
 */
import { chmodSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { PeerView, RouteView } from '../bgp/contract.ts';
import type { AgentStatus } from './control-api.ts';

export interface ControlSource {
  status(): AgentStatus;
  peers(): PeerView[];
  routes(): RouteView[];
}

interface Answer {
  readonly code: number;
  readonly body: unknown;
}

const PATHS: Readonly<Record<string, (source: ControlSource) => Answer>> = {
  '/status': (source) => ok(source.status()),
  '/bgp/peers': (source) => ok(source.peers()),
  '/bgp/routes': (source) => ok(source.routes()),
  '/livez': () => ok({ live: true }),
  '/readyz': (source) => {
    const { inSync, reasons } = source.status().felix;
    return { code: inSync ? 200 : 503, body: { ready: inSync, reasons } };
  },
};

/** A client that neither asks nor leaves holds a connection; this many are plenty for one host. */
const CONNECTIONS_MAX = 64;
const REQUEST_TIMEOUT_MS = 10_000;

/** Listens on `path`, replacing a socket that a process before us left behind. */
export async function startControlServer(path: string, source: ControlSource): Promise<Server> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const answer =
      request.method === 'GET' ? PATHS[path]?.(source) : { code: 405, body: { error: 'only GET is answered' } };
    const { code, body } = answer ?? {
      code: 404,
      body: { error: `no ${path}; there are ${Object.keys(PATHS).join(', ')}` },
    };
    response.writeHead(code, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(body)}\n`);
  });
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

function ok(body: unknown): Answer {
  return { code: 200, body };
}
