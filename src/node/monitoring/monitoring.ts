/**
 * What others watch us by: the metrics endpoint and the BMP collectors, switched on, off and over while all goes on.
 *
 * The agent and the speaker that runs alone both have one. `configure` takes what is wanted now; only what differs is stopped or
 * started. An address that cannot be had is logged, and tried again until it can. A collector that comes later is told
 * of the sessions that were up before it. Nothing is loaded before it is wanted.
 */
import type { MonitorEvent, PeerName } from '../../bgp/contract.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { BgpControl, Readiness } from '../control-api.ts';
import type { BmpStation } from './bmp-station.ts';
import type { FelixNumbers } from './felix-metrics.ts';
import type { MetricsPlace, MetricsServer } from './metrics-server.ts';

/** A port that another process holds is looked at again this often. */
const RETRY_MS = 5_000;

export interface MonitoringOptions {
  readonly bgp: BgpControl;
  readonly readiness: () => Readiness;
  /** Undefined for a speaker that runs alone. */
  readonly felix?: (() => FelixNumbers) | undefined;
  /** Who we are, for the collector's operator. */
  readonly systemName: string;
  readonly log: Log;
  readonly random: Random;
}

export interface MonitoringWish {
  readonly metrics: MetricsPlace | undefined;
  /** BMP collectors; the speaker is to `monitor` when there are any. */
  readonly collectors: readonly { readonly address: Ip; readonly port: number }[];
}

type Up = Extract<MonitorEvent, { readonly kind: 'up' }>;

export class Monitoring {
  readonly #options: MonitoringOptions;
  #wish: MonitoringWish = { metrics: undefined, collectors: [] };
  /** What runs at the moment, by what it was made from. */
  #server: { readonly key: string; readonly server: MetricsServer } | undefined;
  readonly #stations = new Map<string, BmpStation>();
  readonly #up = new Map<PeerName, Up>();
  #problem = '';
  #retry: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(options: MonitoringOptions) {
    this.#options = options;
  }

  configure(wish: MonitoringWish): void {
    this.#wish = wish;
    this.#follow();
  }

  /** What the speaker has to say of a peer. */
  monitor(name: PeerName, event: MonitorEvent): void {
    if (event.kind === 'up') this.#up.set(name, event);
    else if (event.kind === 'down') this.#up.delete(name);
    for (const station of this.#stations.values()) station.monitor(name, event);
  }

  /** Stops everything; collectors are told. */
  async close(): Promise<void> {
    this.configure({ metrics: undefined, collectors: [] });
    await this.#work;
    clearTimeout(this.#retry);
  }

  /** One change at a time; each looks at the wish that is the last one by then. */
  #follow(): void {
    this.#work = this.#work.then(async () => {
      await this.#followMetrics();
      await this.#followCollectors();
    });
  }

  async #followMetrics(): Promise<void> {
    const { metrics } = this.#wish;
    const key = JSON.stringify(metrics);
    if (this.#server?.key === key) return;
    const { log, bgp, readiness, felix } = this.#options;
    await this.#server?.server.close();
    this.#server = undefined;
    clearTimeout(this.#retry);
    if (metrics === undefined) return;
    const { startMetricsServer } = await import('./metrics-server.ts');
    try {
      this.#server = { key, server: await startMetricsServer(metrics, { bgp, readiness, felix }) };
      this.#problem = '';
      log.info('metrics are served', { host: metrics.host, port: this.#server.server.port });
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== this.#problem) log.error('metrics cannot be served, trying again', { error: problem });
      this.#problem = problem;
      this.#retry = setTimeout(() => this.#follow(), RETRY_MS).unref();
    }
  }

  async #followCollectors(): Promise<void> {
    const wanted = new Map<string, MonitoringWish['collectors'][number]>(
      this.#wish.collectors.map((each) => [`${formatIp(each.address)} ${each.port}`, each] as const),
    );
    for (const [key, station] of this.#stations) {
      if (wanted.has(key)) continue;
      this.#stations.delete(key);
      await station.close();
    }
    const { systemName, bgp, log, random } = this.#options;
    for (const [key, collector] of wanted) {
      if (this.#stations.has(key)) continue;
      const { BmpStation } = await import('./bmp-station.ts');
      const station = new BmpStation({ collector, systemName, bgp, log, random });
      for (const [name, event] of this.#up) station.monitor(name, event);
      this.#stations.set(key, station);
    }
  }
}
