/**
 * Plays all clients of one BGP speaker, in one process, and measures: node bench/bgp-load.ts '{"workload":…}'
 *
 * The clients' addresses must be local (an AnyIP route in the namespace that this runs in). Phases: all sessions come up;
 * quiet; everybody announces, until every client holds every prefix of every other; late clients; single prefixes; all is
 * withdrawn. Each received route is checked. Prints one line of JSON, a `LoadResult`. Run by bench/bgp.ts.
 */
import { readFileSync } from 'node:fs';
import { Check, type Faults } from './bgp-load-check.ts';
import { Client } from './bgp-load-client.ts';
import { announcements, endOfRib, keepalive, totalPrefixes, type Workload, withdrawals } from './bgp-load-workload.ts';

export interface LoadOptions {
  readonly workload: Workload;
  readonly remote: { readonly address: string; readonly port: number };
  readonly asn: number;
  /** Address of client 0 as a number. */
  readonly firstAddress: number;
  readonly clusterId: number;
  /** The speaker's process, for its processor time and memory. */
  readonly pid: number;
  readonly warmSeconds: number;
  readonly limitSeconds: number;
}

export interface LoadResult {
  /** Every client got every route, each was right, and no session was lost. */
  readonly isValid: boolean;
  readonly trouble: string;
  readonly faults: Faults;
  readonly receptions: number;
  readonly echoes: number;
  readonly duplicates: number;
  readonly establishedSeconds: number;
  readonly allSeconds: number;
  readonly processorSeconds: number;
  readonly memoryBeforeMib: number;
  readonly memoryPeakMib: number;
  readonly lateSeconds: number;
  readonly pingMs: readonly number[];
  readonly withdrawSeconds: number;
}

/** FRR's datacenter profile agrees on a hold time of 9 s. */
const KEEPALIVE_MS = 2_500;
/** Without an UPDATE for so long, a daemon has done what it had collected. */
const SILENCE_SECONDS = 1;
/** The kernel counts processor time in hundredths of a second (USER_HZ). */
const TICKS_PER_SECOND = 100;
const KIB_PER_MIB = 1024;

class Load {
  readonly #options: LoadOptions;
  readonly #check: Check;
  readonly #clients: Client[] = [];
  readonly #ready: Buffer[] = [];
  #established = 0;
  #trouble = '';
  #wake: (() => void) | undefined;

  constructor(options: LoadOptions) {
    const { workload } = options;
    this.#options = options;
    this.#check = new Check({ ...options, clients: workload.clients + workload.late });
    for (let index = 0; index < workload.clients + workload.late; index++) this.#clients.push(this.#client(index));
    for (const client of this.#senders()) {
      const from = client.index * workload.prefixes;
      const routes = announcements(workload, client, from, from + workload.prefixes);
      this.#ready.push(Buffer.concat([routes, endOfRib(workload.family)]));
    }
  }

  async run(): Promise<LoadResult> {
    const { workload, pid, warmSeconds } = this.#options;
    const { clients, senders, prefixes, cold } = workload;
    const timer = setInterval(() => this.#keepAlive(), KEEPALIVE_MS);
    const everything = senders * prefixes * clients - senders * prefixes;
    const memoryBeforeMib = memory(pid, 'VmRSS');
    const first = performance.now();
    for (const client of this.#clients.slice(0, clients)) client.connect();
    await this.#until(() => this.#established === clients);
    const establishedSeconds = since(first);
    if (!cold) await this.#settle(warmSeconds);
    const processorBefore = cold ? 0 : processorSeconds(pid);
    const start = cold ? first : performance.now();
    if (!cold) for (const client of this.#senders()) client.write(this.#ready[client.index] ?? Buffer.alloc(0));
    await this.#until(() => this.#check.held === everything);
    const allSeconds = since(start);
    const processor = processorSeconds(pid) - processorBefore;
    const memoryPeakMib = memory(pid, 'VmHWM');
    const { receptions, echoes, duplicates } = this.#check;
    const lateSeconds = await this.#late(everything);
    const pingMs = await this.#pings();
    const withdrawSeconds = await this.#withdraw();
    clearInterval(timer);
    for (const client of this.#clients) client.end();
    const isValid = this.#trouble === '' && this.#check.isRight;
    const { faults } = this.#check;
    const counts = { faults, receptions, echoes, duplicates };
    const times = { establishedSeconds, allSeconds, lateSeconds, pingMs, withdrawSeconds };
    return {
      isValid,
      trouble: this.#trouble,
      ...counts,
      ...times,
      processorSeconds: processor,
      memoryBeforeMib,
      memoryPeakMib,
    };
  }

  #senders(): Client[] {
    return this.#clients.slice(0, this.#options.workload.senders);
  }

  #client(index: number): Client {
    const { asn, firstAddress, remote, workload } = this.#options;
    return new Client({
      index,
      address: firstAddress + index,
      asn,
      remote,
      family: workload.family,
      onEstablished: (client) => {
        this.#established++;
        const announcement = this.#ready[index];
        if (workload.cold && announcement !== undefined) client.write(announcement);
        this.#wake?.();
      },
      onUpdate: (client, bytes, start, end) => this.#check.update(client.index, bytes, start, end),
      onRead: () => this.#wake?.(),
      onLost: (client, why) => {
        this.#trouble ||= `client ${client.index} lost its session: ${why}`;
        this.#wake?.();
      },
    });
  }

  /** Waits until `isSo`, which is asked after each reading; not at all once something has failed. */
  async #until(isSo: () => boolean): Promise<void> {
    const limit = setTimeout(() => {
      const { held } = this.#check;
      this.#trouble ||= `not within ${this.#options.limitSeconds} s: ${this.#established} sessions, ${held} prefixes held`;
      this.#wake?.();
    }, this.#options.limitSeconds * 1000);
    await new Promise<void>((resolve) => {
      this.#wake = () => {
        if (this.#trouble === '' && !isSo()) return;
        this.#wake = undefined;
        resolve();
      };
      this.#wake();
    });
    clearTimeout(limit);
  }

  /** Nobody has anything yet, and the speaker is told so; then it is left alone until it has nothing more to say. */
  async #settle(seconds: number): Promise<void> {
    for (const client of this.#clients) if (client.isEstablished) client.write(endOfRib(this.#options.workload.family));
    await this.#quiet(seconds);
    for (let before = Number.NaN; before !== this.#check.updates; ) {
      before = this.#check.updates;
      await this.#quiet(SILENCE_SECONDS);
    }
  }

  async #quiet(seconds: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }

  async #late(heldBefore: number): Promise<number> {
    const { workload } = this.#options;
    const start = performance.now();
    for (const client of this.#clients.slice(workload.clients)) client.connect();
    const wanted = heldBefore + workload.late * totalPrefixes(workload);
    await this.#until(() => this.#check.held === wanted);
    return since(start);
  }

  /** Milliseconds until all other clients have a prefix, for each single prefix. */
  async #pings(): Promise<number[]> {
    const { workload } = this.#options;
    const others = this.#clients.length - 1;
    const times: number[] = [];
    for (let ping = 0; ping < workload.pings; ping++) {
      const sender = this.#clients[ping % workload.senders];
      if (sender === undefined) break;
      const prefix = totalPrefixes(workload) + ping;
      const bytes = announcements(workload, sender, prefix, prefix + 1);
      const wanted = this.#check.held + others;
      const start = performance.now();
      sender.write(bytes);
      await this.#until(() => this.#check.held === wanted);
      times.push(performance.now() - start);
      await this.#quiet(0.02);
    }
    return times;
  }

  async #withdraw(): Promise<number> {
    const { workload } = this.#options;
    const total = totalPrefixes(workload);
    const others = this.#clients.length - 1;
    for (let ping = 0; ping < workload.pings; ping++) {
      this.#clients[ping % workload.senders]?.write(withdrawals(workload, total + ping, total + ping + 1));
    }
    const withoutPings = this.#check.held - workload.pings * others;
    await this.#until(() => this.#check.held === withoutPings);
    const bytes = this.#senders().map(({ index }) =>
      withdrawals(workload, index * workload.prefixes, (index + 1) * workload.prefixes),
    );
    const start = performance.now();
    for (const client of this.#senders()) client.write(bytes[client.index] ?? Buffer.alloc(0));
    await this.#until(() => this.#check.held === 0);
    return since(start);
  }

  #keepAlive(): void {
    const bytes = keepalive();
    for (const client of this.#clients) if (client.isEstablished) client.write(bytes);
  }
}

function since(start: number): number {
  return (performance.now() - start) / 1000;
}

/** User and system time of a process. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function memory(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1]) / KIB_PER_MIB;
}

if (process.argv[1] === import.meta.filename) {
  // Written by bench/bgp.ts, whose type this is.
  const result = await new Load(JSON.parse(process.argv[2] ?? '') as LoadOptions).run();
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
