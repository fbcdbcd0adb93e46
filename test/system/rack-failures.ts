/**
 * Failures of a rack's switch, and what its traffic notices of them.
 *
 * Flows are pings between many containers, so that some of them take the way that is about to fail, whatever the kernel's hash
 * makes of their addresses; that they do is counted at the switch. An outage is the longest time between two answers of
 * a flow. How long it may be is the caller's to say, what it was is for people to read.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Family } from '../../src/net/ip.ts';
import { run, type TestLab } from './two-hosts-fixture.ts';

const INTERVAL_SECONDS = 0.05;
/** So many answers in a row from a flow, and it goes on. */
const ANSWERS_IN_A_ROW = 10;

interface Flow {
  readonly title: string;
  readonly process: ChildProcess;
  /** When each answer came, in seconds. */
  readonly answeredAt: number[];
  lastSequence: number;
}

export class Flows {
  readonly #lab: TestLab;
  readonly #flows: Flow[];

  /** Begins pinging from each to each. */
  constructor(lab: TestLab, from: readonly string[], to: readonly string[]) {
    this.#lab = lab;
    this.#flows = from.flatMap((source) => to.map((address) => startFlow(lab, source, address)));
  }

  /** Waits until every flow goes on: it has answers to packets that were sent from now on. */
  async goOn(): Promise<void> {
    const before = this.#flows.map(({ lastSequence }) => lastSequence);
    await this.#lab.eventually('all flows go on', () =>
      this.#flows.every(({ lastSequence }, index) => lastSequence > (before[index] ?? 0) + ANSWERS_IN_A_ROW),
    );
  }

  /** The longest time that a flow was without an answer, and the answers that are missing in all. */
  stop(): { readonly outageMs: number; readonly lost: number } {
    let longest = 0;
    let lost = 0;
    for (const { process, answeredAt, lastSequence } of this.#flows) {
      process.kill('SIGINT');
      lost += lastSequence - answeredAt.length;
      for (const [index, at] of answeredAt.entries()) longest = Math.max(longest, at - (answeredAt[index - 1] ?? at));
    }
    return { outageMs: Math.round(Math.max(longest - INTERVAL_SECONDS, 0) * 1000), lost };
  }
}

function startFlow(lab: TestLab, from: string, address: string): Flow {
  const process = lab.spawnInside(from, 'ping', '-D', '-n', '-i', String(INTERVAL_SECONDS), address);
  const flow: Flow = { title: `${from} to ${address}`, process, answeredAt: [], lastSequence: 0 };
  assert.ok(process.stdout !== null);
  createInterface({ input: process.stdout }).on('line', (line) => {
    const answer = /^\[([\d.]+)\] \d+ bytes from .* icmp_seq=(\d+) /.exec(line);
    if (answer === null) return;
    flow.answeredAt.push(Number(answer[1]));
    flow.lastSequence = Number(answer[2]);
  });
  return flow;
}

/** Packets of a family that a machine has forwarded. */
export function forwarded(lab: TestLab, machine: string, family: Family): number {
  // "Ip: Forwarding DefaultTTL …" with its values in the next line; for IPv6 a name and a value in each.
  if (family === 6) {
    const counters = lab.inside(machine, 'cat', '/proc/net/snmp6');
    return Number(/^Ip6OutForwDatagrams\s+(\d+)$/m.exec(counters)?.[1]);
  }
  const [names, values] = lab
    .inside(machine, 'cat', '/proc/net/snmp')
    .split('\n')
    .filter((line) => line.startsWith('Ip: '))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf('ForwDatagrams') ?? -1]);
}

/** Cuts a machine's cable to a segment, or mends it: the segment's port goes down, and so both ends are without a carrier. */
export function setCable(lab: TestLab, machine: string, device: string, segment: string, state: 'up' | 'down'): void {
  const outcome = run('nsenter', [
    `--net=${lab.namespace(segment)}`,
    ...['ip', 'link', 'set', `${machine}-${device}`, state],
  ]);
  assert.equal(outcome.code, 0, outcome.stderr);
}

/** Lines of `ip monitor route` about a prefix, from now on. */
export function watchRoutes(lab: TestLab, machine: string, prefix: string): readonly string[] {
  const lines: string[] = [];
  const monitor = lab.spawnInside(machine, 'ip', '-o', 'monitor', 'route');
  assert.ok(monitor.stdout !== null);
  createInterface({ input: monitor.stdout }).on('line', (line) => {
    if (line.includes(prefix)) lines.push(line);
  });
  return lines;
}
