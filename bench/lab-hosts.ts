/**
 * What a lab of many hosts costs: seconds until it is up, by stage; memory and processor time of all its agents together,
 * until it was up and when nothing happens any more.
 *
 *   node bench/lab-hosts.ts                     10, 20 and 60 hosts, each with every kind of sessions; writes lab-hosts.txt
 *   node bench/lab-hosts.ts 60 reflectors       only this many hosts, only this kind; writes nothing
 *
 * All hosts are on one segment and own a block, every fifth has a container, all containers must reach each other. Sessions
 * are a full mesh with BFD, as by default, of up to 20 hosts; the same without BFD, asked for by a BGPPeer; or two reflectors,
 * watched by BFD. The bundle is run, as in production; its compile cache is warm. Memory is the sum of PSS, in which what processes share counts once, and beside
 * it the fall of MemAvailable, in which the kernel's own memory for the namespaces counts, and what others do meanwhile.
 * Ends with 1 when 60 hosts take longer or more than the limits below. Needs root. Run: npm run bench:lab
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { hostPlaces } from '../src/lab/names.ts';
import { labProcesses } from '../src/lab/process.ts';
import { type Column, renderTable } from '../src/lib/table.ts';
import { agentStatus } from '../src/node/control-client.ts';

const HOSTS = [10, 20, 60];
/** A mesh of 60 with BFD would be 12,000 packets a second, at real-time priority. */
const BFD_MESH_HOSTS_MAX = 20;
/** Of the goal: what a laptop's user waits for, and what its memory leaves. */
const UP_SECONDS_MAX = 60;
const MEMORY_MB_MAX = 4_096;
/** Agents let go of what their start has left behind a while after it. */
const SETTLE_MS = 15_000;
const IDLE_MS = 20_000;
/** getconf CLK_TCK of every Linux. */
const TICKS_PER_SECOND = 100;

const PROGRAM = join(import.meta.dirname, '..', 'build', 'muslin', 'bin', 'muslin');

const KINDS = ['mesh', 'mesh without BFD', 'reflectors'] as const;
type Kind = (typeof KINDS)[number];

interface Run {
  readonly hosts: number;
  readonly kind: Kind;
  readonly stages: readonly { readonly title: string; readonly milliseconds: number }[];
  readonly upSeconds: number;
  readonly sessions: number;
  readonly pssMb: number;
  readonly rssMb: number;
  readonly availableMb: number;
  /** Of all agents together, while it came up. */
  readonly cpuSeconds: number;
  /** Of both processors' whole time, by all agents together. */
  readonly idlePercent: number;
}

function resource(kind: string, name: string, spec: object, annotations?: object): object {
  return { apiVersion: 'projectcalico.org/v3', kind, metadata: { name, ...(annotations && { annotations }) }, spec };
}

function topologyOf(name: string, count: number, kind: Kind): object {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const isReflector = (number: number) => kind === 'reflectors' && number <= 2;
  const host = (number: number) => ({
    ...(isReflector(number) && { labels: { reflector: 'true' }, routeReflectorClusterID: '10.0.0.1' }),
    links: { eth0: { segment: 'lan', addresses: [`192.168.100.${number}/24`] } },
    blocks: [`10.60.${number}.0/26`],
  });
  const workloads = numbers.filter((number) => number % 5 === 0);
  const off = resource('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false, asNumber: 64512 });
  const peerOf = (selector: string, annotations?: object) =>
    resource('BGPPeer', 'peers', { nodeSelector: 'all()', peerSelector: selector }, annotations);
  const peering = {
    mesh: [],
    'mesh without BFD': [off, peerOf('all()', { 'muslin.io/bfd': 'off' })],
    reflectors: [off, peerOf("reflector == 'true'")],
  }[kind];
  return {
    name,
    segments: ['lan'],
    hosts: Object.fromEntries(numbers.map((number) => [`h${number}`, host(number)])),
    workloads: Object.fromEntries(workloads.map((number) => [`w${number}`, { host: `h${number}` }])),
    resources: [resource('IPPool', 'containers', { cidr: '10.60.0.0/16', blockSize: 26 }), ...peering],
    checks: [{ reach: workloads.map((number) => `w${number}`) }],
  };
}

interface Usage {
  readonly pssKb: number;
  readonly rssKb: number;
  readonly cpuTicks: number;
}

/** Of all processes of the lab's agents together. */
function usage(lab: string): Usage {
  const pids = labProcesses(hostPlaces(lab, '').runDirectory).map(({ pid }) => pid);
  const each = pids.map((pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const kilobytes = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(rollup)?.[1]);
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { pssKb: kilobytes('Pss'), rssKb: kilobytes('Rss'), cpuTicks: Number(fields[11]) + Number(fields[12]) };
  });
  const sum = (field: keyof Usage) => each.reduce((total, one) => total + one[field], 0);
  return { pssKb: sum('pssKb'), rssKb: sum('rssKb'), cpuTicks: sum('cpuTicks') };
}

function availableKb(): number {
  return Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]);
}

/** `lab up`, with the stages that it tells of. */
async function up(file: string): Promise<{ readonly stages: Run['stages']; readonly seconds: number }> {
  const start = performance.now();
  const child = spawn(PROGRAM, ['lab', 'up', file, '--timeout', '600'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) lines.push(line);
  if ((await ended) !== 0) throw new Error(`lab up failed:\n${lines.join('\n')}`);
  const stages = lines.flatMap((line) => {
    const [, title, milliseconds] = /^(.*\S)\s+(\d+) ms$/.exec(line) ?? [];
    return title === undefined ? [] : [{ title, milliseconds: Number(milliseconds) }];
  });
  return { stages, seconds: (performance.now() - start) / 1000 };
}

async function sessionsOf(lab: string, count: number): Promise<number> {
  const hosts = Array.from({ length: count }, (_, index) => `h${index + 1}`);
  const each = await Promise.all(
    hosts.map(async (host) => (await agentStatus(hostPlaces(lab, host).controlSocket)).bgp.peers),
  );
  return each.flat().filter(({ state }) => state === 'Established').length / 2; // both ends know of each
}

async function measure(folder: string, hosts: number, kind: Kind): Promise<Run> {
  const lab = `bench-${hosts}-${process.pid}`;
  const file = join(folder, `${lab}.yaml`);
  writeFileSync(file, JSON.stringify(topologyOf(lab, hosts, kind))); // which is YAML as well
  const availableBefore = availableKb();
  try {
    const { stages, seconds } = await up(file);
    const cpuSeconds = usage(lab).cpuTicks / TICKS_PER_SECOND;
    const sessions = await sessionsOf(lab, hosts);
    await pause(SETTLE_MS);
    const settled = usage(lab);
    const availableMb = (availableBefore - availableKb()) / 1024;
    await pause(IDLE_MS);
    const idleSeconds = (usage(lab).cpuTicks - settled.cpuTicks) / TICKS_PER_SECOND;
    return {
      ...{ hosts, kind, stages, upSeconds: seconds, sessions, cpuSeconds, availableMb },
      pssMb: settled.pssKb / 1024,
      rssMb: settled.rssKb / 1024,
      idlePercent: (idleSeconds / (IDLE_MS / 1000) / cpus().length) * 100,
    };
  } finally {
    spawnSync(PROGRAM, ['lab', 'down', lab], { stdio: 'ignore' });
  }
}

function tableOf(runs: readonly Run[]): string {
  const columns: readonly Column<Run>[] = [
    { title: 'HOSTS', cell: ({ hosts }) => String(hosts) },
    { title: 'SESSIONS', cell: ({ kind, sessions }) => `${sessions}, ${kind}` },
    { title: 'UP', cell: ({ upSeconds }) => `${upSeconds.toFixed(1)} s` },
    { title: 'CPU', cell: ({ cpuSeconds }) => `${cpuSeconds.toFixed(1)} s` },
    { title: 'PSS', cell: ({ pssMb }) => `${pssMb.toFixed(0)} MB` },
    { title: 'PER HOST', cell: ({ pssMb, hosts }) => `${(pssMb / hosts).toFixed(1)} MB` },
    { title: 'RSS', cell: ({ rssMb }) => `${rssMb.toFixed(0)} MB` },
    { title: 'AVAILABLE', cell: ({ availableMb }) => `-${availableMb.toFixed(0)} MB` },
    { title: 'IDLE CPU', cell: ({ idlePercent }) => `${idlePercent.toFixed(1)} %` },
  ];
  return renderTable(columns, runs);
}

function stagesOf({ hosts, kind, stages }: Run): string {
  const lines = stages.map(
    ({ title, milliseconds }) => `  ${title.padEnd(44)} ${(milliseconds / 1000).toFixed(2)} s\n`,
  );
  return `\n${hosts} hosts, ${kind}:\n${lines.join('')}`;
}

const [hostsAsked, kindAsked] = process.argv.slice(2);
const hostCounts = hostsAsked === undefined ? HOSTS : [Number(hostsAsked)];
const kinds = kindAsked === undefined ? KINDS : KINDS.filter((kind) => kind === kindAsked);
const folder = mkdtempSync(join(tmpdir(), 'muslin-bench-lab-'));
try {
  const runs: Run[] = [];
  const loads = [loadavg()[0]];
  for (const hosts of hostCounts) {
    for (const kind of kinds.filter((each) => each !== 'mesh' || hosts <= BFD_MESH_HOSTS_MAX)) {
      runs.push(await measure(folder, hosts, kind));
      process.stderr.write(tableOf(runs.slice(-1)));
    }
  }
  const machine = `Node.js ${process.version}, Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model}`;
  const load = `load of others ${loads[0]?.toFixed(1)} at the start; IDLE CPU is of all processors, by all agents together`;
  const largest = runs.filter(({ hosts }) => hosts === Math.max(...hostCounts));
  const text = `${machine}\n${load}\n\n${tableOf(runs)}${largest.map(stagesOf).join('')}`;
  process.stdout.write(text);
  if (hostsAsked === undefined) writeFileSync(join(import.meta.dirname, 'lab-hosts.txt'), text);
  const late = largest.filter(({ upSeconds }) => upSeconds > UP_SECONDS_MAX);
  const large = largest.filter(({ pssMb, availableMb }) => Math.max(pssMb, availableMb) > MEMORY_MB_MAX);
  for (const { kind } of late) process.stderr.write(`${kind}: takes longer than ${UP_SECONDS_MAX} s\n`);
  for (const { kind } of large) process.stderr.write(`${kind}: takes more than ${MEMORY_MB_MAX} MB\n`);
  if (late.length + large.length > 0) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
