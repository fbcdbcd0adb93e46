/**
 * Route reflection compared: how long muslin, BIRD, FRR and GoBGP take to pass routes on to many clients, and with how much
 * memory. Prints a table with ratios to the best rival and writes it to bench/bgp.txt.
 *
 *   node bench/bgp.ts [--runs N] [--cases a100k,c500x20] [--daemons muslin,FRR]
 *
 * Daemon and load generator (bench/bgp-load.ts) have a namespace each, joined by a veth pair; the clients' addresses are
 * all local to the generator's (AnyIP). Runs are interleaved, daemon by daemon, so that what disturbs the machine disturbs all
 * alike; what counts is the median. A run in which a single route was wrong or missing does not count.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { namespaceNames } from '../src/kernel/network-namespace.ts';
import { type Column, renderTable } from '../src/lib/table.ts';
import type { LoadOptions, LoadResult } from './bgp-load.ts';
import { addressText } from './bgp-load-client.ts';
import type { Workload } from './bgp-load-workload.ts';
import { REFLECTORS, type Reflector } from './bgp-reflectors.ts';

interface Case {
  readonly name: string;
  readonly workload: Workload;
  /** Daemons collect changes for a while after sessions have come up: the more of them, the longer. */
  readonly warmSeconds: number;
  readonly limitSeconds: number;
  /** Daemons that take so long that nobody waits for them. */
  readonly without: readonly string[];
}

const usual = { family: 4, perSet: 100, late: 1, pings: 40, cold: false } as const;
const short = { warmSeconds: 2, limitSeconds: 240, without: [] };
const many = { warmSeconds: 13, limitSeconds: 900, without: ['GoBGP'] };

const CASES: readonly Case[] = [
  { name: 'a100k', workload: { ...usual, clients: 2, senders: 1, prefixes: 100_000 }, ...short },
  { name: 'a500k', workload: { ...usual, clients: 2, senders: 1, prefixes: 500_000 }, ...short, without: ['GoBGP'] },
  { name: 'b10x10k', workload: { ...usual, clients: 10, senders: 10, prefixes: 10_000 }, ...short },
  { name: 'b10x10k-v6', workload: { ...usual, family: 6, clients: 10, senders: 10, prefixes: 10_000 }, ...short },
  { name: 'c500x20', workload: { ...usual, perSet: 20, clients: 500, senders: 500, prefixes: 20 }, ...many },
  {
    name: 'c500x20-cold',
    workload: { ...usual, perSet: 20, clients: 500, senders: 500, prefixes: 20, cold: true },
    ...many,
  },
  {
    name: 'e2000x10',
    workload: { ...usual, perSet: 10, clients: 2000, senders: 2000, prefixes: 10 },
    ...many,
    without: ['GoBGP', 'BIRD'],
  },
];

const RUNS_DEFAULT = 5;
const DAEMON = 'muslin-bench-bgp-daemon';
const CLIENTS = 'muslin-bench-bgp-clients';
const ADDRESS = '10.254.255.254';
const ADDRESS_NUMBER = ((10 << 24) | (254 << 16) | 0xfffe) >>> 0;
const FIRST_CLIENT = ((10 << 24) | (254 << 16) | 1) >>> 0;
const PORT = 1790;
const ASN = 65_000;
/** Known to the daemon, but never there. */
const SPARE_CLIENTS = 20;
const START_LIMIT_MS = 30_000;
const LOOK_AGAIN_MS = 20;

const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8', stdio: 'pipe' });
const running = new Set<ChildProcess>();

function addNamespaces(): void {
  for (const name of [DAEMON, CLIENTS]) ip('netns', 'add', name);
  ip('-n', DAEMON, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', CLIENTS);
  for (const [name, address] of [
    [DAEMON, ADDRESS],
    [CLIENTS, '10.254.255.253'],
  ] as const) {
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'addr', 'add', `${address}/16`, 'dev', 'eth0');
    ip('-n', name, 'link', 'set', 'eth0', 'up');
    execFileSync('ip', [
      'netns',
      'exec',
      name,
      'sysctl',
      '-qw',
      'net.core.somaxconn=8192',
      'net.ipv4.tcp_max_syn_backlog=8192',
    ]);
  }
  ip('-n', DAEMON, '-6', 'addr', 'add', 'fd00:254::ffff:fffe/32', 'dev', 'eth0', 'nodad');
  ip('-n', CLIENTS, 'route', 'add', 'local', '10.254.0.0/17', 'dev', 'lo');
  // One entry in the neighbour table, whose size is limited, instead of one for each client.
  ip('-n', DAEMON, 'route', 'add', '10.254.0.0/17', 'via', '10.254.255.253', 'dev', 'eth0');
}

function removeNamespaces(): void {
  for (const child of running) child.kill('SIGKILL');
  for (const name of namespaceNames()) if (name === DAEMON || name === CLIENTS) spawnSync('ip', ['netns', 'del', name]);
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${START_LIMIT_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

function start(command: readonly string[], directory: string): ChildProcess {
  // `ip netns exec` becomes the program, so that the process number is the program's own.
  const child = spawn('ip', ['netns', 'exec', DAEMON, ...command], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

function isListening(): boolean {
  return ip('netns', 'exec', DAEMON, 'ss', '-Hltn', `sport = :${PORT}`).trim() !== '';
}

async function measure(reflector: Reflector, { workload, ...timing }: Case): Promise<LoadResult> {
  const directory = mkdtempSync(join(tmpdir(), 'muslin-bench-bgp-'));
  chmodSync(directory, 0o777); // FRR gives up root before it makes its sockets
  const started: ChildProcess[] = [];
  try {
    const clients = Array.from({ length: workload.clients + workload.late + SPARE_CLIENTS }, (_, index) =>
      addressText(FIRST_CLIENT + index),
    );
    const setup = { directory, address: ADDRESS, port: PORT, asn: ASN, clients, family: workload.family };
    for (const { command, ready } of reflector.commands(setup)) {
      started.push(start(command, directory));
      if (ready !== undefined) await until(() => existsSync(ready), `${reflector.name} makes ${ready}`);
    }
    await until(isListening, `${reflector.name} listens`);
    const options: LoadOptions = {
      workload,
      remote: { address: ADDRESS, port: PORT },
      asn: ASN,
      firstAddress: FIRST_CLIENT,
      clusterId: ADDRESS_NUMBER,
      pid: started.at(-1)?.pid ?? 0,
      warmSeconds: timing.warmSeconds,
      limitSeconds: timing.limitSeconds,
    };
    return await runLoad(options);
  } finally {
    for (const child of started.toReversed()) {
      if (!running.has(child)) continue;
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const words = ['netns', 'exec', CLIENTS, process.execPath, join(import.meta.dirname, 'bgp-load.ts')];
  const child = spawn('ip', [...words, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  await once(child, 'close');
  running.delete(child);
  return JSON.parse(text) as LoadResult; // what bench/bgp-load.ts prints
}

interface Row {
  readonly case: string;
  readonly daemon: string;
  readonly results: readonly LoadResult[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function report(rows: readonly Row[]): string {
  const valid = ({ results }: Row): readonly LoadResult[] => results.filter(({ isValid }) => isValid);
  const middle = (row: Row, of: (result: LoadResult) => number): number => median(valid(row).map(of));
  const bestRival = (row: Row, of: (result: LoadResult) => number): number =>
    Math.min(
      ...rows
        .filter((other) => other.case === row.case && other.daemon !== 'muslin')
        .map((other) => middle(other, of))
        .filter((value) => !Number.isNaN(value)),
    );
  const number = (value: number, digits: number): string => (Number.isNaN(value) ? '-' : value.toFixed(digits));
  const ratio = (row: Row, of: (result: LoadResult) => number): string => {
    const rival = bestRival(row, of);
    return Number.isFinite(rival) ? number(middle(row, of) / rival, 2) : '-';
  };
  const all = (result: LoadResult): number => result.allSeconds;
  const peak = (result: LoadResult): number => result.memoryPeakMib;
  const ping = (result: LoadResult): number => median(result.pingMs);
  const columns: Column<Row>[] = [
    { title: 'CASE', cell: (row) => row.case },
    { title: 'BY', cell: ({ daemon }) => daemon },
    { title: 'VALID', cell: (row) => `${valid(row).length}/${row.results.length}` },
    {
      title: 'UP S',
      cell: (row) =>
        number(
          middle(row, (result) => result.establishedSeconds),
          2,
        ),
    },
    { title: 'ALL S', cell: (row) => number(middle(row, all), 3) },
    { title: 'RATIO', cell: (row) => ratio(row, all) },
    {
      title: 'CPU S',
      cell: (row) =>
        number(
          middle(row, (result) => result.processorSeconds),
          2,
        ),
    },
    { title: 'PEAK MIB', cell: (row) => number(middle(row, peak), 0) },
    { title: 'RATIO', cell: (row) => ratio(row, peak) },
    {
      title: 'LATE S',
      cell: (row) =>
        number(
          middle(row, (result) => result.lateSeconds),
          3,
        ),
    },
    { title: 'ONE MS', cell: (row) => number(middle(row, ping), 2) },
    {
      title: 'GONE S',
      cell: (row) =>
        number(
          middle(row, (result) => result.withdrawSeconds),
          3,
        ),
    },
  ];
  const [cpu] = cpus();
  return `Route reflection, medians of ${rows[0]?.results.length} interleaved runs; RATIO is to the best rival, below 1 is better.
UP: all sessions are up; ALL: from the first announcement until every client has every route; CPU: of the daemon meanwhile;
LATE: a client that comes afterwards; ONE: a single new prefix at all clients; GONE: everything withdrawn.
${cpus().length} × ${cpu?.model.trim()}, Linux ${release()}, Node.js ${process.versions.node}, load average ${loadavg()[0]?.toFixed(1)}

${renderTable(columns, rows)}`;
}

function chosen<Item extends { readonly name: string }>(
  items: readonly Item[],
  list: string | undefined,
): readonly Item[] {
  if (list === undefined) return items;
  return list.split(',').map((name) => {
    const item = items.find((each) => each.name.toLowerCase() === name.toLowerCase());
    if (item === undefined) throw new Error(`there is no "${name}": ${items.map((each) => each.name).join(', ')}`);
    return item;
  });
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('bench/bgp.ts makes network namespaces: run it as root');
  const strings = { runs: { type: 'string' }, cases: { type: 'string' }, daemons: { type: 'string' } } as const;
  const { values } = parseArgs({ options: strings });
  const runs = Number(values.runs ?? RUNS_DEFAULT);
  const cases = chosen(CASES, values.cases);
  const reflectors = chosen(REFLECTORS, values.daemons).filter(({ program }) => existsSync(program));
  process.on('exit', removeNamespaces);
  removeNamespaces(); // what a killed run has left behind
  addNamespaces();
  const rows: Row[] = [];
  for (const each of cases) {
    const results = new Map<string, LoadResult[]>();
    for (let run = 0; run < runs; run++) {
      for (const reflector of reflectors.filter(({ name }) => !each.without.includes(name))) {
        const result = await measure(reflector, each);
        results.set(reflector.name, [...(results.get(reflector.name) ?? []), result]);
        const outcome = result.isValid ? 'valid' : `NOT VALID ${result.trouble} ${JSON.stringify(result.faults)}`;
        const { allSeconds, establishedSeconds } = result;
        console.error(
          `${each.name} ${reflector.name}: up ${establishedSeconds.toFixed(2)} s, all ${allSeconds.toFixed(3)} s, ${outcome}`,
        );
      }
    }
    for (const [daemon, list] of results) rows.push({ case: each.name, daemon, results: list });
  }
  const text = report(rows);
  process.stdout.write(text);
  const isWhole = values.cases === undefined && values.daemons === undefined;
  if (isWhole) writeFileSync(join(import.meta.dirname, 'bgp.txt'), text);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
await main();
