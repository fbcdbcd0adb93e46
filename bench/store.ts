/**
 * What does the store cost, in a SQLite file and in etcd? Writes, listings, watches, memory, for a network of 50,000
 * containers and 5,000 policies. Prints a table with ratios and writes it to bench/store.txt.
 *
 * Both are measured in one run, on the same disk, with their fsyncs. Policies are written one by one, endpoints in transactions
 * of BATCH. A reader in a process of its own lists everything, then watches while LATENCY_WRITES more writes are made;
 * latency is from before the write to the event in that process, by the machine's one clock. Run: npm run bench:store
 */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Column, renderTable } from '../src/lib/table.ts';
import { openStore } from '../src/store/open-store.ts';
import type { Json, Store, Write } from '../src/store/store.ts';
import { TestEtcd } from '../test/system/etcd-fixture.ts';

const ENDPOINTS = 50_000;
const POLICIES = 5_000;
const BATCH = 100;
const LATENCY_WRITES = 2_000;
const LAST_KEY = '/bench/last';

/** What the reader in its own process tells. */
interface Reading {
  readonly entries: number;
  readonly listMs: number;
  /** Of the whole process, with the listing in memory; and before it. */
  readonly residentBytes: number;
  readonly residentBytesBefore: number;
  readonly latenciesMs: readonly number[];
}

interface Measured {
  readonly singleWritesPerSecond: number;
  readonly batchedWritesPerSecond: number;
  readonly reading: Reading;
  readonly serverBytes: number;
}

function endpoint(index: number): Json {
  const address = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: {
      name: `node${index % 500}-cni-${index}-eth0`,
      namespace: `ns${index % 100}`,
      uid: `2f0b6d0c-6f0e-4a57-9d5e-${String(index).padStart(12, '0')}`,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { app: `app${index % 300}`, tier: 'backend', 'projectcalico.org/namespace': `ns${index % 100}` },
    },
    spec: {
      node: `node${index % 500}`,
      orchestrator: 'cni',
      containerID: String(index).padStart(64, 'a'),
      endpoint: 'eth0',
      interfaceName: `cali${index}`,
      ipNetworks: [`${address}/32`],
      profiles: [`kns.ns${index % 100}`],
    },
  };
}

function policy(index: number): Json {
  const rule = (port: number) => ({
    action: 'Allow',
    protocol: 'TCP',
    source: { selector: `app == 'app${(index + port) % 300}' && tier == 'backend'` },
    destination: { ports: [port] },
  });
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'NetworkPolicy',
    metadata: { name: `default.policy${index}`, namespace: `ns${index % 100}` },
    spec: {
      tier: 'default',
      order: index,
      selector: `app == 'app${index % 300}'`,
      types: ['Ingress', 'Egress'],
      ingress: [80, 443, 8080].map(rule),
      egress: [53, 5432].map(rule),
    },
  };
}

async function write(store: Store, writes: readonly Write[]): Promise<void> {
  const result = await store.transact({ expect: [], writes });
  if (!result.ok) throw new Error('a write without expectations was refused');
}

/** Milliseconds since 1970 with fractions: the one clock of all processes on this machine. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

async function measure(url: string, serverPid: number | undefined): Promise<Measured> {
  const store = await openStore(url);
  try {
    let started = now();
    for (let index = 0; index < POLICIES; index++) {
      await write(store, [
        { kind: 'put', key: `/resources/NetworkPolicy/ns${index % 100}/${index}`, value: policy(index) },
      ]);
    }
    const singleWritesPerSecond = (POLICIES / (now() - started)) * 1000;
    started = now();
    for (let first = 0; first < ENDPOINTS; first += BATCH) {
      const writes = Array.from({ length: BATCH }, (_, offset): Write => {
        const index = first + offset;
        return { kind: 'put', key: `/resources/WorkloadEndpoint/ns${index % 100}/${index}`, value: endpoint(index) };
      });
      await write(store, writes);
    }
    const batchedWritesPerSecond = (ENDPOINTS / (now() - started)) * 1000;
    const reader = fork(import.meta.filename, [url], { execArgv: ['--disable-warning=ExperimentalWarning'] });
    const reading = await readingOf(reader, store);
    const serverBytes = serverPid === undefined ? 0 : residentBytesOf(serverPid);
    return { singleWritesPerSecond, batchedWritesPerSecond, reading, serverBytes };
  } finally {
    await store.close();
  }
}

/** Writes as soon as the reader watches, and gives what it then tells. */
async function readingOf(reader: ChildProcess, store: Store): Promise<Reading> {
  await once(reader, 'message');
  for (let index = 0; index < LATENCY_WRITES; index++) {
    await write(store, [{ kind: 'put', key: `/bench/latency/${index}`, value: now() }]);
  }
  const told = once(reader, 'message');
  await write(store, [{ kind: 'put', key: LAST_KEY, value: now() }]);
  const [reading] = await told;
  // What `read` below sends.
  return reading as Reading;
}

/** The reader's process. */
async function read(url: string): Promise<void> {
  const store = await openStore(url);
  const residentBytesBefore = process.memoryUsage.rss();
  const started = now();
  const { entries, revision } = await store.list('/');
  const listMs = now() - started;
  const residentBytes = process.memoryUsage.rss();
  const latenciesMs: number[] = [];
  for await (const event of store.watch('/', revision, new AbortController().signal)) {
    if (event.kind === 'bookmark' && event.revision === revision) process.send?.('watching');
    if (event.kind !== 'put') continue;
    latenciesMs.push(now() - Number(event.entry.value));
    if (event.entry.key === LAST_KEY) break;
  }
  process.send?.({
    entries: entries.length,
    listMs,
    residentBytes,
    residentBytesBefore,
    latenciesMs,
  } satisfies Reading);
  await store.close();
  process.disconnect();
}

function residentBytesOf(pid: number): number {
  const [, kibibytes = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

/** The smallest value that at least `share` of all values do not exceed. */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(sorted.length * share) - 1, 0)] ?? Number.NaN;
}

interface Row {
  readonly title: string;
  readonly value: (measured: Measured) => number;
  readonly digits: number;
}

const MEBIBYTE = 1024 * 1024;

const ROWS: readonly Row[] = [
  { title: 'writes/s, one by one', value: (measured) => measured.singleWritesPerSecond, digits: 0 },
  { title: `writes/s, ${BATCH} at once`, value: (measured) => measured.batchedWritesPerSecond, digits: 0 },
  { title: 'list of everything, ms', value: ({ reading }) => reading.listMs, digits: 0 },
  { title: 'write to event, p50 ms', value: ({ reading }) => percentile(reading.latenciesMs, 0.5), digits: 2 },
  { title: 'write to event, p99 ms', value: ({ reading }) => percentile(reading.latenciesMs, 0.99), digits: 2 },
  { title: 'reader at start, MiB', value: ({ reading }) => reading.residentBytesBefore / MEBIBYTE, digits: 0 },
  { title: 'reader with the list, MiB', value: ({ reading }) => reading.residentBytes / MEBIBYTE, digits: 0 },
  { title: 'server, MiB', value: ({ serverBytes }) => serverBytes / MEBIBYTE, digits: 0 },
];

function report(sqlite: Measured, etcd: Measured): string {
  const columns: Column<Row>[] = [
    { title: 'WHAT', cell: ({ title }) => title },
    { title: 'SQLITE', cell: ({ value, digits }) => value(sqlite).toFixed(digits) },
    { title: 'ETCD', cell: ({ value, digits }) => value(etcd).toFixed(digits) },
    {
      title: 'ETCD/SQLITE',
      cell: ({ value }) => (value(sqlite) === 0 ? '' : (value(etcd) / value(sqlite)).toFixed(2)),
    },
  ];
  const [cpu] = cpus();
  return (
    `${ENDPOINTS} endpoints and ${POLICIES} policies (${sqlite.reading.entries} entries) in SQLite and in an etcd of one member, with fsync.\n` +
    `${cpus().length} × ${cpu?.model.trim()}, Linux ${release()}, Node.js ${process.versions.node}, load average ${loadavg()[0]?.toFixed(1)}\n\n` +
    renderTable(columns, ROWS)
  );
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'muslin-bench-store-'));
  const etcd = await TestEtcd.start();
  try {
    const bySqlite = await measure(`sqlite://${join(folder, 'store.db')}`, undefined);
    const byEtcd = await measure(`etcd://${etcd.endpoints}/muslin`, etcd.pid);
    const text = report(bySqlite, byEtcd);
    process.stdout.write(text);
    writeFileSync(join(import.meta.dirname, 'store.txt'), text);
  } finally {
    await etcd.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

const [url] = process.argv.slice(2);
await (url === undefined ? main() : read(url));
