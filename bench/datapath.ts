/**
 * What does the network cost the packets? TCP throughput, packets of 64 bytes a second and round trips between containers on two
 * hosts, over our ways (plain, with policies, tunnels) and over those of others, beside the floor: the same path by hand, no rules.
 * Prints tables and writes them to bench/datapath.txt.
 *
 *   npm run bench:datapath -- [rounds] [seconds] [variant …]
 *
 * Each round goes through all variants (datapath-variants.ts), so that what disturbs the machine disturbs all alike; it
 * begins each time with the next one. Medians are given, and the least and the most. Each is measured twice a round: with client
 * and server pinned to a processor each, and as the kernel likes. All "hosts" share the machine's processors, so what is
 * seen is the cost of the way in the kernel, not a wire's speed. Needs iperf3 and sockperf. All is removed afterwards.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { inNamespace, namespacePath } from '../src/kernel/network-namespace.ts';
import { type Column, renderTable } from '../src/lib/table.ts';
import { FLOOR, GOAL, type Path, removeVariants, run, VARIANTS, type Variant } from './datapath-variants.ts';

const ROUNDS = 7;
const SECONDS = 2;
/** Ports that the way through NAT lets in. */
const IPERF_PORT = 5201;
const SOCKPERF_PORT = 5111;
const MESSAGE_BYTES = 64;
const LISTEN_MS = 30_000;
const LOOK_AGAIN_MS = 50;
const GOAL_RATIO = 0.95;
const MUSLIN = join(import.meta.dirname, '..', 'build', 'muslin', 'bin', 'muslin');

type Pinning = 'pinned' | 'unpinned';
type Measure = 'tcp' | 'packets' | 'roundTrip';

const PINNINGS: readonly Pinning[] = ['pinned', 'unpinned'];
/** The processors of client and server. */
const PROCESSORS = { client: '0', server: '1' } as const;
const MEASURES: readonly { readonly measure: Measure; readonly title: string; readonly more: 'better' | 'worse' }[] = [
  { measure: 'tcp', title: 'TCP GBIT/S', more: 'better' },
  { measure: 'packets', title: 'UDP KPACKETS/S', more: 'better' },
  { measure: 'roundTrip', title: 'ROUND TRIP µS', more: 'worse' },
];

interface Running {
  readonly variant: Variant;
  readonly path: Path;
  readonly results: Record<Pinning, Record<Measure, number[]>>;
}

const servers: ChildProcess[] = [];

/** A program in a namespace, on a processor where it is pinned. */
function words(pinning: Pinning, end: 'client' | 'server', command: readonly string[]): readonly string[] {
  return pinning === 'unpinned' ? command : ['taskset', '-c', PROCESSORS[end], ...command];
}

/** A server each for pinned and unpinned clients, at ports one apart. */
async function startServers({ server }: Path): Promise<void> {
  for (const [index, pinning] of PINNINGS.entries()) {
    const commands = [
      ['iperf3', '--server', '--port', String(IPERF_PORT + index)],
      ['sockperf', 'server', '--tcp', '--port', String(SOCKPERF_PORT + index)],
    ];
    for (const command of commands) {
      const [program = '', ...rest] = words(pinning, 'server', command);
      servers.push(inNamespace(namespacePath(server), () => spawn(program, rest, { stdio: 'ignore' })));
    }
  }
  const ports = PINNINGS.flatMap((_, index) => [IPERF_PORT + index, SOCKPERF_PORT + index]);
  const deadline = performance.now() + LISTEN_MS;
  for (;;) {
    const listening = run(server, 'ss', '-Hlnt');
    if (ports.every((port) => listening.includes(`:${port} `))) return;
    if (performance.now() > deadline)
      throw new Error(`${server}: iperf3 and sockperf do not listen; are they installed?`);
    await pause(LOOK_AGAIN_MS);
  }
}

function client(path: Path, pinning: Pinning, ...command: readonly string[]): string {
  const [program = '', ...rest] = words(pinning, 'client', command);
  return run(path.client, program, ...rest);
}

/** One number: Gbit/s, thousands of packets a second, or microseconds. */
function measured(path: Path, pinning: Pinning, measure: Measure, seconds: number): number {
  const offset = PINNINGS.indexOf(pinning);
  const iperf = (...more: string[]) => {
    const common = [
      '--client',
      path.address,
      '--port',
      String(IPERF_PORT + offset),
      '--time',
      String(seconds),
      '--json',
    ];
    return JSON.parse(client(path, pinning, 'iperf3', ...common, ...more)) as {
      readonly end: {
        readonly sum_received: { readonly bits_per_second: number };
        readonly sum: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
      };
    };
  };
  switch (measure) {
    case 'tcp':
      return iperf().end.sum_received.bits_per_second / 1e9;
    case 'packets': {
      const {
        packets,
        lost_packets,
        seconds: took,
      } = iperf('--udp', '--length', String(MESSAGE_BYTES), '--bitrate', '0').end.sum;
      return (packets - lost_packets) / took / 1e3;
    }
    case 'roundTrip': {
      const port = String(SOCKPERF_PORT + offset);
      const size = ['--msg-size', String(MESSAGE_BYTES), '--time', String(seconds)];
      const text = client(
        path,
        pinning,
        'sockperf',
        'ping-pong',
        '--tcp',
        '--ip',
        path.address,
        '--port',
        port,
        ...size,
      );
      const half = /percentile 50\.000\s*=\s*([\d.]+)/.exec(text)?.[1];
      if (half === undefined) throw new Error(`sockperf said nothing of its median: ${text}`);
      return 2 * Number(half); // it prints half of the way there and back
    }
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

function digits(value: number): string {
  return value < 10 ? value.toFixed(2) : value.toFixed(value < 100 ? 1 : 0);
}

/** As good as the floor is 1, better is more. */
function ratio(one: Running, floor: Running | undefined, pinning: Pinning, measure: Measure): number {
  const [own, reference] = [one, floor].map((each) => median(each?.results[pinning][measure] ?? []));
  const more = MEASURES.find((each) => each.measure === measure)?.more;
  return more === 'better' ? (own ?? 0) / (reference ?? 0) : (reference ?? 0) / (own ?? 0);
}

function table(all: readonly Running[], pinning: Pinning): string {
  const floor = all.find(({ variant }) => variant.key === FLOOR);
  const columns = MEASURES.flatMap(({ measure, title }): Column<Running>[] => [
    {
      title,
      cell: ({ results }) => {
        const values = results[pinning][measure];
        return `${digits(median(values))} (${digits(Math.min(...values))}–${digits(Math.max(...values))})`;
      },
    },
    { title: 'RATIO', cell: (row) => ratio(row, floor, pinning, measure).toFixed(2) },
  ]);
  return renderTable([{ title: 'WAY', cell: ({ variant }) => variant.title }, ...columns], all);
}

function goalText(all: readonly Running[]): string {
  const [floor, ours] = [FLOOR, GOAL].map((key) => all.find(({ variant }) => variant.key === key));
  if (floor === undefined || ours === undefined) return '';
  const lines = PINNINGS.map((pinning) => {
    const ratios = MEASURES.map(({ measure, title }) => `${title} ${ratio(ours, floor, pinning, measure).toFixed(2)}`);
    return `  ${pinning.padEnd(9)} ${ratios.join(', ')}`;
  });
  return `${ours.variant.title}, to the floor (goal ${GOAL_RATIO}):\n${lines.join('\n')}\n`;
}

function report(all: readonly Running[], missing: readonly string[], rounds: number, seconds: number): string {
  const [cpu] = cpus();
  return [
    `Between containers on two hosts: ${rounds} interleaved rounds of ${seconds} s; median (least–most); ratios are to the floor, below 1 is worse.\n`,
    `${cpus().length} × ${cpu?.model.trim()}, Linux ${release()}, load average ${loadavg()[0]?.toFixed(1)}\n\n`,
    'Client and server pinned to a processor each:\n\n',
    `${table(all, 'pinned')}\nUnpinned:\n\n${table(all, 'unpinned')}\n`,
    goalText(all),
    ...missing.map((line) => `Not measured: ${line}\n`),
  ].join('');
}

function removeAll(folder: string): void {
  for (const server of servers) server.kill('SIGKILL');
  removeVariants(MUSLIN);
  rmSync(folder, { recursive: true, force: true });
}

function numbersOf(): Record<Pinning, Record<Measure, number[]>> {
  const none = () => ({ tcp: [], packets: [], roundTrip: [] });
  return { pinned: none(), unpinned: none() };
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('bench/datapath.ts makes network namespaces: run it as root');
  const [rounds = ROUNDS, seconds = SECONDS] = process.argv.slice(2, 4).map(Number);
  const chosen = process.argv.slice(4);
  for (const program of ['iperf3', 'sockperf']) {
    if (spawnSync('which', [program]).status !== 0)
      throw new Error(`there is no ${program}: scripts/setup --test installs it`);
  }
  removeVariants(MUSLIN); // what a killed run has left behind
  const folder = mkdtempSync(join(tmpdir(), 'muslin-path-'));
  process.on('exit', () => removeAll(folder));
  const all: Running[] = [];
  const missing: string[] = [];
  for (const variant of VARIANTS.filter(({ key }) => chosen.length === 0 || chosen.includes(key))) {
    const path = variant.build({ key: variant.key, muslin: MUSLIN, folder });
    if (typeof path === 'string') missing.push(`${variant.title}: ${path}`);
    else {
      await startServers(path);
      all.push({ variant, path, results: numbersOf() });
    }
  }
  for (const line of missing) process.stderr.write(`not measured: ${line}\n`);
  for (let round = 0; round < rounds; round++) {
    const first = round % Math.max(all.length, 1);
    for (const { variant, path, results } of [...all.slice(first), ...all.slice(0, first)]) {
      for (const pinning of PINNINGS) {
        for (const { measure } of MEASURES) {
          const value = measured(path, pinning, measure, seconds);
          results[pinning][measure].push(value);
          process.stderr.write(`${round + 1} ${variant.key} ${pinning} ${measure} ${digits(value)}\n`);
        }
      }
    }
  }
  const text = report(all, missing, rounds, seconds);
  process.stdout.write(text);
  writeFileSync(join(import.meta.dirname, 'datapath.txt'), text);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
await main();
