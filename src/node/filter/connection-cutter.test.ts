import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { Chain, FilterProgram, Rule } from '../../felix/dataplane/filter/program.ts';
import { chainKey } from '../../felix/dataplane/filter/program.ts';
import type { Conntrack } from '../../kernel/conntrack.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { Log, LogData } from '../../lib/log.ts';
import type { ConntrackEntry } from '../../net/conntrack-entry.ts';
import { ip } from '../../net/ip.ts';
import { ConnectionCutter } from './connection-cutter.ts';

const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const DENY: Rule = {
  matches: [{ kind: 'protocol', protocol: 6, is: true }],
  action: { kind: 'drop' },
  comment: 'deny',
  provenance: { origin: 'GlobalNetworkPolicy no-tcp', source: 'policies.yaml:7' },
  origin: { kind: 'policy', name: 'GlobalNetworkPolicy no-tcp', tier: 'default', direction: 'ingress', index: 2 },
};

function programOf(rules: readonly Rule[]): FilterProgram {
  const chain: Chain = { table: 'filter', name: 'cali-FORWARD', hook: 'FORWARD', rules };
  return { chains: new Map([[chainKey(chain), chain]]), maps: new Map(), sets: new Map() };
}

/** From outside to the container of this number. */
function entryOf(container: number, protocol = 6): ConntrackEntry {
  const common = { protocol, icmp: undefined, zone: undefined };
  const inside = ip(`172.17.8.${container}`);
  const outside = ip('10.9.1.2');
  return {
    family: 4,
    original: { ...common, source: outside, destination: inside, sourcePort: 1000, destinationPort: 80 },
    reply: { ...common, source: inside, destination: outside, sourcePort: 80, destinationPort: 1000 },
    status: 8,
    zone: 0,
    mark: 0,
    id: container,
  };
}

describe('cutting', () => {
  let table: ConntrackEntry[] = [];
  let rules: readonly Rule[] = [];
  let enabled = true;
  /** What is called, in order: "dump", "dumped", "guard", "remove 1", and lines of the log. */
  let calls: string[] = [];
  let report: LogData | undefined;
  /** Errors that the next calls of these names meet. */
  let faults = new Map<string, KernelError>();
  let atStep: () => void = () => undefined;
  let cutter: ConnectionCutter;

  const meet = (what: string): void => {
    calls.push(what);
    const fault = faults.get(what);
    faults.delete(what);
    if (fault !== undefined) throw fault;
  };
  const conntrack: Conntrack = {
    *entries() {
      meet('dump');
      try {
        for (const entry of [...table]) {
          yield [entry];
          atStep();
        }
      } finally {
        calls.push('dumped');
      }
    },
    remove: (entry) => {
      meet(`remove ${entry.id}`);
      const before = table.length;
      table = table.filter((each) => each !== entry);
      return table.length < before;
    },
    close: () => undefined,
  };
  const guard = { run: () => meet('guard') };
  const note = (message: string, data?: LogData): void => {
    calls.push(message);
    report = data;
  };
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
  const done = (count = 1): Promise<void> => until(() => calls.filter((call) => PASS_ENDS.has(call)).length >= count);

  const PASS_ENDS = new Set(['connections judged anew', 'connections cut, which nobody may have any more']);

  async function until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 1000 && !condition(); turn++) await eventLoopTurn();
    assert.ok(condition(), `never: ${calls.join()}`);
  }

  /** The clock advances so fast that a slice is a single step. */
  const slowly = (): void => {
    let now = 0;
    mock.method(performance, 'now', () => {
      now += 100;
      return now;
    });
  };

  beforeEach(() => {
    table = [entryOf(1), entryOf(2), entryOf(3, 17)];
    rules = [DENY];
    enabled = true;
    calls = [];
    report = undefined;
    faults = new Map();
    atStep = () => undefined;
    cutter = new ConnectionCutter({
      conntrack,
      guard,
      ground: () => ({
        enabled,
        program: programOf(rules),
        world: { isLocal: () => false, deviceOf: () => 'eth0' },
        local: new Map([1, 2, 3].map((number) => [`172.17.8.${number}`, `cali${number}`])),
      }),
      log,
      random: () => 0.5,
    });
  });
  afterEach(() => {
    cutter.close();
    mock.reset();
  });

  test('guards, then removes what is denied, and says by which rule', async () => {
    cutter.policyChanged('all');
    await done();
    assert.deepEqual(calls, [
      'dump',
      'guard',
      'remove 1',
      'guard',
      'remove 2',
      'dumped',
      'connections cut, which nobody may have any more',
    ]);
    const { milliseconds, ...rest } = report ?? {};
    assert.equal(typeof milliseconds, 'number');
    const name = 'policy GlobalNetworkPolicy no-tcp ingress rule 2 (policies.yaml:7)';
    assert.deepEqual(rest, { judged: 3, cut: 2, gone: 0, refused: 0, rules: { [name]: 2 } });
    assert.deepEqual(table, [entryOf(3, 17)]);
  });

  test('judges devices that were named while it was idle, all in one pass', async () => {
    cutter.policyChanged(new Set(['cali1']));
    cutter.policyChanged(new Set(['cali3']));
    await done();
    assert.deepEqual(
      table.map(({ id }) => id),
      [2, 3],
    );
    assert.equal(calls.filter((call) => call === 'dump').length, 1);
  });

  test('a change during a pass makes one more pass, never two at once', async () => {
    slowly();
    rules = [];
    let steps = 0;
    atStep = () => {
      steps += 1;
      if (steps > 2) return;
      rules = [DENY];
      cutter.policyChanged(new Set([`cali${steps}`]));
    };
    cutter.policyChanged(new Set(['cali3']));
    await cutter.settled();
    await done(2);
    const dumps = calls.filter((call) => call === 'dump' || call === 'dumped');
    assert.deepEqual(dumps, ['dump', 'dumped', 'dump', 'dumped']);
    assert.deepEqual(
      table.map(({ id }) => id),
      [3],
    );
  });

  test('a change that changes no device is none', async () => {
    cutter.policyChanged(new Set());
    await eventLoopTurn();
    await eventLoopTurn();
    assert.deepEqual(calls, []);
  });

  test('does nothing where the operator does not want it', async () => {
    enabled = false;
    cutter.policyChanged('all');
    await done();
    assert.deepEqual(calls, ['connections judged anew']);
  });

  test('a container that is gone leaves no connection, whatever the rules are', async () => {
    enabled = false;
    rules = [];
    cutter.addressesGone(['172.17.8.2']);
    await done();
    assert.deepEqual(
      table.map(({ id }) => id),
      [1, 3],
    );
  });

  test('a table that cannot be read is said once, and read again later with what has changed since', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const warnings = () => calls.filter((call) => call.startsWith('connections not judged')).length;
    const dumps = () => calls.filter((call) => call === 'dump').length;
    faults.set('dump', new KernelError('EINVAL', 'no conntrack'));
    cutter.policyChanged(new Set(['cali1']));
    await until(() => warnings() === 1);
    faults.set('dump', new KernelError('EINVAL', 'no conntrack'));
    mock.timers.tick(1000);
    await until(() => dumps() === 2);
    cutter.policyChanged(new Set(['cali2']));
    await done();
    assert.equal(warnings(), 1);
    assert.deepEqual(
      table.map(({ id }) => id),
      [3],
    );
  });

  test('an entry that is busy or gone stops nothing', async () => {
    faults.set('remove 1', new KernelError('EBUSY', 'offloaded'));
    cutter.policyChanged('all');
    atStep = () => {
      table = table.filter(({ id }) => id !== 2); // gone between reading and removing
    };
    await done();
    assert.deepEqual([report?.['cut'], report?.['refused']], [0, 1]);
  });

  test('without its guard a connection is cut all the same', async () => {
    faults.set('guard', new KernelError('EOPNOTSUPP', 'no nftables'));
    cutter.policyChanged('all');
    await done();
    assert.deepEqual(calls.slice(0, 4), [
      'dump',
      'guard',
      'cut connections may come back by their answers',
      'remove 1',
    ]);
    assert.equal(report?.['cut'], 2);
  });

  test('closed, it stops in the middle and leaves nothing open', async () => {
    slowly();
    atStep = () => cutter.close();
    table = Array.from({ length: 3 }, (_, index) => entryOf(index + 1, 17));
    cutter.policyChanged('all');
    await until(() => calls.includes('dumped'));
    cutter.policyChanged('all');
    await eventLoopTurn();
    assert.equal(calls.filter((call) => call === 'dump').length, 1);
  });
});
