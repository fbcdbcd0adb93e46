/** The model of hosts that are killed, on the memory store. MODEL_SEED repeats a run that failed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryStore } from '../../store/memory.ts';
import { type ModelCounts, runAddressModel } from './address-model.suite.ts';

const SEEDS = 3;
const STEPS = 3000;

test('hosts that are killed at any moment give no address twice, and leak nothing once all is repaired', async () => {
  const first = Number(process.env['MODEL_SEED'] ?? 1);
  const runs: ModelCounts[] = [];
  for (let seed = first; seed < first + SEEDS; seed++) runs.push(await runAddressModel(openMemoryStore(), seed, STEPS));
  const sum = (name: keyof ModelCounts) => runs.reduce((total, counts) => total + counts[name], 0);
  const isBusy = sum('attached') > 200 && sum('detached') > 100 && sum('refused') > 50 && sum('killed') > 150;
  assert.ok(isBusy && sum('repaired') > 20 && sum('removed') > 0, JSON.stringify(runs));
});
