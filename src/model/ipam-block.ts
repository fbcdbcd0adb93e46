/**
 * IPAMBlock: a slice of a pool, and which of its addresses are taken.
 *
 * A block belongs to the node in `affinity` and is announced by it as one route. `allocations` has an entry for
 * each address in order: null when free, else an index into `attributes`. `unallocated` is a queue of the free places, so
 * that the address freed last is given out last. Every change is a compare-and-swap on the block's entry, which is
 * what keeps two nodes from assigning one address. The block's name follows from its cidr (resource-key.ts).
 */
import { z } from 'zod';
import { countOf, cidr as parsedCidr } from '../net/cidr.ts';
import { addressBits } from '../net/ip.ts';
import { cidrField, mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import type { Resource } from './resource.ts';
import { cidrName } from './resource-key.ts';

const ordinal = z.int().min(0);

const spec = mapping({
  cidr: cidrField(),
  /** "host:<node>", or null once the owner has given the block up with addresses still in use. */
  affinity: z
    .string()
    .regex(/^host:[a-z0-9.-]+$/, 'must be host:NODE')
    .nullable(),
  allocations: z.array(ordinal.nullable()).readonly(),
  unallocated: z.array(ordinal).readonly(),
  attributes: z
    .array(mapping({ handle_id: z.string(), secondary: z.record(z.string(), z.string()).default({}) }))
    .readonly(),
  deleted: z.boolean().default(false),
});

export type IpamBlockSpec = Readonly<z.infer<typeof spec>>;
export type IpamBlock = Resource<'IPAMBlock', IpamBlockSpec>;

function check({ metadata, spec }: IpamBlock): Problem[] {
  const problems: Problem[] = [];
  const prefix = parsedCidr(spec.cidr);
  const size = countOf(prefix, addressBits(prefix.address.family));
  if (metadata.name !== cidrName(spec.cidr)) {
    problems.push({ path: ['metadata', 'name'], message: `must be ${cidrName(spec.cidr)}, after the cidr` });
  }
  if (spec.allocations.length !== size) {
    problems.push({ path: ['spec', 'allocations'], message: `must have ${size} entries, one an address` });
  }
  for (const [index, attribute] of spec.allocations.entries()) {
    if (attribute === null || attribute < spec.attributes.length) continue;
    problems.push({ path: ['spec', 'allocations', index], message: `${attribute} is no index into attributes` });
  }
  const free = new Set(spec.unallocated);
  const isPartition =
    free.size === spec.unallocated.length && spec.allocations.every((a, i) => (a === null) === free.has(i));
  if (!isPartition)
    problems.push({ path: ['spec', 'unallocated'], message: 'must hold each free ordinal once, no other' });
  return problems;
}

export const ipamBlockKind = kindOf<'IPAMBlock', IpamBlockSpec>({
  kind: 'IPAMBlock',
  plural: 'ipamblocks',
  shortNames: ['block', 'blocks'],
  namespaced: false,
  writeRefusal: 'it records which addresses are in use; agents keep it in step with the containers',
  spec,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'CIDR', cell: ({ spec }) => spec.cidr },
    { title: 'AFFINITY', cell: ({ spec }) => spec.affinity ?? '(none)' },
    { title: 'USED', cell: ({ spec }) => String(spec.allocations.length - spec.unallocated.length) },
    { title: 'FREE', cell: ({ spec }) => String(spec.unallocated.length) },
  ],
});
