/**
 * Reading a survey of all addresses from the store, and carrying repairs out.
 *
 * One listing has everything at one revision, so no lock is needed. Each repair is one transaction that happens only when all
 * that it stands on is as it was read; where somebody was faster it is left, and the next pass decides on what is there
 * then. Called by the commands for IPAM and by the agent.
 */
import type { CheckTime } from '../../ipam/check.ts';
import { check } from '../../ipam/check.ts';
import type { Finding, Found } from '../../ipam/finding.ts';
import type { Plan } from '../../ipam/plan.ts';
import { SURVEYED_KINDS, Survey } from '../../ipam/survey.ts';
import type { AnyResource } from '../../model/kinds.ts';
import { resourceOfEntry } from '../../model/resource-entry.ts';
import { parseResourceKey, RESOURCES_PREFIX } from '../../model/resource-key.ts';
import type { Store } from '../../store/store.ts';

/** Each pass repairs what the one before has laid open: a record, then the leak that it counts, then the block. */
const PASSES_MAX = 10;

export async function readSurvey(store: Store): Promise<Survey> {
  const kinds = new Set<string>(SURVEYED_KINDS);
  const resources: AnyResource[] = [];
  const unreadable: string[] = [];
  for (const entry of (await store.list(RESOURCES_PREFIX)).entries) {
    if (!kinds.has(parseResourceKey(entry.key)?.kind ?? '')) continue;
    const reading = resourceOfEntry(entry);
    if (reading.ok) resources.push(reading.resource);
    else unreadable.push(entry.key);
  }
  return new Survey(resources, unreadable);
}

/** Carries a plan out and tells the survey of it; false when something has changed since the survey. */
export async function carryOut(store: Store, survey: Survey, plan: Plan): Promise<boolean> {
  const result = await store.transact(plan);
  if (!result.ok) return false;
  for (const write of plan.writes) {
    if (write.kind === 'remove') {
      survey.remove(write.key);
      continue;
    }
    const reading = resourceOfEntry({ ...write, revision: result.revision });
    if (reading.ok) survey.put(reading.resource);
  }
  return true;
}

export interface Repairs {
  /** What was repaired, in order. */
  readonly done: readonly Finding[];
  /** What is there still. */
  readonly left: readonly Finding[];
}

/** Repairs what can be repaired, until nothing can. */
export async function repair(store: Store, time: CheckTime): Promise<Repairs> {
  const done: Finding[] = [];
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    const survey = await readSurvey(store);
    const found = check(survey, time);
    const before = done.length;
    for (const each of found) if (await repaired(store, survey, each)) done.push(each.finding);
    if (done.length === before && !found.some((each) => each.repair !== undefined)) {
      return { done, left: found.map(({ finding }) => finding) };
    }
  }
  return { done, left: check(await readSurvey(store), time).map(({ finding }) => finding) };
}

async function repaired(store: Store, survey: Survey, found: Found): Promise<boolean> {
  const plan = found.repair?.(survey);
  return plan !== undefined && plan.writes.length > 0 && (await carryOut(store, survey, plan));
}
