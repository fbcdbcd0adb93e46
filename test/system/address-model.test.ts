/** The model of hosts that are killed between any two calls, on a real etcd. MODEL_SEED repeats a run that failed. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { runAddressModel } from '../../src/node/addresses/address-model.suite.ts';
import { openEtcdStore } from '../../src/store/etcd.ts';
import { TestEtcd } from './etcd-fixture.ts';

const STEPS = 800;
const TEST_MS = 120_000;

test('on etcd, no address is given twice and none is leaked', { timeout: TEST_MS }, async () => {
  const etcd = await TestEtcd.start();
  const store = openEtcdStore(`etcd://${etcd.endpoints}/test`, {});
  after(async () => {
    await store.close();
    await etcd.remove();
  });
  const counts = await runAddressModel(store, Number(process.env['MODEL_SEED'] ?? 1), STEPS);
  assert.ok(counts.attached > 20 && counts.killed > 10, JSON.stringify(counts));
});
