/**
 * Has a policy change take hold on running connections, and ends those of containers that are gone: whoever gets an address
 * next must not inherit what the one before was allowed.
 *
 *   packet filter changed ─► policyChanged ─► pass: conntrack table ─► judged anew ─► guard ─► entry removed
 *
 * One pass runs at a time; what changes meanwhile makes another one after it. A pass reads the table in slices and lets the
 * event loop go on between them; each slice is judged by the program as it is then. A removed connection's next
 * packet is a new one to the kernel, and meets the rules that are in force; so a cut that was wrong, because the host's
 * routes are not those of the packets, is healed by the next packet.
 *
 * What fails (conntrack not in the kernel, the table busy) is said once for each streak of failures and tried again.
 */
import { setImmediate as eventLoopTurn, setTimeout as pause } from 'node:timers/promises';
import { guardScript, guardTableScript } from '../../felix/dataplane/connection-guard.ts';
import {
  type ChangedDevices,
  type Cut,
  connectionsOf,
  connectionsToCut,
  type LocalAddresses,
} from '../../felix/dataplane/connections.ts';
import { evaluationOf } from '../../felix/dataplane/filter/evaluate.ts';
import type { FilterWorld } from '../../felix/dataplane/filter/match.ts';
import type { FilterProgram, Rule } from '../../felix/dataplane/filter/program.ts';
import type { Conntrack } from '../../kernel/conntrack.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { Nft } from '../../kernel/nft.ts';
import { type Backoff, backoffMs } from '../../lib/backoff.ts';
import { after, instant, monotonicNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import type { ConntrackEntry } from '../../net/conntrack-entry.ts';

/** How long the event loop is held at once; one datagram of entries may go beyond it by a millisecond. */
const SLICE_MS = 3;
/** Between passes, in lengths of the last: while changes come all the time, judging takes a quarter of a processor. */
const REST_FACTOR = 3;
/** A change waits this much longer at most. */
const REST_MAX_MS = 500;
const RETRY: Backoff = { firstMs: 1_000, maxMs: 60_000 };
/** Rules that one line of the log names. */
const RULES_IN_LOG_MAX = 10;

/** What is in force, at the time of asking, which is at each slice: so it must cost little to say. */
export interface CuttingGround {
  /** FelixConfiguration's cutConnections. */
  readonly enabled: boolean;
  readonly program: FilterProgram;
  readonly world: FilterWorld;
  readonly local: LocalAddresses;
}

export class ConnectionCutter {
  readonly #conntrack: Conntrack;
  readonly #guard: Pick<Nft, 'run'> | undefined;
  readonly #ground: () => CuttingGround;
  readonly #log: Log;
  readonly #random: Random;
  #changed: ChangedDevices = new Set();
  /** Addresses that no container has any more, in text. */
  #gone: ReadonlySet<string> = new Set();
  #running = false;
  #guarded = false;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #restUntil = instant(0);
  #work: Promise<void> = Promise.resolve();

  /** `guard`: nft in the same namespace; without it, a cut TCP connection may come back by its answers. The caller closes both. */
  constructor(options: {
    readonly conntrack: Conntrack;
    readonly guard: Pick<Nft, 'run'> | undefined;
    readonly ground: () => CuttingGround;
    readonly log: Log;
    readonly random: Random;
  }) {
    this.#conntrack = options.conntrack;
    this.#guard = options.guard;
    this.#ground = options.ground;
    this.#log = options.log;
    this.#random = options.random;
  }

  /** The kernel enforces new rules for these devices of containers. */
  policyChanged(devices: ChangedDevices): void {
    this.#changed = union(this.#changed, devices);
    this.#start();
  }

  /** No container of this host has these addresses any more. */
  addressesGone(addresses: readonly string[]): void {
    this.#gone = new Set([...this.#gone, ...addresses]);
    this.#start();
  }

  /** Resolves when everything that was told has been judged, or has failed and waits for another try. */
  settled(): Promise<void> {
    return this.#work;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
  }

  #start(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    clearTimeout(this.#retry);
    this.#work = this.#passes();
  }

  async #passes(): Promise<void> {
    while ((isAny(this.#changed) || this.#gone.size > 0) && !this.#closed) {
      await pause(Math.max(0, this.#restUntil - monotonicNow()));
      const changed = this.#changed;
      const gone = this.#gone;
      this.#changed = new Set();
      this.#gone = new Set();
      const began = monotonicNow();
      try {
        await this.#pass(changed, gone);
        this.#failures = 0;
        const took = monotonicNow() - began;
        this.#restUntil = after(began, took + Math.min(took * REST_FACTOR, REST_MAX_MS));
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        this.#changed = union(this.#changed, changed);
        this.#gone = new Set([...this.#gone, ...gone]);
        this.#failed(error);
        break;
      }
    }
    this.#running = false;
  }

  #failed(error: KernelError): void {
    this.#failures += 1;
    if (this.#failures === 1) this.#log.warn('connections not judged anew, trying again', { error: error.message });
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#start(), backoffMs(RETRY, this.#failures, this.#random));
  }

  async #pass(changed: ChangedDevices, gone: ReadonlySet<string>): Promise<void> {
    const tally = new Tally();
    const began = monotonicNow();
    const slices = this.#conntrack.entries();
    try {
      while (this.#slice(slices, changed, gone, tally)) await eventLoopTurn();
    } finally {
      slices.return();
    }
    const report = { ...tally.report(), milliseconds: Math.round(monotonicNow() - began) };
    if (tally.cut + tally.gone + tally.refused > 0)
      this.#log.info('connections cut, which nobody may have any more', report);
    else this.#log.debug('connections judged anew', report);
  }

  /** Reads and judges entries for a while; whether there is more. */
  #slice(
    slices: ReturnType<Conntrack['entries']>,
    changed: ChangedDevices,
    gone: ReadonlySet<string>,
    tally: Tally,
  ): boolean {
    if (this.#closed) return false;
    const { enabled, program, world, local } = this.#ground();
    if (!enabled && gone.size === 0) return false;
    const judge = { evaluate: evaluationOf(program, world), world, local };
    const until = monotonicNow() + SLICE_MS;
    do {
      const step = slices.next();
      if (step.done) return false;
      tally.judged += step.value.length;
      if (enabled) this.#carryOut(connectionsToCut(step.value, judge, changed), tally);
      for (const entry of connectionsOf(step.value, gone)) if (this.#removed(entry, tally)) tally.gone += 1;
    } while (monotonicNow() < until);
    return true;
  }

  #carryOut(cuts: readonly Cut[], tally: Tally): void {
    if (cuts.length === 0) return;
    this.#setGuard(cuts);
    for (const { entry, by } of cuts) if (this.#removed(entry, tally)) tally.count(by);
  }

  /** Whether the entry was there and is not any more. */
  #removed(entry: ConntrackEntry, tally: Tally): boolean {
    try {
      return this.#conntrack.remove(entry);
    } catch (error) {
      // EBUSY: a flow table carries on with it, and gives it back when it has been quiet.
      if (!(error instanceof KernelError) || error.code !== 'EBUSY') throw error;
      tally.refused += 1;
      return false;
    }
  }

  /** Before the entries go: the next packet may come at once. A cut without guard is better than none. */
  #setGuard(cuts: readonly Cut[]): void {
    const script = guardScript(cuts.map(({ entry }) => entry));
    if (this.#guard === undefined || script === '') return;
    try {
      this.#guard.run(this.#guarded ? script : guardTableScript() + script);
      this.#guarded = true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#guarded = false; // somebody may have taken the table away
      this.#log.warn('cut connections may come back by their answers', { error: error.message });
    }
  }
}

/** What a pass did. */
class Tally {
  judged = 0;
  cut = 0;
  refused = 0;
  /** Of containers that are no more. */
  gone = 0;
  readonly #byRule = new Map<string, number>();

  count(by: Rule): void {
    this.cut += 1;
    const name = ruleName(by);
    this.#byRule.set(name, (this.#byRule.get(name) ?? 0) + 1);
  }

  report() {
    const rules = [...this.#byRule].sort(([, a], [, b]) => b - a).slice(0, RULES_IN_LOG_MAX);
    return {
      judged: this.judged,
      cut: this.cut,
      gone: this.gone,
      refused: this.refused,
      rules: Object.fromEntries(rules),
    };
  }
}

function ruleName({ origin, provenance, comment }: Rule): string {
  const source = provenance?.source === undefined ? '' : ` (${provenance.source})`;
  if (origin === undefined) return `${comment}${source}`;
  const rule = origin.index === undefined ? '' : ` ${origin.direction ?? ''} rule ${origin.index}`;
  return `${origin.kind} ${origin.name}${rule}${source}`;
}

function isAny(devices: ChangedDevices): boolean {
  return devices === 'all' || devices.size > 0;
}

function union(a: ChangedDevices, b: ChangedDevices): ChangedDevices {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b]);
}
