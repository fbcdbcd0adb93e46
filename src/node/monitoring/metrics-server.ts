/**
 * The HTTP endpoint for monitoring: /metrics for Prometheus, /livez and /readyz for whoever restarts processes.
 *
 * Read only, without secrets, and bounded: few connections, short requests, one small page made from the speaker's views.
 * With certificates it speaks TLS, and may want one of its clients, as FelixConfiguration says. `/liveness`, `/readiness` are
 * accepted as other names, which Calico's probes use.
 *
 * Called by the agent (metrics-switch.ts) and by the speaker that runs alone.
 */
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { TLSSocket } from 'node:tls';
import type { PeerName } from '../../bgp/contract.ts';
import { wallClockNow } from '../../lib/clock.ts';
import type { BgpControl, Readiness } from '../control-api.ts';
import { VERSION } from '../version.ts';
import type { FelixNumbers } from './felix-metrics.ts';
import type { ProcessNumbers } from './metrics-table.ts';
import { metricsPage } from './metrics-table.ts';
import { METRICS_CONTENT_TYPE } from './metrics-text.ts';

export interface MetricsPlace {
  /** An address or a host's name; undefined for all addresses of this host. */
  readonly host: string | undefined;
  /** 0 for any that is free. */
  readonly port: number;
  /** Undefined for plain HTTP. */
  readonly tls?: MetricsTls | undefined;
}

/** Paths of PEM files. */
export interface MetricsTls {
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** Whose certificates clients may have; undefined for the machine's own list. */
  readonly caFile: string | undefined;
  readonly clients: 'no certificate' | 'any certificate' | 'verified if given' | 'verified';
}

export interface MetricsSource {
  readonly readiness: () => Readiness;
  readonly bgp: Pick<BgpControl, 'status' | 'peers' | 'neighbor' | 'sizes'>;
  /** Undefined for a speaker that runs alone. */
  readonly felix?: (() => FelixNumbers) | undefined;
}

export interface MetricsServer {
  /** The one that was bound. */
  readonly port: number;
  close(): Promise<void>;
}

/** A few scrapers and a probe; more are a mistake. */
const CONNECTIONS_MAX = 32;
const REQUEST_TIMEOUT_MS = 10_000;
/** As fine as a keepalive that is late by a tenth of a second wants it; measuring costs a timer of this period. */
const LAG_RESOLUTION_MS = 20;
const NANOSECONDS = 1e9;

type Lag = ReturnType<typeof monitorEventLoopDelay>;

/** Rejects when the address cannot be had, or a certificate cannot be read; the error says which. */
export async function startMetricsServer(place: MetricsPlace, source: MetricsSource): Promise<MetricsServer> {
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  const respond: RequestListener = ({ method = '', url = '' }, response) => {
    const { code, text, type = 'text/plain; charset=utf-8' } = replyTo(source, lag, method, url.split('?')[0]);
    response.writeHead(code, { 'content-type': type });
    response.end(method === 'HEAD' ? undefined : text);
  };
  const { tls } = place;
  const server = tls === undefined ? createServer(respond) : createTlsServer(tlsOptions(tls), respond);
  if (tls !== undefined) server.on('secureConnection', (socket: TLSSocket) => refuseStranger(socket, tls.clients));
  server.maxConnections = CONNECTIONS_MAX;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new Error(`metrics at port ${place.port}: ${error.message}`)));
    server.listen({ port: place.port, ...(place.host !== undefined && { host: place.host }) }, resolve);
  });
  server.on('error', () => undefined); // of one connection; the others go on
  lag.enable();
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : place.port,
    close: () => {
      lag.disable();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function tlsOptions({ certFile, keyFile, caFile, clients }: MetricsTls) {
  if (certFile === undefined || keyFile === undefined)
    throw new Error('metrics with TLS need prometheusMetricsCertFile and prometheusMetricsKeyFile, both of them');
  return {
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    ...(caFile !== undefined && { ca: readFileSync(caFile) }),
    requestCert: clients !== 'no certificate',
    rejectUnauthorized: clients === 'verified',
  };
}

/** What TLS itself does not tell apart: a certificate that is missing, and one that nobody vouches for. */
function refuseStranger(socket: TLSSocket, clients: MetricsTls['clients']): void {
  const hasCertificate = Object.keys(socket.getPeerCertificate()).length > 0;
  if (clients === 'any certificate' && !hasCertificate) socket.destroy();
  if (clients === 'verified if given' && hasCertificate && !socket.authorized) socket.destroy();
}

interface Reply {
  readonly code: number;
  readonly text: string;
  readonly type?: string;
}

function replyTo(source: MetricsSource, lag: Lag, method: string, path: string | undefined): Reply {
  if (method !== 'GET' && method !== 'HEAD') return { code: 405, text: 'only GET is answered\n' };
  switch (path) {
    case '/metrics':
      return { code: 200, text: page(source, lag), type: METRICS_CONTENT_TYPE };
    case '/livez':
    case '/liveness':
      return { code: 200, text: 'live\n' };
    case '/readyz':
    case '/readiness': {
      const { ready, reasons } = source.readiness();
      return ready ? { code: 200, text: 'ready\n' } : { code: 503, text: `not ready: ${reasons.join('; ')}\n` };
    }
    default:
      return { code: 404, text: 'there are /metrics, /livez and /readyz\n' };
  }
}

function page({ readiness, bgp, felix }: MetricsSource, lag: Lag): string {
  const neighbors = bgp.peers().flatMap(({ address }) => bgp.neighbor(address as PeerName) ?? []); // the speaker's own name
  const measured = { version: VERSION, readiness: readiness(), bgp: bgp.status(), sizes: bgp.sizes(), neighbors };
  return metricsPage({ ...measured, felix: felix?.(), process: processNumbers(lag) });
}

function processNumbers(lag: Lag): ProcessNumbers {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  // The histogram holds whole periods: what is beyond the period itself is lateness.
  const late = (nanoseconds: number) => Math.max(0, nanoseconds - LAG_RESOLUTION_MS * 1e6) / NANOSECONDS;
  const isEmpty = lag.count === 0;
  const loopLagSeconds = isEmpty
    ? { median: 0, p99: 0, max: 0 }
    : { median: late(lag.percentile(50)), p99: late(lag.percentile(99)), max: late(lag.max) };
  lag.reset();
  return {
    startedAtSeconds: Math.round(wallClockNow() / 1_000 - process.uptime()),
    cpuSeconds: (user + system) / 1e6,
    residentBytes: rss,
    heapUsedBytes: heapUsed,
    loopLagSeconds,
  };
}
