/** The report of a node: what it says, how large it is, and when it is written. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { instant } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { Store } from '../../store/store.ts';
import { STATUS_PREFIX } from '../../store/store.ts';
import type { PolicyView } from '../control-api.ts';
import { policyReport, readPolicyReport } from './policy-report.ts';
import { PolicyReporter } from './policy-reporter.ts';

const WRITER = { node: 'host-a', pid: 7, at: '2020-01-01T00:00:00Z' };

function view(name: string, packets: number | undefined, more: Partial<PolicyView> = {}): PolicyView {
  return {
    ...{ policy: `GlobalNetworkPolicy ${name}`, tier: 'default', staged: false, selector: 'all()', endpoints: 2 },
    ...{ revision: '5', since: undefined, error: '', file: undefined, egress: [] },
    ingress: [{ action: 'deny', file: undefined, packets }],
    ...more,
  };
}

describe('a report', () => {
  it('says of each policy what is known, in order of names', () => {
    const views = [
      view('b', undefined),
      view('a', 3),
      view('c', 1, { revision: undefined, error: 'no memory' }),
      view('s', 4, { staged: true }),
    ];
    const leftOut = Array.from({ length: 12 }, (_, index) => `rule ${index}`);
    const { policies, omitted } = policyReport(WRITER, views, new Map([['GlobalNetworkPolicy b', leftOut]]));
    assert.deepEqual(
      [policies, omitted],
      [
        [
          { policy: 'GlobalNetworkPolicy a', endpoints: 2, revision: '5', ingress: [3], egress: [] },
          { policy: 'GlobalNetworkPolicy b', endpoints: 2, revision: '5', leftOut: leftOut.slice(0, 10), egress: [] },
          { policy: 'GlobalNetworkPolicy c', endpoints: 2, error: 'no memory', ingress: [1], egress: [] },
          { policy: 'GlobalNetworkPolicy s', endpoints: 2, revision: '5' },
        ],
        0,
      ],
    );
  });

  it('is read back as it was written, and never grows beyond what a store takes', () => {
    const many = Array.from({ length: 20_000 }, (_, index) => view(`policy-${index}`, index));
    const report = policyReport(WRITER, many, new Map());
    const text = JSON.stringify(report);
    assert.ok(text.length < 600_000, String(text.length));
    assert.equal(report.policies.length + report.omitted, many.length);
    assert.deepEqual(readPolicyReport(JSON.parse(text)), report);
  });

  for (const value of [null, 'x', [], {}, { ...WRITER, omitted: 0 }, { ...WRITER, omitted: 0, policies: {} }]) {
    it(`is not ${JSON.stringify(value)}`, () => assert.equal(readPolicyReport(value), undefined));
  }

  it('of another version is read as far as it makes sense', () => {
    const policies = [1, { policy: 'p' }, { policy: 'p', endpoints: 1, ingress: ['x'], leftOut: [1], more: true }];
    const report = readPolicyReport({ ...WRITER, omitted: 0, policies });
    assert.deepEqual(report?.policies, [{ policy: 'p', endpoints: 1 }]);
  });
});

describe('reporting', () => {
  let store: Store;
  let views: PolicyView[] | undefined;
  let counted: number;
  let intervalMs: number;
  let warnings: number;
  let reporter: PolicyReporter;
  const log: Log = {
    ...{ debug: () => undefined, info: () => undefined, error: () => undefined, child: () => log },
    warn: () => {
      warnings += 1;
    },
  };

  beforeEach(() => {
    store = openMemoryStore();
    [views, counted, intervalMs, warnings] = [[view('a', 1)], 0, 30_000, 0];
    reporter = new PolicyReporter({
      ...{ store, node: 'host-a', log },
      views: (withHits) => {
        if (withHits) counted += 1;
        return withHits ? views : views?.map((each) => ({ ...each, ingress: [] }));
      },
      leftOut: () => new Map(),
      intervalMs: () => intervalMs,
    });
  });

  const written = async (): Promise<number> => (await store.list(STATUS_PREFIX)).revision;
  /** The seconds, of those looked at, in which something was written. */
  const writes = async (...seconds: readonly number[]): Promise<number[]> => {
    const found: number[] = [];
    for (const second of seconds) {
      const before = await written();
      await reporter.look(instant(1_000_000 + second * 1_000));
      if ((await written()) !== before) found.push(second);
    }
    return found;
  };

  it('is silent until there is something to report, then reports at once, and then only changes', async () => {
    views = undefined;
    assert.deepEqual(await writes(0, 1), []);
    views = [view('a', 1)];
    assert.deepEqual(await writes(2, 3, 12, 20, 31), [2]);
    views = [view('a', 1, { revision: '6' })];
    assert.deepEqual(await writes(32, 33), [32]);
    views = [view('a', 1, { revision: '7' })];
    assert.deepEqual(await writes(34, 41, 42, 43), [42], 'ten seconds after the one before');
    const report = readPolicyReport((await store.get(`${STATUS_PREFIX}host-a`))?.value);
    assert.deepEqual([report?.policies[0]?.revision, report?.pid], ['7', process.pid]);
  });

  it('counts packets once in an interval, and tells when there were any', async () => {
    assert.deepEqual(await writes(0), [0]);
    views = [view('a', 2)];
    assert.deepEqual([await writes(12, 20, 29), counted], [[], 1]);
    assert.deepEqual(await writes(30, 31), [30]);
    assert.deepEqual([await writes(45, 59, 61, 70), counted], [[], 3]);
  });

  it('is off with an interval of 0', async () => {
    intervalMs = 0;
    assert.deepEqual(await writes(0, 60), []);
  });

  it('tries again when the store is away', async () => {
    const { transact } = store;
    store.transact = () => Promise.reject(new Error('away'));
    await reporter.look(instant(1_000_000));
    store.transact = transact.bind(store);
    assert.deepEqual([await writes(5, 10), warnings], [[10], 1]);
  });

  it('ends when it is told to', async () => {
    const stopping = new AbortController();
    const running = reporter.run(stopping.signal);
    stopping.abort();
    await running;
  });
});
