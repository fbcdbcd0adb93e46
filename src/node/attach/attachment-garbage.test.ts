/** Containers that are gone without a word: found by their devices or their runtimes, and only after the grace time. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { Log } from '../../lib/log.ts';
import { resourceKey } from '../../model/resource-key.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { AttachmentGarbage } from './attachment-garbage.ts';
import { startGarbageRounds } from './garbage-rounds.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
const GRACE_MS = 60_000;

function endpoint(name: string, runtime?: string, orchestrator = 'cni'): WorkloadEndpoint {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: {
      ...{ name, namespace: 'default', uid: `uid-${name}` },
      annotations: { 'cni.muslin.io/network': 'net', ...(runtime && { 'cni.muslin.io/runtime': runtime }) },
    },
    spec: {
      ...{ orchestrator, node: 'a', workload: name, containerID: name, endpoint: 'eth0' },
      ...{ ipNetworks: [], interfaceName: `cali-${name}` },
    },
  } as unknown as WorkloadEndpoint; // what else there is does not matter here
}

describe('containers that are gone', () => {
  let endpoints: WorkloadEndpoint[];
  let devices: Set<string>;
  let known: Map<string, boolean>;
  let detached: string[];
  let garbage: AttachmentGarbage;

  beforeEach(() => {
    endpoints = [
      endpoint('web', 'podman'),
      endpoint('db', 'podman'),
      endpoint('bare'),
      endpoint('vm', undefined, 'k8s'),
    ];
    devices = new Set(['cali-web', 'cali-db', 'cali-bare']);
    known = new Map([
      ['web', true],
      ['db', true],
    ]);
    detached = [];
    garbage = new AttachmentGarbage({
      knownEndpoints: () => endpoints,
      hasDevice: (name) => devices.has(name),
      isKnown: (_, id) => known.get(id),
      detach: async ({ containerId }) => {
        detached.push(containerId);
        endpoints = endpoints.filter(({ spec }) => spec.containerID !== containerId);
      },
      log: SILENT,
    });
  });

  const rounds = async (...times: number[]): Promise<string[]> => {
    for (const now of times) await garbage.collect(now, GRACE_MS);
    return detached;
  };

  it('are detached when their device has been gone for the grace time, and no other', async () => {
    assert.deepEqual(await rounds(0, GRACE_MS, 10 * GRACE_MS), []);
    devices.delete('cali-bare');
    assert.deepEqual(await rounds(11 * GRACE_MS, 12 * GRACE_MS - 1), []);
    assert.deepEqual(await rounds(12 * GRACE_MS, 20 * GRACE_MS), ['bare']);
  });

  it('are not when the device comes back in between', async () => {
    devices.delete('cali-bare');
    await rounds(0);
    devices.add('cali-bare');
    await rounds(GRACE_MS - 1);
    devices.delete('cali-bare');
    assert.deepEqual(await rounds(GRACE_MS, 2 * GRACE_MS - 1), []);
    assert.deepEqual(await rounds(2 * GRACE_MS), ['bare']);
  });

  it('are when their runtime has forgotten them, but not when it cannot be asked', async () => {
    known.set('web', false);
    known.delete('db');
    assert.deepEqual(await rounds(0, GRACE_MS), ['web']);
  });

  it('of another orchestrator are its own business', async () => {
    devices.clear();
    assert.deepEqual((await rounds(0, GRACE_MS)).toSorted(), ['bare', 'db', 'web']);
  });
});

describe('rounds', () => {
  const configured = async (leakGracePeriod: string) => {
    const store = openMemoryStore();
    const value = {
      ...{ apiVersion: 'projectcalico.org/v3', kind: 'KubeControllersConfiguration', metadata: { name: 'default' } },
      spec: { controllers: { node: { leakGracePeriod } } },
    };
    const key = resourceKey({ kind: 'KubeControllersConfiguration', name: 'default' });
    await store.transact({ expect: [], writes: [{ kind: 'put', key, value }] });
    return store;
  };

  it('come in the time that the configuration says, one after the other, until they are stopped', async () => {
    const store = await configured('1s');
    let running = 0;
    const graces: number[] = [];
    const { promise: twice, resolve } = Promise.withResolvers<void>();
    const stop = startGarbageRounds(store, SILENT, [
      async (_, graceMs) => {
        assert.equal(running, 0);
        running += 1;
        await Promise.resolve();
        running -= 1;
        graces.push(graceMs);
        if (graces.length === 2) resolve();
      },
    ]);
    await twice;
    await stop();
    assert.deepEqual(graces, [1000, 1000]);
  });
});
