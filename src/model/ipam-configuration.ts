/**
 * IPAMConfiguration: what holds for the assignment of addresses in the whole network.
 *
 * With `strictAffinity` a node takes addresses from its own blocks alone. Two combinations would leave nodes without
 * addresses by surprise and are refused, as Calico does: a bound on blocks, or blocks made by hand only, while nodes may
 * borrow from each other.
 */
import { z } from 'zod';
import { soleNameProblem } from './configuration-name.ts';
import { mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import type { Resource } from './resource.ts';

/** Calico's bound: addresses that rest longer than this would starve small pools. */
const COOLDOWN_SECONDS_MAX = 1200;

/** A 32-bit integer in Calico's API. */
const BLOCKS_MAX = 0x7fffffff;

const spec = mapping({
  strictAffinity: z.boolean().default(false),
  /** 0 stands for the built-in bound. */
  maxBlocksPerHost: z.int().min(0).max(BLOCKS_MAX).default(0),
  autoAllocateBlocks: z.boolean().default(true),
  kubeVirtVMAddressPersistence: z.enum(['Enabled', 'Disabled']).exactOptional(),
  ipCooldownSeconds: z.int().min(0).max(COOLDOWN_SECONDS_MAX).exactOptional(),
});

export type IpamConfigurationSpec = Readonly<z.infer<typeof spec>>;
export type IpamConfiguration = Resource<'IPAMConfiguration', IpamConfigurationSpec>;

function check({ spec }: IpamConfiguration): Problem[] {
  if (spec.strictAffinity) return [];
  const problems: Problem[] = [];
  if (spec.maxBlocksPerHost !== 0) {
    const message = `${spec.maxBlocksPerHost} needs strictAffinity: true; without it nodes borrow addresses, and it must be 0`;
    problems.push({ path: ['spec', 'maxBlocksPerHost'], message });
  }
  if (!spec.autoAllocateBlocks) {
    const message = 'false needs strictAffinity: true; without it blocks must be made when they are needed';
    problems.push({ path: ['spec', 'autoAllocateBlocks'], message });
  }
  return problems;
}

export const ipamConfigurationKind = kindOf<'IPAMConfiguration', IpamConfigurationSpec>({
  kind: 'IPAMConfiguration',
  plural: 'ipamconfigurations',
  shortNames: ['ipamconfig', 'ipamconfigs'],
  namespaced: false,
  spec: spec.prefault({}),
  nameProblem: soleNameProblem,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'STRICTAFFINITY', cell: ({ spec }) => String(spec.strictAffinity) },
    { title: 'MAXBLOCKSPERHOST', cell: ({ spec }) => String(spec.maxBlocksPerHost) },
    { title: 'AUTOALLOCATEBLOCKS', cell: ({ spec }) => String(spec.autoAllocateBlocks), wide: true },
    { title: 'COOLDOWN', cell: ({ spec }) => String(spec.ipCooldownSeconds ?? ''), wide: true },
  ],
});
