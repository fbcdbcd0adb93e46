/**
 * Rules that join several resources: what one document alone cannot tell.
 *
 * Checked by whoever applies resources, against what the store holds. Pools that overlap would give one address twice, and a
 * pool that changes its cidr or block size would leave the blocks cut from it without an owner; both are refused.
 */
import { cidr, overlaps } from '../net/cidr.ts';
import type { AnyResource } from './kinds.ts';
import type { Problem } from './problem.ts';
import { keyOf } from './resource-key.ts';

/** Fields of a pool that hold for its life. */
const IMMUTABLE_POOL_FIELDS = ['cidr', 'blockSize'] as const;

/** What is wrong with putting `after` in the place of `before`. */
export function changeProblems(before: AnyResource | undefined, after: AnyResource): Problem[] {
  if (before?.kind !== 'IPPool' || after.kind !== 'IPPool') return [];
  return IMMUTABLE_POOL_FIELDS.filter((field) => before.spec[field] !== after.spec[field]).map((field) => ({
    path: ['spec', field],
    message: `cannot change from ${before.spec[field]} to ${after.spec[field]}: blocks were cut from the pool; make a new pool instead`,
  }));
}

/** What is wrong with `resource` standing beside `others` (which may hold an older form of itself). */
export function neighbourProblems(resource: AnyResource, others: Iterable<AnyResource>): Problem[] {
  if (resource.kind !== 'IPPool') return [];
  const problems: Problem[] = [];
  for (const other of others) {
    if (other.kind !== 'IPPool' || keyOf(other) === keyOf(resource)) continue;
    if (!overlaps(cidr(other.spec.cidr), cidr(resource.spec.cidr))) continue;
    const message = `"${resource.spec.cidr}" overlaps "${other.spec.cidr}" of IPPool ${other.metadata.name}; pools may not overlap`;
    problems.push({ path: ['spec', 'cidr'], message });
  }
  return problems;
}
