/**
 * Runs the tests: node scripts/run-tests.ts STAGE… [PATH…]
 *
 *   check    tsc and biome, counted as one test each
 *   pure     src/**\/*.test.ts and test/*.test.ts, all in one process: in seconds
 *   system   test/system/**\/*.test.ts, as root, one process a file and one after the other, because they share the kernel
 *
 * With paths, only test files that begin with one of them. Nothing can hang: each process has a time limit, after which it
 * and its children are killed and it counts as failed. What failed is shown in full at the end; the last line is
 * "N passed, N failed", and the exit code is 0 only if nothing failed and something passed.
 */
import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import type { TestRecord } from './test-events.ts';

const REPOSITORY = dirname(import.meta.dirname);

/** Pure tests take a minute or two all together on a slow machine; that many more are a hang, even on a busy one. */
const PURE_LIMIT_MS = 600_000;
/** A system test file starts labs and waits for protocols; ten minutes are a hang. */
const SYSTEM_LIMIT_MS = 600_000;
const CHECK_LIMIT_MS = 300_000;
/** Between asking a process to end, so that it can remove its namespaces, and ending it. */
const GRACE_MS = 10_000;
const SLOWEST_SHOWN = 8;
const SLOW_MS = 250;
/** Of a process that ended without a summary: enough to see where. */
const TAIL_LINES = 80;

interface Outcome {
  readonly title: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly milliseconds: number;
  /** What to show at the end; empty when nothing failed. */
  readonly trouble: string;
  readonly tests: readonly Extract<TestRecord, { kind: 'test' }>[];
}

type Stage = (filters: readonly string[]) => AsyncGenerator<Outcome>;

const STAGES: Readonly<Record<string, Stage>> = {
  check: checkStage,
  pure: pureStage,
  system: systemStage,
};

async function* checkStage(): AsyncGenerator<Outcome> {
  for (const command of [['tsc'], ['biome', 'check', '.']]) {
    const ended = await run(command, CHECK_LIMIT_MS);
    const failed = ended.code === 0 ? 0 : 1;
    const trouble = failed === 0 ? '' : ended.output;
    yield { ...ended, title: command.join(' '), passed: 1 - failed, failed, skipped: 0, trouble, tests: [] };
  }
}

async function* pureStage(filters: readonly string[]): AsyncGenerator<Outcome> {
  const files = filesOf(['src/**/*.test.ts', 'test/*.test.ts'], filters);
  if (files.length > 0) yield runTestFiles(`pure tests (${files.length} files)`, files, PURE_LIMIT_MS);
}

async function* systemStage(filters: readonly string[]): AsyncGenerator<Outcome> {
  const files = filesOf(['test/system/**/*.test.ts'], filters);
  if (files.length > 0 && process.getuid?.() !== 0) {
    const trouble = 'System tests make network namespaces: run them as root (pure ones: npm run test:pure).';
    yield { title: 'system tests', passed: 0, failed: 1, skipped: 0, milliseconds: 0, trouble, tests: [] };
    return;
  }
  for (const file of files) yield runTestFiles(file, [file], SYSTEM_LIMIT_MS);
}

function filesOf(patterns: readonly string[], filters: readonly string[]): string[] {
  return globSync(patterns, { cwd: REPOSITORY })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.startsWith(filter)))
    .toSorted();
}

async function runTestFiles(title: string, files: readonly string[], limitMs: number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'muslin-tests-'));
  const records = join(folder, 'records');
  try {
    const reporters = [
      ['--test-reporter=spec', '--test-reporter-destination=stdout'],
      [`--test-reporter=${join(import.meta.dirname, 'test-events.ts')}`, `--test-reporter-destination=${records}`],
    ];
    const ended = await run(['node', '--test', '--test-isolation=none', ...reporters.flat(), ...files], limitMs);
    return outcomeOf(title, readRecords(records), ended);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function outcomeOf(title: string, records: readonly TestRecord[], ended: Ended): Outcome {
  const tests = records.filter((record) => record.kind === 'test');
  const counts = records.find((record) => record.kind === 'counts');
  const { milliseconds } = ended;
  if (counts === undefined) {
    const why = ended.timedOut ? `killed after ${seconds(milliseconds)}` : `ended with ${ended.code} and no summary`;
    const trouble = `${why}; its last output:\n${tailOf(ended.output)}`;
    return { title, passed: tests.length, failed: 1, skipped: 0, milliseconds, trouble, tests };
  }
  // A process can also fail beside its tests, by an error that came when its test had ended.
  const failed = counts.failed === 0 && ended.code !== 0 ? 1 : counts.failed;
  return { ...counts, title, failed, milliseconds, trouble: failed === 0 ? '' : troubleIn(ended.output), tests };
}

/** The spec reporter's list of failures, and before it what it only notes: errors that no test awaited. */
function troubleIn(output: string): string {
  const strays = output.split('\n').filter((line) => line.includes('generated asynchronous activity'));
  const list = output.indexOf('✖ failing tests:');
  if (list >= 0) return [...strays, output.slice(list)].join('\n');
  return strays.length > 0 ? strays.join('\n') : tailOf(output);
}

function tailOf(output: string): string {
  return output.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
}

function readRecords(path: string): TestRecord[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return []; // The process ended before its reporter began.
  }
  const whole = text.split('\n').slice(0, -1);
  // Written by test-events.ts, whose type this is.
  return whole.map((line) => JSON.parse(line) as TestRecord);
}

interface Ended {
  readonly code: number | string;
  readonly output: string;
  readonly timedOut: boolean;
  readonly milliseconds: number;
}

const running = new Set<number>();

/** Runs a command in a process group of its own until it ends or its time is up. */
function run(command: readonly string[], limitMs: number): Promise<Ended> {
  const started = performance.now();
  const [program = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: REPOSITORY, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const { pid } = child;
    if (pid !== undefined) running.add(pid);
    let timedOut = false;
    let output = '';
    const collect = (chunk: string): void => {
      output += chunk;
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    const limit = setTimeout(() => {
      timedOut = true;
      signalGroup(pid, 'SIGTERM');
    }, limitMs);
    const grace = setTimeout(() => signalGroup(pid, 'SIGKILL'), limitMs + GRACE_MS);
    const end = (code: number | string): void => {
      clearTimeout(limit);
      clearTimeout(grace);
      // What a test left running would hold our pipes open, and the machine's namespaces.
      signalGroup(pid, 'SIGKILL');
      if (pid !== undefined) running.delete(pid);
      resolve({ code, output, timedOut, milliseconds: performance.now() - started });
    };
    child.on('error', (error) => end(error.message));
    child.on('exit', (code, signal) => {
      signalGroup(pid, 'SIGKILL');
      child.on('close', () => end(code ?? signal ?? 'unknown'));
    });
  });
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended.
  }
}

function countsText(counts: { readonly passed: number; readonly failed: number; readonly skipped: number }): string {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function printSlowest(outcomes: readonly Outcome[]): void {
  const slow = outcomes
    .flatMap(({ tests }) => tests)
    .filter(({ milliseconds }) => milliseconds >= SLOW_MS)
    .toSorted((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, SLOWEST_SHOWN);
  if (slow.length > 0) console.log('\nslowest tests:');
  for (const { name, file, milliseconds } of slow) {
    console.log(`  ${seconds(milliseconds).padStart(7)}  ${relative(REPOSITORY, file)}: ${name}`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const stages = args.filter((argument) => Object.hasOwn(STAGES, argument));
  const filters = args.filter((argument) => !Object.hasOwn(STAGES, argument));
  if (stages.length === 0) {
    console.error(`usage: node scripts/run-tests.ts STAGE… [PATH…]; stages: ${Object.keys(STAGES).join(', ')}`);
    return 2;
  }
  const outcomes: Outcome[] = [];
  for (const stage of stages) {
    for await (const outcome of STAGES[stage]?.(filters) ?? []) {
      outcomes.push(outcome);
      console.log(`${outcome.title}: ${countsText(outcome)} in ${seconds(outcome.milliseconds)}`);
    }
  }
  printSlowest(outcomes);
  for (const { title, trouble } of outcomes.filter(({ failed }) => failed > 0)) {
    console.log(`\n--- ${title} ---\n${trouble.trimEnd()}`);
  }
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of outcomes) {
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
  }
  console.log(`\n${countsText(sum)}`);
  return sum.failed === 0 && sum.passed > 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    for (const pid of running) signalGroup(pid, 'SIGTERM');
    process.exit(130);
  });
}
process.exitCode = await main(process.argv.slice(2));
