/**
 * How long does it take to attach a container? CNI ADD through our plugin and agent, beside Debian's bridge and
 * host-local plugins, and beside the floor: starting a program that does nothing. Prints a table with ratios and writes
 * it to bench/attach.txt.
 *
 * Each of RUNS rounds attaches a container of its own with each of them, so that what disturbs the machine disturbs all
 * alike. Ours runs against a lab of one host and returns only when the policy of the container is in the kernel; the
 * bridge makes no rules (ipMasq off). Each plugin has a host namespace of its own. What is timed is what a runtime waits
 * for: fork, exec, the plugin's work, its end. All is removed afterwards. Run as root: npm run bench:attach
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
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
/** Not counted: caches fill, the interpreter of the agent compiles its hot code. */
const WARM_UP_RUNS = 10;
const LIMIT_MS = 30_000;

const REPOSITORY = join(import.meta.dirname, '..');
const MUSLIN = join(REPOSITORY, 'bin', 'muslin');
const REFERENCE_PLUGINS = '/usr/lib/cni';
const LAB = 'bench-attach';
const HOST = 'host';
const PREFIX = 'muslin-bench-';
const BRIDGE_HOST = `${PREFIX}bridge-host`;

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
    spec: { cidr: 172.17.0.0/16, blockSize: 26 }
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

interface Row {
  readonly title: string;
  readonly command: string;
  readonly milliseconds: readonly number[];
}

function contenders(folder: string): Contender[] {
  const reference = {
    cniVersion: '1.0.0',
    name: 'bench',
    type: 'bridge',
    bridge: 'cni0',
    isGateway: true,
    ipMasq: false,
    ipam: { type: 'host-local', subnet: '10.88.0.0/16', dataDir: join(folder, 'host-local') },
  };
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
    {
      title: 'bridge + host-local',
      program: join(REFERENCE_PLUGINS, 'bridge'),
      host: BRIDGE_HOST,
      configuration: reference,
      key: 'b',
    },
  ];
}

function containerOf(contender: Contender, run: number): string {
  return `${PREFIX}${contender.key}${run}`;
}

/** Runs a plugin once and gives the milliseconds; throws with what it said when it fails. */
function call(contender: Contender, command: Command, run: number): number {
  const container = containerOf(contender, run);
  const env = {
    PATH: process.env.PATH ?? '',
    CNI_COMMAND: command,
    CNI_CONTAINERID: container,
    CNI_NETNS: namespacePath(container),
    CNI_IFNAME: 'eth0',
    CNI_PATH: REFERENCE_PLUGINS,
  };
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

function measure(folder: string): Row[] {
  const all = contenders(folder);
  const floor: number[] = [];
  const times = new Map<string, number[]>();
  const total = WARM_UP_RUNS + RUNS;
  for (let run = 0; run < total; run++) for (const contender of all) addNamespace(containerOf(contender, run));
  const round = (command: Command, run: number): void => {
    // Who goes first alternates: the second finds the processor's caches as the first has left them.
    for (const contender of run % 2 === 0 ? all : all.toReversed()) {
      const milliseconds = call(contender, command, run);
      if (run < WARM_UP_RUNS) continue;
      const name = `${command} ${contender.title}`;
      times.set(name, [...(times.get(name) ?? []), milliseconds]);
    }
  };
  for (let run = 0; run < total; run++) {
    round('ADD', run);
    const { milliseconds } = timed(BRIDGE_HOST, '/bin/true', {}, '');
    if (run >= WARM_UP_RUNS) floor.push(milliseconds);
  }
  for (let run = 0; run < total; run++) round('DEL', run);
  const rows = (['ADD', 'DEL'] as const).flatMap((command) =>
    all.map(({ title }): Row => ({ title, command, milliseconds: times.get(`${command} ${title}`) ?? [] })),
  );
  return [...rows, { title: '/bin/true', command: 'floor', milliseconds: floor }];
}

/** The smallest value that at least `share` of all values do not exceed. */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(sorted.length * share) - 1, 0)] ?? Number.NaN;
}

function report(rows: readonly Row[]): string {
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
  const [cpu] = cpus();
  return (
    `CNI ADD and DEL, ${RUNS} containers each, interleaved; ratios are to muslin's time, above 1 is slower.\n` +
    `${cpus().length} × ${cpu?.model.trim()}, Linux ${release()}, Node.js ${process.versions.node}, load average ${loadavg()[0]?.toFixed(1)}\n\n` +
    renderTable(columns, rows)
  );
}

function removeAll(folder: string): void {
  spawnSync(MUSLIN, ['lab', 'down', LAB]);
  for (const name of namespaceNames()) if (name.startsWith(PREFIX)) removeNamespace(name);
  rmSync(folder, { recursive: true, force: true });
}

function main(): void {
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
  addNamespace(BRIDGE_HOST);
  const text = report(measure(folder));
  process.stdout.write(text);
  writeFileSync(join(import.meta.dirname, 'attach.txt'), text);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
main();
