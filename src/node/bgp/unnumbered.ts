/**
 * Peers that are named by a device only: who is at the other end?
 *
 * On each device that is asked for we advertise ourselves as a router with a lifetime of 0 (nobody takes us for a default
 * gateway), at once and then again and again, and listen to who else does. The link-local address of the neighbour is told as
 * soon as it is heard. This is what FRR's `neighbor eth0 interface` does, and it finds us in the same way.
 *
 * A device has one neighbour. Silence does not take it away, since BGP itself notices sooner when a peer is gone, and an
 * advertisement may be half an hour apart; another address takes its place only when it has been silent for a while, so that
 * two neighbours on one segment do not take turns. A device that is gone takes its neighbour with it. Devices need not
 * exist yet. RFC 4861; called by the wiring of BGP.
 */
import { KernelError } from '../../kernel/kernel.ts';
import type { RouterMessageKind } from '../../kernel/router-advertisement.ts';
import type { RouterSocket } from '../../kernel/router-socket.ts';
import { openRouterSocket } from '../../kernel/router-socket.ts';
import { interfaceIndex } from '../../kernel/system-calls.ts';
import type { Instant } from '../../lib/clock.ts';
import { monotonicNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, sameIp } from '../../net/ip.ts';

/** How often to look whether devices have come or gone. */
const LOOK_MS = 1_000;
/** What FRR uses for such peers. */
const ADVERTISE_MS = 10_000;
/** Answers to neighbours who do not know us yet are at least so far apart; RFC 4861 asks for 3 s towards many hosts. */
const ANSWER_MS = 500;
/** Three advertisements missed. */
const SILENT_MS = 3 * ADVERTISE_MS;

export interface UnnumberedOptions {
  readonly log: Log;
  /** The address of the neighbour on the device; undefined when it has none any more. Said when it changes. */
  readonly onNeighbour: (device: string, address: Ip | undefined) => void;
}

export interface Unnumbered {
  /** All devices on which neighbours are to be found from now on; what is known of others is forgotten silently. */
  watch(devices: readonly string[]): void;
  close(): void;
}

export interface Neighbour {
  readonly address: Ip;
  readonly heardAt: Instant;
}

interface Watched {
  socket: RouterSocket | undefined;
  neighbour: Neighbour | undefined;
  advertisedAt: Instant | undefined;
  /** An answer that is due as soon as the last advertisement is long enough ago. */
  answer: NodeJS.Timeout | undefined;
  /** The last failure that was logged, so that it is logged once. */
  problem: string;
}

/** Begins with no devices. */
export function findNeighbours(options: UnnumberedOptions): Unnumbered {
  return new NeighbourSearch(options);
}

/** Who is the neighbour, now that `heard` has been heard of. */
export function chooseNeighbour(known: Neighbour | undefined, heard: Neighbour): Neighbour {
  if (known === undefined || sameIp(known.address, heard.address)) return heard;
  return heard.heardAt - known.heardAt > SILENT_MS ? heard : known;
}

/** In how many milliseconds an answer may be sent; one that is put off must not be lost, or it would come with the next round. */
export function answerDelayMs(now: Instant, advertisedAt: Instant | undefined): number {
  return advertisedAt === undefined ? 0 : Math.max(advertisedAt + ANSWER_MS - now, 0);
}

class NeighbourSearch implements Unnumbered {
  readonly #options: UnnumberedOptions;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: UnnumberedOptions) {
    this.#options = options;
  }

  watch(devices: readonly string[]): void {
    for (const [device, watched] of this.#watched) {
      if (devices.includes(device)) continue;
      stop(watched);
      this.#watched.delete(device);
    }
    for (const device of devices) {
      if (this.#watched.has(device)) continue;
      this.#watched.set(device, {
        socket: undefined,
        neighbour: undefined,
        advertisedAt: undefined,
        answer: undefined,
        problem: '',
      });
    }
    this.#look();
    if (this.#watched.size === 0) this.close();
    else this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const watched of this.#watched.values()) stop(watched);
    this.#watched.clear();
  }

  /** Opens what is missing, closes what is gone, and advertises where it is time. */
  #look(): void {
    for (const [device, watched] of this.#watched) {
      try {
        if (watched.socket !== undefined && watched.socket.index !== interfaceIndex(device))
          this.#gone(device, watched);
        watched.socket ??= this.#open(device, watched);
        this.#advertise(watched, ADVERTISE_MS);
        watched.problem = '';
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        // A device that is new has no address for a second or two; then it is tried again.
        if (watched.problem === error.code) continue;
        watched.problem = error.code;
        this.#options.log.info('no router advertisements on a device for now', { device, error: error.message });
      }
    }
  }

  #open(device: string, watched: Watched): RouterSocket {
    const socket = openRouterSocket(device, (kind, from) => this.#heard(device, watched, kind, from));
    watched.advertisedAt = undefined;
    return socket;
  }

  #gone(device: string, watched: Watched): void {
    stop(watched);
    watched.socket = undefined;
    if (watched.neighbour === undefined) return;
    watched.neighbour = undefined;
    this.#options.onNeighbour(device, undefined);
  }

  /** Says that we are here, unless that was said less than `pauseMs` ago; the first time asks for the same. */
  #advertise(watched: Watched, pauseMs: number): void {
    const now = monotonicNow();
    const { socket, advertisedAt } = watched;
    if (socket === undefined || (advertisedAt !== undefined && now - advertisedAt < pauseMs)) return;
    socket.send('advertisement');
    if (advertisedAt === undefined) socket.send('solicitation');
    watched.advertisedAt = now;
  }

  #heard(device: string, watched: Watched, kind: RouterMessageKind, from: Ip): void {
    const known = watched.neighbour;
    if (kind === 'advertisement')
      watched.neighbour = chooseNeighbour(known, { address: from, heardAt: monotonicNow() });
    const isNew = !sameIp(known?.address, watched.neighbour?.address);
    // Who asks, and who has only come, does not know us yet.
    if (kind === 'solicitation' || isNew) this.#answer(device, watched);
    if (!isNew) return;
    this.#options.log.info('found the neighbour on a device', { device, neighbour: formatIp(from) });
    this.#options.onNeighbour(device, watched.neighbour?.address);
  }

  #answer(device: string, watched: Watched): void {
    watched.answer ??= setTimeout(
      () => {
        watched.answer = undefined;
        this.#sendAnswer(device, watched);
      },
      answerDelayMs(monotonicNow(), watched.advertisedAt),
    );
  }

  #sendAnswer(device: string, watched: Watched): void {
    try {
      this.#advertise(watched, 0);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#options.log.debug('a router advertisement could not be sent', { device, error: error.message });
    }
  }
}

function stop(watched: Watched): void {
  watched.socket?.close();
  clearTimeout(watched.answer);
  watched.answer = undefined;
}
