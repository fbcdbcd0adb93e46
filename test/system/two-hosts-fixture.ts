/**
 * A lab of two hosts under a name of its own, driven as a user drives it: by running `bin/muslin`.
 *
 * Nothing here reaches into the agents. What a test sees is what `ip`, `nft`, `ping` and the commands print. `eventually` waits
 * for a condition and, when it does not come, fails with the state of all hosts: routes, rules, logs.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const MUSLIN = fileURLToPath(new URL('../../bin/muslin', import.meta.url));
const TOPOLOGIES = new URL('../../labs/', import.meta.url);
/** CI shares its two cores; this is when waiting has become pointless, not how fast things should be. */
const PATIENCE_MS = 60_000;
const LOOK_AGAIN_MS = 50;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(program: string, args: readonly string[], input = ''): Outcome {
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    input,
    timeout: 2 * PATIENCE_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  return {
    code: result.status ?? -1,
    stdout: result.stdout ?? '',
    stderr: result.stderr ?? String(result.error ?? ''),
  };
}

export interface LabHost {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly inSync: boolean;
  readonly sessions: readonly { readonly state: string }[];
}

export class TestLab {
  readonly name: string;
  readonly directory: string;
  readonly file: string;
  readonly #children: ChildProcess[] = [];

  /** Writes a shipped topology under a name that nobody else has. */
  constructor(topology = 'two-hosts') {
    this.name = `t${process.pid}`;
    this.directory = mkdtempSync(join(tmpdir(), 'muslin-test-lab-'));
    this.file = join(this.directory, 'topology.yaml');
    const text = readFileSync(new URL(`${topology}.yaml`, TOPOLOGIES), 'utf8');
    assert.match(text, /^name: /m);
    writeFileSync(this.file, text.replace(/^name: .*$/m, `name: ${this.name}`));
  }

  up(): void {
    const outcome = run(MUSLIN, ['lab', 'up', this.file, '--timeout', String(PATIENCE_MS / 1000)]);
    assert.equal(outcome.code, 0, `lab up failed:\n${outcome.stdout}${outcome.stderr}`);
  }

  /** Takes the lab down, whatever state it is in, and ends what the test started in it. */
  down(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    run(MUSLIN, ['lab', 'down', this.name]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Runs a command in a host or container; fails the test when the command fails. */
  inside(entity: string, ...command: string[]): string {
    const outcome = this.tryInside(entity, ...command);
    assert.equal(outcome.code, 0, `${entity}: ${command.join(' ')}\n${outcome.stdout}${outcome.stderr}`);
    return outcome.stdout;
  }

  tryInside(entity: string, ...command: string[]): Outcome {
    return run('nsenter', [`--net=${this.namespace(entity)}`, ...command]);
  }

  /** Starts a command in a host or container, to go on beside the test. */
  spawnInside(entity: string, ...command: string[]): ChildProcess {
    const child = spawn('nsenter', [`--net=${this.namespace(entity)}`, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    return child;
  }

  namespace(entity: string): string {
    return `/run/netns/muslin-${this.name}-${entity}`;
  }

  /** Applies a file that ships below labs/ to the lab's store. */
  apply(file: string): void {
    const path = fileURLToPath(new URL(file, TOPOLOGIES));
    const outcome = this.muslin('apply', '-f', path, '--store', `sqlite:///run/muslin/lab/${this.name}/store.db`);
    assert.equal(outcome.code, 0, `${outcome.stdout}${outcome.stderr}`);
  }

  /** Whether one ping is answered within a second. */
  pings(from: string, address: string): boolean {
    return this.tryInside(from, 'ping', '-c', '1', '-W', '1', address).code === 0;
  }

  /** Runs `muslin …` on this lab. */
  muslin(...args: string[]): Outcome {
    return run(MUSLIN, args);
  }

  status(): { readonly hosts: readonly LabHost[]; readonly workloads: readonly { readonly name: string }[] } {
    const outcome = this.muslin('lab', 'status', this.name, '-o', 'json');
    assert.equal(outcome.code, 0, outcome.stderr);
    return JSON.parse(outcome.stdout);
  }

  host(name: string): LabHost {
    const host = this.status().hosts.find((each) => each.name === name);
    assert.ok(host !== undefined, `no host ${name}`);
    return host;
  }

  /** Kills a host's agent as the kernel's out-of-memory killer would, and waits until it is gone. */
  async killAgent(host: string): Promise<void> {
    const { pid } = this.host(host);
    process.kill(pid, 'SIGKILL');
    await this.eventually(`agent ${pid} is gone`, () => !isRunning(pid));
  }

  /** Kills whatever a host or router runs, and waits until it is gone. */
  async killMachine(name: string): Promise<void> {
    const state = JSON.parse(readFileSync(`/run/muslin/lab/${this.name}/state.json`, 'utf8'));
    const pids: number[] = [state.agents[name] ?? state.programs[name]].flat().map(({ pid }: { pid: number }) => pid);
    assert.ok(pids.length > 0, name);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await this.eventually(`what ${name} runs is gone`, () => !pids.some(isRunning));
  }

  restart(host: string): void {
    const outcome = this.muslin('lab', 'restart', host, '--lab', this.name);
    assert.equal(outcome.code, 0, `${outcome.stdout}${outcome.stderr}`);
  }

  /** The host's routes, a line each, in order; trailing blanks removed. */
  routes(entity: string, ...selection: string[]): string[] {
    const text = this.inside(entity, 'ip', ...(selection.length > 0 ? selection : ['route']));
    return text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .sort();
  }

  /** The host's packet filter without counters, which change by themselves. */
  rules(host: string): string {
    return this.inside(host, 'nft', '-s', 'list', 'ruleset');
  }

  /** Waits until `condition` holds (throwing counts as not yet); fails with the state of the hosts. */
  async eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    let last = '';
    while (performance.now() < deadline) {
      try {
        if (await condition()) return;
        last = '';
      } catch (error) {
        last = String(error);
      }
      await pause(LOOK_AGAIN_MS);
    }
    assert.fail(`${what}: not after ${PATIENCE_MS / 1000} s. ${last}\n${this.dump()}`);
  }

  /** For `afterEach`: what the hosts were like when a test failed. */
  dumpAfterFailure(context: object): void {
    if ('passed' in context && context.passed === false) console.error(this.dump());
  }

  /** What a person would look at first. */
  dump(): string {
    const hosts = this.status().hosts.map(({ name, logFile }) => {
      const shown = [
        ['ip', 'route'],
        ['ip', '-6', 'route'],
        ['ip', 'link'],
        ['nft', '-s', 'list', 'ruleset'],
      ];
      const texts = shown.map((command) => `$ ${command.join(' ')}\n${this.tryInside(name, ...command).stdout}`);
      return `== ${name}\n${texts.join('')}${readFileSync(logFile, 'utf8').split('\n').slice(-30).join('\n')}`;
    });
    return hosts.join('\n');
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
