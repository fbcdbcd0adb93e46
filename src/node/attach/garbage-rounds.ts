/**
 * When to look for what was left behind: in rounds of half a grace time, as long as the agent runs.
 *
 * The grace time is Calico's, `controllers.node.leakGracePeriod` of the KubeControllersConfiguration "default": 15 minutes where
 * nobody says otherwise, and 0s for never. So what is left is found after one grace time and gone within one and a half.
 */
import { LEAK_GRACE_MS } from '../../ipam/check.ts';
import { wallClockNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { DEFAULT_CONFIGURATION } from '../../model/configuration-name.ts';
import { entryOfKind } from '../../model/resource-entry.ts';
import { resourceKey } from '../../model/resource-key.ts';
import { type Store, StoreError } from '../../store/store.ts';
import { AllocationError } from '../addresses/address-allocator.ts';
import { parseDurationMs } from '../bgp/peer-settings.ts';

/** A round costs a listing; nobody can mean to wait for less. */
const ROUND_MS_MIN = 500;
/** A change of the grace time is noticed within this. */
const ROUND_MS_MAX = LEAK_GRACE_MS / 2;

/** One who collects: `now` and the grace time in milliseconds. Rejects with what the store throws. */
type Collector = (now: number, graceMs: number) => Promise<void>;

/** Runs the collectors one after the other in each round, until the function that it gives is called. */
export function startGarbageRounds(store: Store, log: Log, collectors: readonly Collector[]): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let round = Promise.resolve();
  const next = (graceMs: number): void => {
    if (isClosed) return;
    const waitMs = graceMs === 0 ? ROUND_MS_MAX : Math.min(Math.max(graceMs / 2, ROUND_MS_MIN), ROUND_MS_MAX);
    timer = setTimeout(() => {
      round = collectAll().then(next);
    }, waitMs);
  };
  const collectAll = async (): Promise<number> => {
    let graceMs = LEAK_GRACE_MS;
    try {
      graceMs = await graceOf(store);
      if (graceMs === 0) return graceMs;
      for (const collect of collectors) if (!isClosed) await collect(wallClockNow(), graceMs);
    } catch (error) {
      if (!(error instanceof StoreError) && !(error instanceof AllocationError)) throw error;
      log.warn('what was left behind was not looked for', { reason: error.message });
    }
    return graceMs;
  };
  round = graceOf(store).then(next, () => next(LEAK_GRACE_MS));
  return async () => {
    isClosed = true;
    clearTimeout(timer);
    await round;
  };
}

async function graceOf(store: Store): Promise<number> {
  const entry = await store.get(resourceKey({ kind: 'KubeControllersConfiguration', name: DEFAULT_CONFIGURATION }));
  const configuration = entry && entryOfKind('KubeControllersConfiguration', entry);
  const period = configuration?.spec.controllers?.node?.leakGracePeriod;
  return (period === undefined ? undefined : parseDurationMs(period)) ?? LEAK_GRACE_MS;
}

/** Since when each of `present` has been there without a break. */
export function stillSince(
  before: ReadonlyMap<string, number>,
  present: readonly string[],
  now: number,
): ReadonlyMap<string, number> {
  return new Map(present.map((key) => [key, before.get(key) ?? now]));
}
