/**
 * How long does it take to attach a container? CNI ADD through our plugin and agent, beside Debian's bridge and
 * host-local plugins, and beside the floor: starting a program that does nothing. Prints tables with ratios and writes
 * them to bench/attach.txt.
 *
 * Each of RUNS rounds attaches a container of its own with each of them, so that what disturbs the machine disturbs all
 * alike: once on an agent that has just started, once after CYCLES containers have come and gone. Then each gets a burst of BURST
 * calls at once. Ours runs against a lab of one host and returns only when the policy of the container is in the kernel, outgoing NAT
 * with it. The bridge makes no rules; with ipMasq it makes those for outgoing NAT. Each has a host namespace of its own. What is timed is
 * what a runtime waits for: fork, exec, the plugin's work, its end. The agent runs from the bundle; that it gives back, once,
 * what its start took (two seconds after it) is waited for. The phases of an ADD are the agent's own, from its log.
 * All is removed afterwards. Run as root: npm run bench:attach
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  addNamespace,
  inNamespace,
  namespaceNames,
  namespacePath,
  removeNamespace,
} from '../src/kernel/network-namespace.ts';
import { hostPlaces, namespaceOf } from '../src/lab/names.ts';
import { type Column, renderTable } from '../src/lib/table.ts';

const RUNS = 100;
/** Not counted: caches fill. */
const WARM_UP_RUNS = 10;
/** Containers that come and go between the two measurements: by then the agent's hot code has been compiled. */
const CYCLES = 400;
const LIMIT_MS = 30_000;
/** Calls at once, as when a host comes back with all its containers. */
const BURST = 100;
/** The agent gives free memory back two seconds after its start, which takes some 30 ms. */
const STARTED_MS = 4_000;

const REPOSITORY = join(import.meta.dirname, '..');
const MUSLIN = join(REPOSITORY, 'build', 'muslin', 'bin', 'muslin');
const REFERENCE_PLUGINS = '/usr/lib/cni';
const LAB = 'bench-attach';
const HOST = 'host';
const PREFIX = 'muslin-bench-';
const BRIDGE_HOST = `${PREFIX}bridge-host`;
const NAT_HOST = `${PREFIX}nat-host`;

/** The host starts with a block of 64 addresses and claims the next ones while we look. */
const TOPOLOGY = `
name: ${LAB}
description: one host, for bench/attach.ts
segments: [lan]
hosts:
  ${HOST}:
    links: { eth0: { segment: lan, addresses: [192.168.100.100/24] } }
    blocks: [172.17.0.0/26]
resources:
  - apiVersion: projectcalico.org/v3
    kind: IPPool
    metadata: { name: containers }
    spec: { cidr: 172.17.0.0/16, blockSize: 26, natOutgoing: true }
`;

interface Contender {
  readonly title: string;
  readonly program: string;
  /** The namespace that the plugin runs in. */
  readonly host: string;
  readonly configuration: unknown;
  readonly key: string;
}

type Command = 'ADD' | 'DEL';

/** What the agent calls the steps of an ADD. */
const PHASES: Readonly<Record<string, string>> = {
  look: 'look into the namespace',
  assign: 'address and endpoint into the store',
  wire: 'veth pair, the container’s end',
  enforce: 'policy, settings and route into the kernel',
  save: 'the rest of the fsync',
};

interface Row {
  readonly title: string;
  readonly command: string;
  readonly milliseconds: readonly number[];
}

function contenders(folder: string): Contender[] {
  const reference = (name: string, ipMasq: boolean) => ({
    ...{ cniVersion: '1.0.0', name, type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq },
    ipam: { type: 'host-local', subnet: '10.88.0.0/16', dataDir: join(folder, name) },
  });
  const bridge = (title: string, host: string, key: string, ipMasq: boolean): Contender => ({
    ...{ title, program: join(REFERENCE_PLUGINS, 'bridge'), host, key },
    configuration: reference(`bench-${key}`, ipMasq),
  });
  const ours = {
    cniVersion: '1.0.0',
    name: 'muslin',
    type: 'muslin',
    agentSocket: hostPlaces(LAB, HOST).cniSocket,
    ipam: { type: 'muslin' },
  };
  const host = namespaceOf(LAB, HOST);
  return [
    { title: 'muslin', program: join(REPOSITORY, 'build/cni/muslin'), host, configuration: ours, key: 'm' },
    bridge('bridge + host-local', BRIDGE_HOST, 'b', false),
    bridge('the same, with ipMasq', NAT_HOST, 'n', true),
  ];
}

function containerOf(contender: Contender, run: number): string {
  return `${PREFIX}${contender.key}${run}`;
}

function environmentOf(container: string, command: Command): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? '',
    CNI_COMMAND: command,
    CNI_CONTAINERID: container,
    CNI_NETNS: namespacePath(container),
    CNI_IFNAME: 'eth0',
    CNI_PATH: REFERENCE_PLUGINS,
  };
}

/** Runs a plugin once and gives the milliseconds; throws with what it said when it fails. */
function call(contender: Contender, command: Command, run: number): number {
  const container = containerOf(contender, run);
  const env = environmentOf(container, command);
  const input = JSON.stringify(contender.configuration);
  const { milliseconds, status, output } = timed(contender.host, contender.program, env, input);
  if (status !== 0) throw new Error(`${contender.title}: ${command} ${container} ended with ${status}: ${output}`);
  return milliseconds;
}

function timed(host: string, program: string, env: NodeJS.ProcessEnv, input: string) {
  return inNamespace(namespacePath(host), () => {
    const start = performance.now();
    const result = spawnSync(program, { env, input, encoding: 'utf8', timeout: LIMIT_MS });
    const milliseconds = performance.now() - start;
    const output = `${result.error?.message ?? ''}${result.stdout ?? ''}${result.stderr ?? ''}`;
    return { milliseconds, status: result.status, output };
  });
}

/** Attaches RUNS containers with each, and detaches them; the first has the number `first`. */
function measure(folder: string, first: number, state: string): Row[] {
  const all = contenders(folder);
  const floor: number[] = [];
  const times = new Map<string, number[]>();
  const total = first + WARM_UP_RUNS + RUNS;
  for (let run = first; run < total; run++) for (const contender of all) addNamespace(containerOf(contender, run));
  const round = (command: Command, run: number): void => {
    // Who goes first alternates: the next finds the processor's caches as the one before has left them.
    for (const contender of [...all.slice(run % all.length), ...all.slice(0, run % all.length)]) {
      const milliseconds = call(contender, command, run);
      if (run < first + WARM_UP_RUNS) continue;
      const name = `${command} ${contender.title}`;
      times.set(name, [...(times.get(name) ?? []), milliseconds]);
    }
  };
  for (let run = first; run < total; run++) {
    round('ADD', run);
    const { milliseconds } = timed(BRIDGE_HOST, '/bin/true', {}, '');
    if (run >= first + WARM_UP_RUNS) floor.push(milliseconds);
  }
  for (let run = first; run < total; run++) round('DEL', run);
  for (let run = first; run < total; run++) for (const contender of all) removeNamespace(containerOf(contender, run));
  const rows = (['ADD', 'DEL'] as const).flatMap((command) =>
    all.map(({ title }): Row => {
      return { title, command: `${command} ${state}`, milliseconds: times.get(`${command} ${title}`) ?? [] };
    }),
  );
  return [...rows, { title: '/bin/true', command: `floor ${state}`, milliseconds: floor }];
}

/** What a host sees in some hours: containers that come and go. */
function cycle(folder: string): void {
  const [ours] = contenders(folder);
  if (ours === undefined) throw new Error('nobody to measure');
  addNamespace(containerOf(ours, 0));
  for (let count = 0; count < CYCLES; count++) for (const command of ['ADD', 'DEL'] as const) call(ours, command, 0);
  removeNamespace(containerOf(ours, 0));
}

/** Starts a plugin for each container at once, and gives what each took until its end. */
async function burst(contender: Contender, first: number): Promise<number[]> {
  const input = JSON.stringify(contender.configuration);
  const one = async (run: number): Promise<number> => {
    const env = environmentOf(containerOf(contender, run), 'ADD');
    const start = performance.now();
    const child = inNamespace(namespacePath(contender.host), () =>
      spawn(contender.program, { env, stdio: ['pipe', 'ignore', 'inherit'], timeout: LIMIT_MS }),
    );
    child.stdin?.end(input);
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`${contender.title}: ADD in a burst ended with ${code}`);
    return performance.now() - start;
  };
  return Promise.all(Array.from({ length: BURST }, (_, index) => one(first + index)));
}

async function bursts(folder: string): Promise<Row[]> {
  const rows: Row[] = [];
  const first = 2 * (WARM_UP_RUNS + RUNS);
  for (const contender of contenders(folder)) {
    for (let run = first; run < first + BURST; run++) addNamespace(containerOf(contender, run));
    rows.push({ title: contender.title, command: `${BURST} ADD`, milliseconds: await burst(contender, first) });
  }
  return rows;
}

/** What the agent says that each of the last RUNS of ADD took it, by phase. */
function phases(): Row[] {
  const log = join(hostPlaces(LAB, HOST).cniSocket, '..', 'agent.log');
  const attached = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"phasesMs"'))
    .map((line) => (JSON.parse(line) as { phasesMs: Record<string, number> }).phasesMs)
    .slice(-RUNS);
  return Object.keys(attached[0] ?? {}).map((phase) => ({
    title: PHASES[phase] ?? phase,
    command: phase,
    milliseconds: attached.map((each) => each[phase] ?? 0),
  }));
}

/** The smallest value that at least `share` of all values do not exceed. */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(sorted.length * share) - 1, 0)] ?? Number.NaN;
}

function report(rows: readonly Row[], steps: readonly Row[]): string {
  const ours = (command: string): Row | undefined =>
    rows.find((row) => row.title === 'muslin' && row.command === command);
  const ratio = (row: Row, share: number): string => {
    const reference = ours(row.command);
    if (reference === undefined) return '';
    return (percentile(row.milliseconds, share) / percentile(reference.milliseconds, share)).toFixed(2);
  };
  const time = (row: Row, share: number): string => percentile(row.milliseconds, share).toFixed(2);
  const columns: Column<Row>[] = [
    { title: 'COMMAND', cell: ({ command }) => command },
    { title: 'BY', cell: ({ title }) => title },
    { title: 'P50 MS', cell: (row) => time(row, 0.5) },
    { title: 'P99 MS', cell: (row) => time(row, 0.99) },
    { title: 'P50 RATIO', cell: (row) => ratio(row, 0.5) },
    { title: 'P99 RATIO', cell: (row) => ratio(row, 0.99) },
  ];
  const stepColumns: Column<Row>[] = [
    { title: 'PHASE', cell: ({ command }) => command },
    { title: 'WHAT', cell: ({ title }) => title },
    { title: 'P50 MS', cell: (row) => time(row, 0.5) },
    { title: 'P99 MS', cell: (row) => time(row, 0.99) },
  ];
  const [cpu] = cpus();
  return (
    `CNI ADD and DEL, ${RUNS} containers each, interleaved, then ${BURST} ADD at once; ratios are to muslin's time, above 1 is slower.\n` +
    `${cpus().length} × ${cpu?.model.trim()}, Linux ${release()}, Node.js ${process.versions.node}, load average ${loadavg()[0]?.toFixed(1)}\n\n` +
    `${renderTable(columns, rows)}\nWhere the warm agent's time goes in one ADD:\n\n${renderTable(stepColumns, steps)}`
  );
}

function removeAll(folder: string): void {
  spawnSync(MUSLIN, ['lab', 'down', LAB]);
  for (const name of namespaceNames()) if (name.startsWith(PREFIX)) removeNamespace(name);
  rmSync(folder, { recursive: true, force: true });
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('bench/attach.ts makes network namespaces: run it as root');
  const folder = mkdtempSync(join(tmpdir(), PREFIX));
  process.on('exit', () => removeAll(folder));
  // What a killed run has left behind.
  spawnSync(MUSLIN, ['lab', 'down', LAB]);
  for (const name of namespaceNames()) if (name.startsWith(PREFIX)) removeNamespace(name);
  const topology = join(folder, 'topology.yaml');
  writeFileSync(topology, TOPOLOGY);
  const up = spawnSync(MUSLIN, ['lab', 'up', topology], { encoding: 'utf8' });
  if (up.status !== 0) throw new Error(`muslin lab up ended with ${up.status}:\n${up.stdout}${up.stderr}`);
  for (const name of [BRIDGE_HOST, NAT_HOST]) addNamespace(name);
  await pause(STARTED_MS);
  const fresh = measure(folder, 0, 'fresh');
  cycle(folder);
  const warm = measure(folder, WARM_UP_RUNS + RUNS, 'warm');
  const steps = phases();
  const text = report([...fresh, ...warm, ...(await bursts(folder))], steps);
  process.stdout.write(text);
  writeFileSync(join(import.meta.dirname, 'attach.txt'), text);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
await main();
