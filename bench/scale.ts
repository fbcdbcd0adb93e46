/**
 * How BGP and calculation do in networks of thousands of hosts: `node bench/scale.ts`, `--quick` for 100 hosts only.
 *
 * Mesh, reflectors and racks of growing size, each in a process of its own, in the order of SCENARIOS. The speakers are those of
 * production on a virtual wire (src/simulation); a speaker's turn takes the processor time that it takes on this machine, so a
 * network converges as fast as if each host had one core like this one to itself. Not in it: the kernel's part of sockets and
 * routes, bandwidth, and cold processors. Then one host's calculation with all containers of the largest network. Prints a
 * table into bench/scale.txt, and with a plot into docs/scale.md and docs/scale.svg.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Calculation } from '../src/felix/calc/calculation.ts';
import { renderTable } from '../src/lib/table.ts';
import type { ClusterShape } from '../src/simulation/sample-clusters.ts';
import { containersOf, hostName, sampleCluster } from '../src/simulation/sample-clusters.ts';
import type { Phase, ScaleResult } from '../src/simulation/scale.ts';
import { calculate, LATENCY_MS, runScenario } from '../src/simulation/scale.ts';
import { plot } from './scale-plot.ts';

const CONTAINERS = 50;
/** As many hosts take in what they are told: the others would only say the same again. */
const LISTENERS_MAX = 250;
const HOSTS_PER_RACK = 40;
/** The mesh of 1,000 has a million ends of sessions, and does not fit into 7.5 GB. */
const HEAP_MB = 15_000;
const ROOT = join(import.meta.dirname, '..');

const mesh: ClusterShape = { kind: 'mesh' };
const reflectors = (pairs: number): ClusterShape => ({ kind: 'reflectors', pairs });
const racks: ClusterShape = { kind: 'racks', hostsPerRack: HOSTS_PER_RACK };

interface Scenario {
  readonly hosts: number;
  readonly shape: ClusterShape;
}

const QUICK: readonly Scenario[] = [mesh, reflectors(1), racks].map((shape) => ({ hosts: 100, shape }));
const SCENARIOS: readonly Scenario[] = [
  ...QUICK,
  { hosts: 300, shape: mesh },
  { hosts: 1_000, shape: reflectors(1) },
  { hosts: 1_000, shape: racks },
  { hosts: 5_000, shape: reflectors(1) },
  { hosts: 5_000, shape: reflectors(3) },
  { hosts: 1_000, shape: mesh },
  // Each of the 125 switches hears each route from 124 others: the dearest of all.
  { hosts: 5_000, shape: racks },
];

export interface Measured extends ScaleResult {
  readonly hosts: number;
  readonly shape: ClusterShape;
  /** Memory for all speakers, from before they were configured until they had converged. */
  readonly bytes: number;
  readonly seconds: number;
}

interface MeasuredCalculation {
  readonly hosts: number;
  readonly endpoints: number;
  readonly ms: number;
  readonly bytes: number;
  readonly nextUs: number;
}

/** Processor time of this thread alone: others on the machine do not count, nor does the collector's own thread. */
function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function usedBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}

function measure({ hosts, shape }: Scenario): Measured {
  const warm = { stopwatch: threadMs, onStage: () => undefined };
  // What runs for years has been compiled; the first hosts would pay for all.
  runScenario({ hosts: 40, shape, containers: 1, listenersMax: 40 }, warm);
  const began = performance.now();
  let before = 0;
  let after = 0;
  const result = runScenario(
    { hosts, shape, containers: CONTAINERS, listenersMax: shape.kind === 'mesh' ? hosts : LISTENERS_MAX },
    {
      stopwatch: threadMs,
      onStage: (stage) => {
        if (stage === 'made') before = usedBytes();
        else after = usedBytes();
      },
    },
  );
  return { ...result, hosts, shape, bytes: after - before, seconds: (performance.now() - began) / 1000 };
}

/** Every agent hears of every container, as policy anywhere may choose it. */
function measureCalculation(hosts: number): MeasuredCalculation {
  const calculation = new Calculation(hostName(0));
  const shared = sampleCluster({ hosts, shape: reflectors(1) });
  const before = usedBytes();
  let ms = 0;
  const timed = (work: () => void): void => {
    const start = threadMs();
    work();
    ms += threadMs() - start;
  };
  timed(() => calculate(calculation, shared));
  for (let number = 0; number < hosts; number++) {
    const resources = containersOf(number, CONTAINERS);
    timed(() => calculate(calculation, resources));
  }
  timed(() => calculation.takeChanges());
  const bytes = usedBytes() - before;
  const total = ms;
  // On other hosts, whose blocks are known already.
  const more = Array.from({ length: 100 }, (_, number) =>
    containersOf(number + 1, CONTAINERS + 1)
      .filter(({ kind }) => kind === 'WorkloadEndpoint')
      .slice(-1),
  );
  ms = 0;
  timed(() => {
    for (const resources of more) {
      calculate(calculation, resources);
      calculation.takeChanges();
    }
  });
  return { hosts, endpoints: hosts * CONTAINERS, ms: total, bytes, nextUs: (ms * 1000) / more.length };
}

/** Runs one measurement in a process of its own, so that none inherits another's heap. */
function inOwnProcess<Result>(job: object): Result {
  const words = ['--expose-gc', `--max-old-space-size=${HEAP_MB}`, fileURLToPath(import.meta.url), JSON.stringify(job)];
  const child = spawnSync(process.execPath, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.status !== 0) throw new Error(`${JSON.stringify(job)} ended with ${child.status ?? child.signal}`);
  return JSON.parse(child.stdout);
}

function shapeText(shape: ClusterShape): string {
  if (shape.kind === 'reflectors') return `${2 * shape.pairs} reflectors`;
  return shape.kind === 'racks' ? `racks of ${shape.hostsPerRack}` : 'mesh';
}

function big(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

function megabytes(bytes: number): string {
  return bytes >= 100e6 ? `${big(bytes / 1e6)} MB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function time(ms: number | undefined): string {
  return ms === undefined ? '-' : ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${big(ms)} ms`;
}

const cost = (pick: (one: Measured) => Phase | undefined) => (one: Measured) => time(pick(one)?.ms);

const COLUMNS = [
  { title: 'HOSTS', cell: ({ hosts }: Measured) => big(hosts) },
  { title: 'SHAPE', cell: ({ shape }: Measured) => shapeText(shape) },
  { title: 'SESSIONS', cell: ({ sessions }: Measured) => big(sessions) },
  { title: 'UPDATES', cell: ({ coldStart }: Measured) => big(coldStart.updates) },
  { title: 'BYTES', cell: ({ coldStart }: Measured) => megabytes(coldStart.bytes) },
  { title: 'PATHS: HOST', cell: ({ host }: Measured) => big(host.paths) },
  { title: 'HUB', cell: ({ hub }: Measured) => (hub === undefined ? '-' : big(hub.paths)) },
  { title: 'COLD START', cell: cost(({ coldStart }) => coldStart) },
  { title: 'HOST LOST', cell: cost(({ hostLoss }) => hostLoss) },
  { title: 'HUB LOST', cell: cost(({ hubLoss }) => hubLoss) },
  { title: 'CPU: BUSIEST', cell: ({ coldStart }: Measured) => time(coldStart.busiestMs) },
  { title: 'ALL', cell: ({ coldStart }: Measured) => time(coldStart.allMs) },
  { title: 'MEMORY', cell: ({ bytes }: Measured) => megabytes(bytes) },
  {
    title: 'KB A SESSION END',
    cell: ({ shape, bytes, sessions }: Measured) =>
      shape.kind === 'mesh' ? (bytes / sessions / 2 / 1000).toFixed(1) : '-',
  },
  { title: 'LISTENING', cell: ({ listeners }: Measured) => big(listeners) },
  { title: 'RUN', cell: ({ seconds }: Measured) => `${seconds.toFixed(0)} s` },
];

const MODEL = `Each speaker's turn takes the processor time that it took on this machine; all run side by side, as on hosts of
their own. A wire takes ${LATENCY_MS} ms one way. COLD START: all at once, to the last change of a route. HOST LOST, HUB LOST: a host, or
a reflector or rack switch, vanishes without a word; BFD notices after 900 ms, which is in the numbers. PATHS: in the table
of a host, and of a reflector or rack switch. LISTENING: hosts that take in what they are told; the others speak,
but UPDATEs for them are counted and dropped, as many hosts are told the same.
`;

function calculationText({ hosts, endpoints, ms, bytes, nextUs }: MeasuredCalculation): string {
  return `One host's calculation with ${big(endpoints)} containers of ${big(hosts)} hosts: ${time(ms)}, ${megabytes(bytes)}; one container more: ${big(nextUs)} us\n`;
}

function main(): void {
  const quick = process.argv.includes('--quick');
  const calculations = (quick ? [100] : [1_000, 5_000]).map((hosts) =>
    inOwnProcess<MeasuredCalculation>({ hosts, calculation: true }),
  );
  const measured: Measured[] = [];
  for (const scenario of quick ? QUICK : SCENARIOS) {
    const one = inOwnProcess<Measured>(scenario);
    process.stderr.write(`${big(one.hosts)} ${shapeText(one.shape)}: ${one.seconds.toFixed(0)} s\n`);
    measured.push(one);
    if (!quick) write(measured, calculations); // what has been measured is not lost with what comes after
  }
  process.stdout.write(tableText(measured, calculations));
}

function tableText(measured: readonly Measured[], calculations: readonly MeasuredCalculation[]): string {
  return `${renderTable(COLUMNS, measured)}\n${calculations.map(calculationText).join('')}\n${MODEL}`;
}

function write(measured: readonly Measured[], calculations: readonly MeasuredCalculation[]): void {
  writeFileSync(join(ROOT, 'bench', 'scale.txt'), tableText(measured, calculations));
  writeFileSync(join(ROOT, 'docs', 'scale.svg'), plot(measured.map((one) => ({ ...one, name: one.shape.kind }))));
  writeFileSync(join(ROOT, 'docs', 'scale.md'), page(measured, calculations));
}

function page(measured: readonly Measured[], calculations: readonly MeasuredCalculation[]): string {
  const shown = COLUMNS.slice(0, -4);
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const table = [
    row(shown.map(({ title }) => title.toLowerCase())),
    row(shown.map(() => '---')),
    ...measured.map((one) => row(shown.map(({ cell }) => cell(one)))),
  ].join('');
  return `# Scale

What BGP costs in networks of hundreds and thousands of hosts, ${CONTAINERS} containers each: a full mesh, reflectors, and racks with an
AS each. Measured with \`node bench/scale.ts\`, which runs all speakers in one process on a virtual wire
([design/simulation.md](design/simulation.md)).

${table}
${calculations.map(calculationText).join('\n')}
![time to converge after a cold start, and sessions, by number of hosts](scale.svg)

${MODEL}
What to take from it: a mesh costs each host a session with every other one, and all hosts their square. Up to a few hundred that
is nothing. With reflectors or racks a host has one or two sessions whatever the size, and what grows is the table. In racks
routes of one rack look alike from outside, so that hosts keep few attribute sets and messages are fuller.
`;
}

const job = process.argv[2];
if (job?.startsWith('{') === true) {
  const scenario: Scenario & { readonly calculation?: boolean } = JSON.parse(job);
  const result = scenario.calculation === true ? measureCalculation(scenario.hosts) : measure(scenario);
  process.stdout.write(JSON.stringify(result));
} else main();
