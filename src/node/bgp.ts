/**
 * BGP on this host: resources to sessions, announcements out, best paths in.
 *
 *   resources, secrets ─► speaker configuration ─► speaker      Felix's announcements ─► speaker
 *   speaker's best paths, ways to peers ─► Felix
 *
 * The speaker is configured only when it is known what to announce. A restarted speaker tells its peers "that was all"
 * (End-of-RIB), and if it said so before it had looked into the store, they would drop every route to our containers. A
 * port that cannot be opened is tried again, and shown in the status meanwhile; another BGP daemon may hold it. Where the
 * agent's configuration says that none is spoken, no socket is ever opened.
 */
import { isDeepStrictEqual } from 'node:util';
import type { MonitorEvent, Origination, PeerName } from '../bgp/contract.ts';
import type { Announcement, Gateway, PeerRoute } from '../felix/desired/desired.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { BgpListenError } from './bgp/bgp-listeners.ts';
import type { BgpResources, BgpSetup } from './bgp/bgp-resources.ts';
import { SecretFiles } from './bgp/bgp-secrets.ts';
import { speakerConfiguration } from './bgp/speaker-configuration.ts';
import { SpeakerShell } from './bgp/speaker-shell.ts';
import type { BgpControl } from './control-api.ts';

const LISTEN_RETRY_MS = 2_000;
const NOT_SPOKEN = "the agent's configuration has bgp: false; routes to other hosts follow from the store";

export interface BgpListener {
  /**
   * The gateways of the best paths to a prefix; none when there is none any more, or when `discard` says that packets to it
   * are to be discarded.
   */
  best(prefix: Cidr, gateways: readonly Gateway[], peer: Ip | undefined, discard: boolean): void;
  /** All ways to peers that resources ask for. */
  peerRoutes(routes: readonly PeerRoute[]): void;
  /** What has not been learnt again since our start will not come any more. */
  converged(): void;
}

export class Bgp {
  readonly control: BgpControl;
  readonly #node: string;
  readonly #log: Log;
  readonly #listener: BgpListener;
  readonly #shell: SpeakerShell;
  readonly #secrets: SecretFiles;
  readonly #monitors: boolean;
  readonly #isSpoken: boolean;
  #resources: BgpResources | undefined;
  #setup: BgpSetup | undefined;
  /** Why nothing is spoken; "" when the speaker runs. */
  #problem = 'the store has not been read yet';
  #problems: readonly string[] = [];
  #originations: readonly Origination[] | undefined;
  #isClosed = false;
  #retry: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly node: string;
    readonly secretsDirectory: string;
    /** Whether BGP is spoken at all. */
    readonly isSpoken: boolean;
    readonly log: Log;
    readonly random: Random;
    readonly listener: BgpListener;
    /** Is told of each peer what a collector wants to know; undefined where nobody does. */
    readonly monitor: ((peer: PeerName, event: MonitorEvent) => void) | undefined;
  }) {
    const { log, listener } = options;
    this.#node = options.node;
    this.#log = log;
    this.#listener = listener;
    this.#monitors = options.monitor !== undefined;
    this.#isSpoken = options.isSpoken;
    if (!this.#isSpoken) this.#problem = NOT_SPOKEN;
    this.#secrets = new SecretFiles(options.secretsDirectory, () => this.#configureAgain());
    this.#shell = new SpeakerShell({
      log,
      random: options.random,
      listener: {
        best: ({ prefix, gateways, peer, discard }) => {
          const named = gateways.map(({ address, device }) => ({ address, deviceName: device }));
          listener.best(prefix, named, peer, discard);
        },
        converged: () => listener.converged(),
        monitor: ({ peer, event }) => options.monitor?.(peer, event),
      },
    });
    this.control = this.#shell.control(() => ({ problem: this.#problem, problems: this.#problems }));
  }

  /** Takes the resources as they are now; called again whenever one of them has changed. */
  configure(resources: BgpResources): void {
    if (!this.#isSpoken) {
      this.#listener.converged(); // nothing will be learnt, so what an earlier process has learnt may go
      return;
    }
    this.#resources = resources;
    const setup = speakerConfiguration(this.#node, resources, (reference) => this.#secrets.read(reference));
    if ('reason' in setup) {
      this.#problem = setup.reason;
      return;
    }
    for (const problem of setup.problems) {
      if (!this.#problems.includes(problem)) this.#log.warn('BGP is not as its resources want it', { problem });
    }
    this.#problems = setup.problems;
    const isSame = isDeepStrictEqual(setup, this.#setup);
    this.#setup = setup;
    if (isSame) return;
    this.#listener.peerRoutes(setup.peerRoutes);
    this.#update();
  }

  announce(announcements: readonly Announcement[]): void {
    if (!this.#isSpoken) return;
    this.#originations = announcements.map(({ prefix, deviceName }) => ({
      prefix,
      device: deviceName,
      communities: [], // the export policies add those of BGPConfiguration
      largeCommunities: [],
      localPreference: undefined,
    }));
    this.#update();
  }

  /** Closes without a NOTIFICATION: peers keep our routes and wait for our return (RFC 4724). */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#secrets.close();
    await this.#turn;
    await this.#shell.close({ sendNotification: false });
  }

  #configureAgain(): void {
    if (this.#resources !== undefined) this.configure(this.#resources);
  }

  /** One after another: what is configured later must not overtake an opening of the port. */
  #update(): void {
    this.#turn = this.#turn.then(() => this.#apply());
  }

  async #apply(): Promise<void> {
    if (this.#setup === undefined || this.#originations === undefined || this.#isClosed) return;
    clearTimeout(this.#retry);
    try {
      await this.#shell.listen(this.#setup.listen);
      this.#problem = '';
    } catch (error) {
      if (!(error instanceof BgpListenError)) throw error;
      if (this.#problem !== error.message) this.#log.error('BGP cannot listen, trying again', { error: error.message });
      this.#problem = error.message;
      this.#retry = setTimeout(() => this.#update(), LISTEN_RETRY_MS);
      if (!this.#shell.isListening) return; // else the old port still serves
    }
    const speaker = { ...this.#setup.speaker, monitors: this.#monitors };
    this.#shell.configure(speaker, this.#originations, this.#setup.unnumbered);
  }
}
