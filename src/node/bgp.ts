/**
 * BGP on this host: resources to sessions, announcements out, best paths in.
 *
 * The speaker is configured only when it is known what to announce. A restarted speaker tells its peers "that was all"
 * (End-of-RIB), and if it said so before it had looked into the store, they would drop every route to our containers. A
 * port that cannot be opened is tried again, and shown in the status meanwhile; another BGP daemon may hold it.
 */
import type { PeerView, RouteView, SpeakerConfig } from '../bgp/contract.ts';
import type { Speaker } from '../bgp/speaker.ts';
import { createSpeaker } from '../bgp/speaker.ts';
import type { Announcement } from '../felix/desired/desired.ts';
import { monotonicNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import { formatRouterId } from '../net/asn.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { BgpTransport, SpeakerReport } from './bgp-transport.ts';
import { BgpListenError, startBgpTransport } from './bgp-transport.ts';
import type { BgpStatus } from './control-api.ts';
import type { BgpResources } from './speaker-configuration.ts';
import { bgpSettings, sourceAddressFor, speakerConfiguration } from './speaker-configuration.ts';

const LISTEN_RETRY_MS = 2_000;

export interface BgpListener {
  /** The gateways of the best paths to a prefix; none when there is none any more. */
  best(prefix: Cidr, gateways: readonly Ip[], peer: Ip | undefined): void;
  /** What has not been learnt again since our start will not come any more. */
  converged(): void;
}

export class Bgp {
  readonly #node: string;
  readonly #log: Log;
  readonly #listener: BgpListener;
  readonly #speaker: Speaker;
  #configuration: SpeakerConfig | undefined;
  #port: number | undefined;
  #problem = 'the store has not been read yet';
  #announced: readonly Cidr[] | undefined;
  #transport: BgpTransport | undefined;
  #isStarting = false;
  #isClosed = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: {
    readonly node: string;
    readonly log: Log;
    readonly random: Random;
    readonly listener: BgpListener;
  }) {
    this.#node = options.node;
    this.#log = options.log;
    this.#listener = options.listener;
    this.#speaker = createSpeaker({ random: options.random, now: monotonicNow() });
  }

  /** Takes the resources as they are now; called again whenever one of them has changed. */
  configure(resources: BgpResources): void {
    const configuration = speakerConfiguration(this.#node, resources);
    if ('reason' in configuration) {
      this.#problem = configuration.reason;
      return;
    }
    this.#configuration = configuration;
    const { listenPort } = bgpSettings(this.#node, resources);
    if (this.#port !== undefined && this.#port !== listenPort)
      this.#log.warn('listenPort takes effect at the next start');
    this.#port ??= listenPort;
    this.#update();
  }

  announce(announcements: readonly Announcement[]): void {
    this.#announced = announcements.map(({ prefix }) => prefix);
    this.#update();
  }

  status(): BgpStatus {
    const routes = this.#speaker.routes();
    return {
      problem: this.#problem,
      asn: this.#configuration?.asn,
      routerId: this.#configuration === undefined ? undefined : formatRouterId(this.#configuration.routerId),
      peers: this.peers(),
      announced: this.#announced?.length ?? 0,
      learned: routes.filter((route) => route.from !== 'local').length,
    };
  }

  peers(): PeerView[] {
    return this.#speaker.peers(monotonicNow());
  }

  routes(): RouteView[] {
    return this.#speaker.routes();
  }

  /** Closes without a NOTIFICATION: peers keep our routes and wait for our return (RFC 4724). */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    await this.#transport?.close({ sendNotification: false });
  }

  #update(): void {
    if (this.#configuration === undefined || this.#announced === undefined) return;
    if (this.#transport === undefined) {
      void this.#start();
      return;
    }
    this.#transport.submit({ kind: 'announce', prefixes: this.#announced });
    this.#transport.submit({ kind: 'configure', config: this.#configuration });
  }

  async #start(): Promise<void> {
    if (this.#isStarting || this.#isClosed) return;
    this.#isStarting = true;
    try {
      this.#transport = await startBgpTransport({
        speaker: this.#speaker,
        listen: { addresses: [], port: this.#port ?? 0 },
        sourceFor: (peer) =>
          this.#configuration === undefined ? undefined : sourceAddressFor(peer, this.#configuration),
        log: this.#log,
        onOutput: (report) => this.#onReport(report),
      });
      this.#problem = '';
    } catch (error) {
      if (!(error instanceof BgpListenError)) throw error;
      if (this.#problem !== error.message) this.#log.error('BGP cannot listen, trying again', { error: error.message });
      this.#problem = error.message;
      this.#retry = setTimeout(() => this.#update(), LISTEN_RETRY_MS);
    } finally {
      this.#isStarting = false;
    }
    if (this.#isClosed) await this.close();
    else if (this.#transport !== undefined) this.#update();
  }

  #onReport(report: SpeakerReport): void {
    if (report.kind === 'best') this.#listener.best(report.prefix, report.gateways, report.peer);
    else if (report.kind === 'initialConvergence') this.#listener.converged();
  }
}
