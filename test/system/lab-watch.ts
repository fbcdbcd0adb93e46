/**
 * What happens in a lab while it is changed: when routes come and go on its hosts, and whether pings get lost.
 *
 * Times are the kernel's events as `ip -ts monitor` stamps them, on the machine's one clock; they are measured and reported,
 * not asserted. Pings are numbered: one that is missing below the last that was answered is lost, so what is under way at the
 * end does not count.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { TestLab } from './two-hosts-fixture.ts';

interface Happening {
  readonly entity: string;
  /** Milliseconds since 1970, with a fraction. */
  readonly at: number;
  readonly text: string;
}

/** In a table of its own, which nobody else reads; made and removed until the monitor has shown it. */
const MARK = ['192.0.2.77', 'dev', 'lo', 'table', '4077'];

export class RouteWatch {
  readonly #lab: TestLab;
  readonly #happenings: Happening[] = [];

  private constructor(lab: TestLab) {
    this.#lab = lab;
  }

  /** Resolves once every monitor is listening. */
  static async of(lab: TestLab, entities: readonly string[]): Promise<RouteWatch> {
    const watch = new RouteWatch(lab);
    for (const entity of entities) watch.#monitor(entity);
    await lab.eventually('the monitors listen', () => {
      const deaf = entities.filter((entity) => !watch.#happenings.some((each) => each.entity === entity));
      for (const entity of deaf) {
        lab.inside(entity, 'ip', 'route', 'add', ...MARK);
        lab.inside(entity, 'ip', 'route', 'del', ...MARK);
      }
      return deaf.length === 0;
    });
    return watch;
  }

  #monitor(entity: string): void {
    const monitor = this.#lab.spawnInside(entity, 'ip', '-ts', 'monitor', 'route', 'link');
    let rest = '';
    monitor.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [, stamp, text] = /^\[([^\]]+)\]\s*(?:\[\w+\])?(.*)$/.exec(line) ?? [];
        if (stamp !== undefined && text !== undefined) this.#happenings.push({ entity, at: Date.parse(stamp), text });
      }
    });
  }

  /** When the last of the entities has seen a line that fits, once all have. */
  async last(entities: readonly string[], pattern: RegExp): Promise<number> {
    const timesOf = (entity: string) =>
      this.#happenings.filter((each) => each.entity === entity && pattern.test(each.text)).map(({ at }) => at);
    await this.#lab.eventually(`${entities} have seen ${pattern}`, () =>
      entities.every((entity) => timesOf(entity).length > 0),
    );
    return Math.max(...entities.flatMap(timesOf));
  }
}

interface PingCount {
  readonly pair: string;
  readonly answered: number;
  readonly lost: readonly number[];
}

export class PingWatch {
  readonly #pairs: {
    readonly pair: string;
    readonly child: ChildProcess;
    readonly seen: Set<number>;
  }[] = [];

  /** Fifty pings a second between every two of the workloads. */
  constructor(lab: TestLab, workloads: Readonly<Record<string, string>>) {
    const all = Object.entries(workloads);
    for (const [index, [from]] of all.entries()) {
      for (const [to, address] of all.slice(index + 1)) {
        const child = lab.spawnInside(from, 'ping', '-n', '-i', '0.02', address);
        const seen = new Set<number>();
        let rest = '';
        child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) {
            const sequence = /bytes from .*icmp_seq=(\d+)/.exec(line)?.[1];
            if (sequence !== undefined) seen.add(Number(sequence));
          }
        });
        this.#pairs.push({ pair: `${from} to ${to}`, child, seen });
      }
    }
  }

  /** How many answers the pair with the fewest has. */
  fewest(): number {
    return Math.min(...this.#pairs.map(({ seen }) => seen.size));
  }

  async stop(): Promise<PingCount[]> {
    const ended = this.#pairs.map(({ child }) => once(child, 'close'));
    for (const { child } of this.#pairs) child.kill('SIGINT');
    await Promise.all(ended);
    return this.#pairs.map(({ pair, seen }) => {
      const last = Math.max(0, ...seen);
      const lost = Array.from({ length: last }, (_, index) => index + 1).filter((sequence) => !seen.has(sequence));
      return { pair, answered: seen.size, lost };
    });
  }
}
