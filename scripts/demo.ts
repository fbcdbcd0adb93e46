/**
 * The smallest network that shows the idea, on this machine: two hosts, four containers, plain routes, BGP between.
 *
 *   node scripts/demo.ts           brings the lab two-hosts up (afresh), shows what is there, leaves it up
 *   node scripts/demo.ts --down    removes it, and looks for itself whether anything is left
 *
 * Everything shown is the output of a command that is printed above it, to be run again by hand. When it fails or is
 * interrupted it takes the lab down. Wants root, and Node.js 24 and the packages that scripts/demo has set up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { EXIT_CODE } from '../src/cli/exit-code.ts';
import type { LabStatus, WorkloadStatus } from '../src/lab/lab-status.ts';
import { type Column, renderTable } from '../src/lib/table.ts';

const LAB = 'two-hosts';
const LAB_DIRECTORY = `/run/muslin/lab/${LAB}`;
const NAMESPACES = '/run/netns';
const MUSLIN = join(import.meta.dirname, '..', 'bin', 'muslin');
/** An answer takes microseconds here; one that takes longer than this will not come. */
const PING_SECONDS = 2;

interface Ended {
  readonly code: number;
  readonly output: string;
}

class DemoFailed extends Error {
  override readonly name = 'DemoFailed';
}

let current: ChildProcess | undefined;
let interruptedBy: NodeJS.Signals | undefined;

/**
 * Runs a program in a process group of its own, so that Ctrl-C reaches us alone and we decide the order of the end.
 * `live` passes its output on as it comes.
 */
function run(program: string, args: readonly string[], live = false): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    current = child;
    let output = '';
    const collect = (chunk: string): void => {
      output += chunk;
      if (live) process.stdout.write(indented(chunk));
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      current = undefined;
      resolve({ code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), output });
    });
  });
}

function throwIfInterrupted(): void {
  if (interruptedBy !== undefined) throw new DemoFailed(`interrupted by ${interruptedBy}`);
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}

function took(start: number): string {
  const milliseconds = performance.now() - start;
  return milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Prints a heading, then each command with its output and time. */
async function show(heading: string, ...commands: readonly (readonly string[])[]): Promise<void> {
  console.log(`\n${heading}`);
  for (const command of commands) {
    throwIfInterrupted();
    const start = performance.now();
    const { code, output } = await run(MUSLIN, command);
    console.log(indented(`\n$ muslin ${command.join(' ')}      (${took(start)})\n${output.trimEnd()}`));
    throwIfInterrupted();
    if (code !== 0) throw new DemoFailed(`muslin ${command.join(' ')} ended with ${code}`);
  }
}

function inside(entity: string, ...command: readonly string[]): string[] {
  return ['lab', 'exec', entity, '--', ...command];
}

async function bringUp(): Promise<void> {
  const { code } = await run(MUSLIN, ['lab', 'down', LAB]);
  if (code === EXIT_CODE.ok) console.log(`The lab ${LAB} was there already: taken down for a fresh one.`);
  throwIfInterrupted();
  const start = performance.now();
  console.log(`Two hosts on one wire, two containers on each\n\n  $ muslin lab up ${LAB}`);
  const up = await run(MUSLIN, ['lab', 'up', LAB], true);
  throwIfInterrupted();
  if (up.code !== 0) throw new DemoFailed(`muslin lab up ended with ${up.code}`);
  console.log(`  (${took(start)})`);
}

async function labStatus(): Promise<LabStatus> {
  const { code, output } = await run(MUSLIN, ['lab', 'status', LAB, '-o', 'json']);
  if (code !== 0) throw new DemoFailed(`muslin lab status ended with ${code}: ${output}`);
  // The command prints what its type says.
  return JSON.parse(output) as LabStatus;
}

/** Every container pings every other one; the cells are round-trip times. */
async function showPings(workloads: readonly WorkloadStatus[]): Promise<void> {
  throwIfInterrupted();
  const start = performance.now();
  const times = new Map<string, string>();
  for (const from of workloads) {
    for (const to of workloads) {
      const [address] = to.addresses;
      if (from === to || address === undefined) continue;
      const ping = ['ping', '-n', '-c', '1', '-W', String(PING_SECONDS), address];
      const { output } = await run('ip', ['netns', 'exec', from.namespace, ...ping]);
      throwIfInterrupted();
      times.set(`${from.name} ${to.name}`, /time=([0-9.]+) ms/.exec(output)?.[1] ?? 'no answer');
    }
  }
  const columns: Column<WorkloadStatus>[] = [
    { title: 'FROM', cell: ({ name }) => name },
    ...workloads.map(
      (to): Column<WorkloadStatus> => ({
        title: `TO ${to.name}`,
        cell: (from) => times.get(`${from.name} ${to.name}`) ?? '-',
      }),
    ),
  ];
  console.log('\nEvery container reaches every other one: round trips in ms\n');
  console.log(indented(`${renderTable(columns, workloads)}(${times.size} pings, ${took(start)})`));
  if ([...times.values()].includes('no answer')) throw new DemoFailed('not every container answered');
}

async function demo(): Promise<void> {
  const start = performance.now();
  await bringUp();
  const { workloads } = await labStatus();
  await show(
    'In a container: an address of its own, and one gateway that no device has',
    inside('a1', 'ip', 'address', 'show', 'dev', 'eth0'),
    inside('a1', 'ip', 'route'),
  );
  await showPings(workloads);
  await show("The gateway's neighbour entry: the host's end of the wire answers", inside('a1', 'ip', 'neigh'));
  await show(
    'On the hosts: a route for each local container, and one for the other host’s block, learnt by BGP',
    inside('host-a', 'ip', 'route'),
    inside('host-b', 'ip', 'route'),
  );
  await show(
    'The BGP sessions that brought them',
    inside('host-a', 'muslin', 'bgp', 'peers'),
    inside('host-b', 'muslin', 'bgp', 'peers'),
  );
  console.log(`\nAll of this took ${took(start)}. The lab is still up. Try next, as root:

  bin/muslin lab status ${LAB}
  bin/muslin lab exec a1 -- ping 172.17.9.2
  bin/muslin lab exec host-a -- nft list ruleset
  bin/muslin lab exec host-a -- muslin bgp routes
  bin/muslin lab restart host-b                    # no packet is lost: the kernel forwards without its agent
  bin/muslin lab --help                            # attach, detach, check, …
  npm run demo -- --down`);
}

/** What of the lab is left on this machine: looked for in the kernel and the file system, not asked of muslin. */
function traces(): string[] {
  const others = ['dual-stack'].map((suffix) => `muslin-${LAB}-${suffix}-`);
  const namespaces = existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : [];
  const ours = namespaces.filter(
    (name) => name.startsWith(`muslin-${LAB}-`) && !others.some((other) => name.startsWith(other)),
  );
  const processes = readdirSync('/proc').filter(
    (entry) => /^\d+$/.test(entry) && commandLine(entry).includes(`${LAB_DIRECTORY}/`),
  );
  return [
    ...ours.map((name) => `the network namespace ${name}`),
    ...(existsSync(LAB_DIRECTORY) ? [`the directory ${LAB_DIRECTORY}`] : []),
    ...processes.map((pid) => `process ${pid}: ${commandLine(pid)}`),
  ];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // It has ended since.
  }
}

/** Takes the lab down and looks whether it is gone; true when it is. */
async function takeDown(): Promise<boolean> {
  const start = performance.now();
  const { code, output } = await run(MUSLIN, ['lab', 'down', LAB]);
  if (code === EXIT_CODE.notFound) console.log(`The lab ${LAB} was not up.`);
  else process.stdout.write(`$ muslin lab down ${LAB}      (${took(start)})\n${output}`);
  const left = traces();
  if (left.length > 0) console.error(`Left behind:\n${left.map((trace) => `  ${trace}\n`).join('')}`);
  else console.log('Nothing of it is left: no namespace, no agent, no file.');
  return left.length === 0 && (code === EXIT_CODE.ok || code === EXIT_CODE.notFound);
}

async function main(args: readonly string[]): Promise<number> {
  const [argument] = args;
  if (args.length > 1 || (argument !== undefined && argument !== '--down')) {
    console.error(`demo: "${args.join(' ')}": there is only --down`);
    return EXIT_CODE.usage;
  }
  if (process.getuid?.() !== 0) {
    console.error('demo: it makes network namespaces, which only root may: run it again with sudo');
    return EXIT_CODE.failure;
  }
  if (argument === '--down') return (await takeDown()) ? EXIT_CODE.ok : EXIT_CODE.failure;
  try {
    await demo();
    return EXIT_CODE.ok;
  } catch (error) {
    console.error(`\ndemo: ${error instanceof DemoFailed ? error.message : String(error)}; taking the lab down`);
    await takeDown();
    return interruptedBy === undefined ? EXIT_CODE.failure : 128 + constants.signals[interruptedBy];
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Once: the clean-up that follows is not to be interrupted.
    if (interruptedBy !== undefined) return;
    interruptedBy = signal;
    current?.kill('SIGTERM');
  });
}
process.exitCode = await main(process.argv.slice(2));
