/**
 * One peer: its session, what it has told us, what we have told it, and the care for it while it restarts.
 *
 *      session ── UPDATE ──► decoder ──► Adj-RIB-In ──► Loc-RIB (shared) ──► Adj-RIB-Out ── UPDATE ──► session
 *
 * When the connection to a peer with graceful restart is lost, its routes stay in use, marked stale: the peer's kernel most
 * likely still forwards. They go when the peer has finished its End-of-RIB without naming them again, when it comes back
 * and says that it did not forward meanwhile, or when it does not come back in time. A NOTIFICATION ends all such patience.
 *
 * RFC 4724 section 4.2 (the receiving speaker).
 */
import type { Instant } from '../lib/clock.ts';
import { after, earlier } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import { formatRouterId } from '../net/asn.ts';
import type { Cidr } from '../net/cidr.ts';
import { familyOf } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import { AdjRibIn } from './adj-rib-in.ts';
import { AdjRibOut } from './adj-rib-out.ts';
import type { PathAttributes } from './attributes.ts';
import { multiprotocolValue } from './capabilities.ts';
import type { ConnectionId, PeerConfig, PeerView, SpeakerConfig, SpeakerOutput } from './contract.ts';
import type { BgpError } from './errors.ts';
import { bgpError, isBgpError } from './errors.ts';
import type { PeerProgress } from './initial-convergence.ts';
import { END_OF_RIB_WAIT_MS } from './initial-convergence.ts';
import type { Destination, LocRib } from './loc-rib.ts';
import { prefixKey } from './nlri.ts';
import type { Open } from './open.ts';
import { encodeEndOfRib } from './pack-updates.ts';
import type { Route, RouteSource } from './route.ts';
import type { DownCause, Negotiated, SessionOwner } from './session.ts';
import { Session } from './session.ts';
import { UpdateDecoder } from './update.ts';

/** Far above a container network of thousands of hosts, far below what would exhaust memory. */
const PREFIXES_MAX = 100_000;
/** Longer than any restart of a daemon; a peer may ask for up to 4095 s, in which nobody would trust its routes. */
const STALE_MS_MAX = 600_000;
/** A peer whose every UPDATE is malformed shall not fill the log. */
const NOTICES_PER_MINUTE = 20;
const MINUTE_MS = 60_000;

/** What a peer needs of the speaker. */
export interface PeerWorld {
  readonly random: Random;
  readonly locRib: LocRib;
  emit(output: SpeakerOutput): void;
  nextConnection(peer: Peer): ConnectionId;
  config(): SpeakerConfig;
  /** Whether we have just been started, and would have peers keep our routes. */
  isRestarting(now: Instant): boolean;
}

/** What lives as long as one Established session. */
interface Live {
  readonly negotiated: Negotiated;
  readonly families: readonly Family[];
  readonly source: RouteSource;
  readonly decoder: UpdateDecoder;
  readonly out: AdjRibOut;
  /** Families whose End-of-RIB we have not sent yet. */
  owedEnds: readonly Family[];
  /** Families whose End-of-RIB has not come yet. */
  awaitedEnds: readonly Family[];
}

export class Peer implements SessionOwner {
  #config: PeerConfig;
  readonly #world: PeerWorld;
  readonly session: Session;
  readonly #in = new AdjRibIn();
  #live: Live | undefined;
  /** When what is stale goes, whatever happens. */
  #staleUntil: Instant | undefined;
  #everEstablished = false;
  #progress: PeerProgress = { kind: 'down' };
  #notices = 0;
  #noticesSince: Instant;

  constructor(now: Instant, config: PeerConfig, world: PeerWorld) {
    this.#config = config;
    this.#world = world;
    this.#noticesSince = now;
    this.session = new Session(now, config, this, world.random);
    this.session.start(now);
  }

  get config(): PeerConfig {
    return this.#config;
  }

  /** How far the peer has come in telling us all it has, since our start. */
  get progress(): PeerProgress {
    return this.#progress;
  }

  /** Whether the peer itself has just started and waits for others, so that waiting for it could go on for ever. */
  get isRestarting(): boolean {
    return this.#live?.negotiated.open.capabilities.gracefulRestart?.restarting === true;
  }

  /** Takes a configuration that differs only in what needs no reset. */
  reconfigure(now: Instant, config: PeerConfig): void {
    this.#config = config;
    this.session.reconfigure(now, config);
  }

  /** The peer is no longer configured: it is told so, and its routes go at once. */
  remove(now: Instant): void {
    this.session.stop(now, bgpError('peerDeconfigured', 'the peer is no longer configured'));
    this.#forget(this.#in.clear());
  }

  nextTimer(): Instant | undefined {
    return earlier(this.session.nextTimer(), this.#staleUntil);
  }

  tick(now: Instant): void {
    this.session.tick(now);
    if (this.#staleUntil === undefined || this.#staleUntil > now) return;
    this.#notice(now, `${this.#in.staleSize} stale routes were dropped: the peer has not confirmed them in time`);
    this.#sweep([4, 6]);
  }

  isStale(route: Route): boolean {
    return this.#in.isStale(route);
  }

  /** The best route to a prefix has changed. */
  offer(destination: Destination): void {
    const { prefix, key, best } = destination;
    if (this.#live?.families.includes(familyOf(prefix)) !== true) return;
    this.#live.out.offer(key, prefix, best, this.#world.config());
  }

  /** What we are has changed: every route is offered anew. */
  offerAll(): void {
    this.#live?.out.forgetSets();
    for (const destination of this.#world.locRib.destinations()) this.offer(destination);
  }

  /** Sends what is pending, and, where `mayEnd`, that this was all. */
  flush(now: Instant, mayEnd: boolean): void {
    const live = this.#live;
    if (live === undefined) return;
    const updates = live.out.take();
    if (updates !== undefined) this.session.send(now, updates);
    const unsendable = live.out.takeUnsendable();
    if (unsendable > 0) this.#notice(now, `${unsendable} attribute sets are too long for a message and were not sent`);
    if (!mayEnd || live.owedEnds.length === 0) return;
    for (const family of live.owedEnds) this.session.send(now, encodeEndOfRib(family));
    live.owedEnds = [];
  }

  view(now: Instant): PeerView {
    const { address, asn, description } = this.#config;
    const negotiated = this.#live?.negotiated;
    return {
      address: formatIp(address),
      asn,
      description,
      state: this.session.state,
      forMs: Math.round(now - this.session.since),
      lastError: this.session.lastError,
      prefixesReceived: this.#in.size,
      prefixesSent: this.#live?.out.size ?? 0,
      holdTimeSeconds: negotiated?.holdTimeSeconds,
      routerId: negotiated === undefined ? undefined : formatRouterId(negotiated.open.routerId),
      stale: this.#in.staleSize > 0,
    };
  }

  emit(output: SpeakerOutput): void {
    this.#world.emit(output);
  }

  nextConnection(): ConnectionId {
    return this.#world.nextConnection(this);
  }

  ownOpen(now: Instant): Open {
    const { asn, routerId, holdTimeSeconds, restartTimeSeconds } = this.#world.config();
    const { families } = this.#config;
    const gracefulRestart = {
      restarting: !this.#everEstablished && this.#world.isRestarting(now),
      restartTimeSeconds,
      // Always true: our forwarding is the kernel's, which does not end with this process or with a connection.
      families: families.map((family) => ({ family, forwardingPreserved: true })),
    };
    const capabilities = { families, fourOctetAsn: asn, gracefulRestart, routeRefresh: false };
    return { asn, holdTimeSeconds, routerId, capabilities };
  }

  established(now: Instant, negotiated: Negotiated): void {
    const { open, localAddress } = negotiated;
    const { address, asn } = this.#config;
    const theirs = open.capabilities.families ?? [4];
    const families = this.#config.families.filter((family) => theirs.includes(family));
    const external = asn !== this.#world.config().asn;
    const asnBytes = open.capabilities.fourOctetAsn === undefined ? 2 : 4;
    this.#live = {
      negotiated,
      families,
      source: { kind: 'peer', address, external, routerId: open.routerId, localAddress },
      decoder: new UpdateDecoder({ asnBytes, external, families, peerAsn: asn }),
      out: new AdjRibOut({ address, external }, { asnBytes, external }),
      owedEnds: families,
      awaitedEnds: families,
    };
    this.#everEstablished = true;
    const restart = open.capabilities.gracefulRestart;
    if (this.#progress.kind !== 'complete') {
      this.#progress = { kind: 'sending', establishedAt: now, sendsEndOfRib: restart !== undefined };
    }
    const preserved = restart?.families.filter((row) => row.forwardingPreserved).map((row) => row.family) ?? [];
    this.#sweep(([4, 6] as const).filter((family) => !preserved.includes(family) || !families.includes(family)));
    if (this.#in.staleSize > 0) this.#staleUntil = after(now, END_OF_RIB_WAIT_MS);
    this.offerAll();
  }

  update(now: Instant, body: Uint8Array): BgpError | undefined {
    const live = this.#live;
    if (live === undefined) return undefined;
    const update = live.decoder.decode(body);
    if (isBgpError(update)) return update;
    if (update.problems.length > 0) this.#notice(now, `malformed UPDATE: ${update.problems.join('; ')}`);
    for (const prefix of update.withdrawn) this.#world.locRib.replace(this.#in.withdraw(prefix), undefined);
    for (const { prefixes, attributes } of update.announced) {
      for (const prefix of prefixes) this.#learn(prefix, attributes, live.source);
    }
    if (update.endOfRib !== undefined) this.#endOfRib(live, update.endOfRib);
    if (this.#in.size <= PREFIXES_MAX) return undefined;
    const data = [...multiprotocolValue(update.announced[0]?.prefixes[0]?.address.family ?? 4)];
    data.splice(2, 1); // the NOTIFICATION has AFI and SAFI without the capability's reserved byte (RFC 4486 section 4)
    data.push(...[24, 16, 8, 0].map((shift) => (PREFIXES_MAX >>> shift) & 0xff));
    return bgpError('maximumPrefixes', `more than ${PREFIXES_MAX} prefixes`, Uint8Array.from(data));
  }

  down(now: Instant, cause: DownCause): void {
    const live = this.#live;
    this.#live = undefined;
    if (this.#progress.kind !== 'complete') this.#progress = { kind: 'down' };
    const restart = live?.negotiated.open.capabilities.gracefulRestart;
    if (live === undefined || cause === 'notification' || restart === undefined || restart.restartTimeSeconds === 0) {
      this.#forget(this.#in.clear());
      return;
    }
    const kept = restart.families.map((row) => row.family).filter((family) => live.families.includes(family));
    this.#forget(this.#in.retain(kept));
    if (this.#in.staleSize === 0) return;
    this.#staleUntil = after(now, Math.min(restart.restartTimeSeconds * 1000, STALE_MS_MAX));
    this.#notice(now, `${this.#in.staleSize} routes are kept while the peer restarts`);
  }

  #learn(prefix: Cidr, attributes: PathAttributes, source: RouteSource): void {
    const key = prefixKey(prefix);
    const previous = this.#in.get(key);
    const same = previous !== undefined && previous.attributes === attributes && previous.source === source;
    const route = same ? previous : { prefix, key, attributes, source };
    this.#in.put(route);
    this.#world.locRib.replace(previous, route);
  }

  #endOfRib(live: Live, family: Family): void {
    this.#sweep([family]);
    live.awaitedEnds = live.awaitedEnds.filter((awaited) => awaited !== family);
    if (live.awaitedEnds.length === 0) this.#progress = { kind: 'complete' };
  }

  #sweep(families: readonly Family[]): void {
    for (const family of families) this.#forget(this.#in.sweep(family));
  }

  /** Takes routes that have left the Adj-RIB-In out of the Loc-RIB. */
  #forget(routes: readonly Route[]): void {
    for (const route of routes) this.#world.locRib.replace(route, undefined);
    if (this.#in.staleSize === 0) this.#staleUntil = undefined;
  }

  #notice(now: Instant, message: string): void {
    if (now - this.#noticesSince >= MINUTE_MS) {
      this.#noticesSince = now;
      this.#notices = 0;
    }
    this.#notices += 1;
    if (this.#notices > NOTICES_PER_MINUTE) return;
    const last = this.#notices === NOTICES_PER_MINUTE ? ' (further notices of this minute are left out)' : '';
    this.#world.emit({ kind: 'notice', peer: this.#config.address, message: `${message}${last}` });
  }
}
