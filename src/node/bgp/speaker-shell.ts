/**
 * A speaker at work: the machine, its sockets, BFD, and what people are shown of it.
 *
 * The agent and `muslin bgp run` both stand on this; they differ in where the configuration comes from and where best paths
 * go. Announcements are told before the configuration: a restarted speaker says "that was all" (End-of-RIB) to a
 * peer, and if it knew of nothing to announce by then, the peer would drop every route to us. BFD is loaded when the first
 * peer asks for it.
 */
import type { Origination, PeerCommand, PeerName, SpeakerEvent, SpeakerOutput } from '../../bgp/contract.ts';
import { peerName } from '../../bgp/contract.ts';
import type { NeighborView } from '../../bgp/observe/views.ts';
import type { ListenRange, PeerConfig, SpeakerConfig } from '../../bgp/peer-config.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import { createSpeaker } from '../../bgp/speaker.ts';
import { monotonicNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import { formatRouterId } from '../../net/asn.ts';
import { cidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import type { Bfd } from '../bfd.ts';
import type { BgpControl, BgpStatus } from '../control-api.ts';
import type { ListenOn } from './bgp-listeners.ts';
import type { UnnumberedPeer } from './bgp-resources.ts';
import type { BgpTransport, SpeakerReport } from './bgp-transport.ts';
import { startBgpTransport } from './bgp-transport.ts';
import type { Unnumbered } from './unnumbered.ts';

const LINK_LOCAL = cidr('fe80::/10');

type Best = Extract<SpeakerOutput, { readonly kind: 'best' }>;
type Monitor = Extract<SpeakerOutput, { readonly kind: 'monitor' }>;

export interface SpeakerListener {
  /** The best way to a prefix; no gateways when there is none any more. */
  best(output: Best): void;
  /** What has not been learnt again since our start will not come any more. */
  converged(): void;
  monitor(output: Monitor): void;
}

export class SpeakerShell {
  readonly #speaker: Speaker;
  readonly #log: Log;
  readonly #listener: SpeakerListener;
  #config: SpeakerConfig | undefined;
  #originations: readonly Origination[] = [];
  #transport: BgpTransport | undefined;
  #bfd: Promise<Bfd> | undefined;
  /** The same, once it is there. */
  #watching: Bfd | undefined;
  #unnumbered: readonly UnnumberedPeer[] = [];
  #search: Promise<Unnumbered> | undefined;
  /** The other ends of devices, as far as they were heard. */
  readonly #neighbours = new Map<string, Ip>();

  constructor(options: {
    readonly log: Log;
    readonly random: Random;
    readonly listener: SpeakerListener;
    /** How many routes there is room for from the start. */
    readonly rows?: number;
  }) {
    this.#log = options.log;
    this.#listener = options.listener;
    this.#speaker = createSpeaker({
      random: options.random,
      now: monotonicNow(),
      ...(options.rows && { rows: options.rows }),
    });
  }

  get isListening(): boolean {
    return this.#transport !== undefined;
  }

  /** Opens the port, or another one in its place; sessions stay. Rejects with BgpListenError. */
  async listen(listen: ListenOn): Promise<void> {
    if (this.#transport !== undefined) {
      this.#transport.relisten(listen);
      return;
    }
    this.#transport = await startBgpTransport({
      speaker: this.#speaker,
      listen,
      log: this.#log,
      onOutput: (report) => this.#onReport(report),
    });
  }

  /** Once listening: what is announced, and with whom we speak. */
  configure(config: SpeakerConfig, originations: readonly Origination[], unnumbered: readonly UnnumberedPeer[]): void {
    this.#config = config;
    this.#originations = originations;
    this.#unnumbered = unnumbered;
    this.submit({ kind: 'announce', originations });
    this.submit({ kind: 'configure', config: this.#withNeighbours(config) });
    if (this.#search === undefined && unnumbered.length === 0) return;
    this.#search ??= import('./unnumbered.ts').then(({ findNeighbours }) =>
      findNeighbours({ log: this.#log, onNeighbour: (device, address) => this.#onNeighbour(device, address) }),
    );
    void this.#search.then((search) => search.watch(this.#unnumbered.map(({ device }) => device)));
  }

  submit(event: SpeakerEvent): void {
    this.#transport?.submit(event);
  }

  /** What the control socket, dumps and metrics ask; `state` says what keeps us from speaking, and what else is wrong. */
  control(state: () => Pick<BgpStatus, 'problem' | 'problems'>): BgpControl {
    const speaker = this.#speaker;
    const status = (): BgpStatus => {
      const { paths } = speaker.sizes();
      return {
        ...state(),
        asn: this.#config?.asn,
        routerId: this.#config === undefined ? undefined : formatRouterId(this.#config.routerId),
        peers: speaker.peers(monotonicNow()),
        announced: this.#originations.length,
        learned: Math.max(paths - this.#originations.length, 0),
      };
    };
    return {
      status,
      peers: () => speaker.peers(monotonicNow()),
      neighbor: (name) => this.#neighbor(name),
      routes: (filter) => speaker.routes(filter),
      received: (name, filter) => speaker.received(name, filter),
      advertised: (name, filter) => speaker.advertised(name, filter),
      explain: (prefix) => speaker.explain(prefix),
      dump: (question) => speaker.dump(question),
      sizes: () => speaker.sizes(),
      command: (peer: PeerName, command: PeerCommand) => this.submit({ kind: 'command', peer, command }),
    };
  }

  /** Without a NOTIFICATION peers keep our routes and wait for our return (RFC 4724). */
  async close(options: { readonly sendNotification: boolean }): Promise<void> {
    (await this.#search)?.close();
    await (await this.#bfd)?.close();
    await this.#transport?.close(options);
  }

  /** With what BFD has seen, which the speaker does not know. */
  #neighbor(name: PeerName): NeighborView | undefined {
    const view = this.#speaker.neighbor(monotonicNow(), name);
    const seen = this.#watching?.sessions().find(({ peer }) => peer === name);
    if (view === undefined || seen === undefined) return view;
    return { ...view, bfd: `${seen.state}, ${view.bfd ?? ''}, ${seen.flaps} flaps` };
  }

  #onNeighbour(device: string, address: Ip | undefined): void {
    if (address === undefined) this.#neighbours.delete(device);
    else this.#neighbours.set(device, address);
    if (this.#config !== undefined) this.submit({ kind: 'configure', config: this.#withNeighbours(this.#config) });
  }

  /** Peers that are named by their device have an address as soon as they were heard; without an AS number they dial. */
  #withNeighbours(config: SpeakerConfig): SpeakerConfig {
    if (this.#unnumbered.length === 0) return config;
    const peers = this.#unnumbered.flatMap(({ device, asn, peer }): PeerConfig[] => {
      const address = this.#neighbours.get(device);
      return asn === undefined || address === undefined ? [] : [{ ...peer, address, device, asn }];
    });
    const ranges = this.#unnumbered.flatMap(({ device, asn, peer }): ListenRange[] =>
      asn === undefined ? [{ range: LINK_LOCAL, device, asn, peersMax: 1, peer: { ...peer, passive: true } }] : [],
    );
    const peersToCome = this.#unnumbered.filter(({ device }) => !this.#neighbours.has(device)).length;
    return {
      ...config,
      peers: [...config.peers, ...peers],
      listenRanges: [...config.listenRanges, ...ranges],
      peersToCome,
    };
  }

  #onReport(report: SpeakerReport): void {
    switch (report.kind) {
      case 'best':
        this.#listener.best(report);
        return;
      case 'initialConvergence':
        this.#listener.converged();
        return;
      case 'monitor':
        this.#listener.monitor(report);
        return;
      case 'bfd':
        this.#watch(report);
        return;
    }
  }

  #watch({ peer, watch }: Extract<SpeakerReport, { readonly kind: 'bfd' }>): void {
    if (this.#bfd === undefined && watch === undefined) return;
    this.#bfd ??= import('../bfd.ts').then(({ startBfd }) =>
      startBfd({
        log: this.#log,
        onDown: (name: PeerName, reason: string) => this.submit({ kind: 'bfdDown', peer: name, reason }),
      }),
    );
    void this.#bfd.then((bfd) => {
      this.#watching = bfd;
      if (watch === undefined) bfd.unwatch(peerName(peer));
      else bfd.watch(peer, watch.localAddress);
    });
  }
}
