import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterShape } from './sample-clusters.ts';
import type { ScaleResult } from './scale.ts';
import { LATENCY_MS, runScenario } from './scale.ts';

const HOSTS = 100;
const PAIRS = 2;
const RACKS = 4;
/** First dials are spread over 200 ms; a session takes three round trips, a route one way for each speaker that it passes. */
const COLD_START_MS_MAX = 210;
/** BFD between nodes: 3 packets of 300 ms. */
const DETECTION_MS = 900;

interface Row {
  readonly shape: ClusterShape;
  readonly sessions: number;
  readonly hostPaths: number;
  /** Where attributes are those of a host, or of its rack. */
  readonly hostSets: number;
  /** Speakers that tell the hosts that one is gone. */
  readonly hostLossUpdates: number;
}

const CORE = (RACKS * (RACKS - 1)) / 2;

const ROWS: readonly Row[] = [
  {
    shape: { kind: 'mesh' },
    sessions: (HOSTS * (HOSTS - 1)) / 2,
    hostPaths: HOSTS,
    hostSets: HOSTS,
    hostLossUpdates: 0, // nobody has to be told, as everybody has seen it
  },
  {
    shape: { kind: 'reflectors', pairs: PAIRS },
    sessions: 2 * HOSTS + (2 * PAIRS * (2 * PAIRS - 1)) / 2,
    hostPaths: 1 + 2 * (HOSTS - 1),
    hostSets: 1 + 2 * (HOSTS - 1),
    hostLossUpdates: 2 * (HOSTS - 1),
  },
  {
    shape: { kind: 'racks', hostsPerRack: HOSTS / RACKS },
    sessions: HOSTS + CORE,
    hostPaths: HOSTS,
    hostSets: HOSTS / RACKS + RACKS - 1, // itself and its neighbours one each, every other rack one
    hostLossUpdates: HOSTS - 1,
  },
];

function run(shape: ClusterShape, listenersMax = HOSTS): ScaleResult {
  const world = { stopwatch: () => 0, onStage: () => undefined };
  return runScenario({ hosts: HOSTS, shape, containers: 50, listenersMax }, world);
}

for (const { shape, sessions, hostPaths, hostSets, hostLossUpdates } of ROWS) {
  test(`${HOSTS} hosts have as many sessions and paths as follows from their shape: ${shape.kind}`, () => {
    const { host, coldStart, hostLoss, hubLoss, ...result } = run(shape);
    assert.equal(result.sessions, sessions);
    assert.deepEqual([host.paths, host.attributeSets], [hostPaths, hostSets]);
    assert.ok(coldStart.ms < COLD_START_MS_MAX, `${coldStart.ms} ms`);
    assert.ok(hostLoss.updates >= hostLossUpdates, `${hostLoss.updates} UPDATEs tell of it`);
    for (const phase of [hostLoss, hubLoss]) {
      if (phase === undefined) continue;
      assert.ok(phase.ms >= DETECTION_MS && phase.ms < DETECTION_MS + 10 * LATENCY_MS, `${phase.ms} ms`);
    }
  });

  test(`what is measured does not depend on how many hosts take in what they are told: ${shape.kind}`, () => {
    const [all, some] = [run(shape), run(shape, 10)];
    assert.deepEqual([all.listeners, some.listeners], [HOSTS, 10]);
    // The very last to hear of something may be one that does not listen.
    const distanceMs = all.coldStart.ms - some.coldStart.ms;
    assert.ok(distanceMs >= 0 && distanceMs <= LATENCY_MS * 1.01, `${distanceMs} ms`);
    const coldStart = { ...some.coldStart, ms: all.coldStart.ms };
    assert.deepEqual({ ...some, listeners: all.listeners, coldStart }, all);
  });
}
