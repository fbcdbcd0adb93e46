/**
 * IPPool: a prefix from which containers get addresses, and how traffic to those addresses travels.
 *
 * IPAM cuts the pool into blocks of `blockSize`, and hands blocks to nodes that `nodeSelector` allows. `ipipMode` and
 * `vxlanMode` choose the tunnel: never, always, or only between subnets. Pools may not overlap and keep their cidr and
 * blockSize for life; both are checked by whoever applies them, since one document cannot tell.
 */
import { z } from 'zod';
import { cidr, overlaps } from '../net/cidr.ts';
import { cidrField, mapping, selectorField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import type { Resource } from './resource.ts';

const encapsulationMode = z.enum(['Never', 'Always', 'CrossSubnet']);

/** Prefix lengths of a block: the default and the range, by family. */
const BLOCK_SIZE = { 4: { default: 26, min: 20, max: 32 }, 6: { default: 122, min: 116, max: 128 } } as const;

const LINK_LOCAL = [cidr('169.254.0.0/16'), cidr('fe80::/10')];

const spec = mapping({
  cidr: cidrField(),
  vxlanMode: encapsulationMode.default('Never'),
  ipipMode: encapsulationMode.default('Never'),
  natOutgoing: z.boolean().default(false),
  disabled: z.boolean().default(false),
  disableBGPExport: z.boolean().default(false),
  blockSize: z.int().exactOptional(),
  nodeSelector: selectorField().default('all()'),
  namespaceSelector: selectorField().exactOptional(),
  allowedUses: z.array(z.enum(['Workload', 'Tunnel', 'LoadBalancer'])).default(['Workload', 'Tunnel']),
  assignmentMode: z.enum(['Automatic', 'Manual']).default('Automatic'),
}).transform((fields) => ({
  ...fields,
  blockSize: fields.blockSize ?? BLOCK_SIZE[cidr(fields.cidr).address.family].default,
}));

export type IpPoolSpec = Readonly<z.infer<typeof spec>>;
export type IpPool = Resource<'IPPool', IpPoolSpec>;

function check({ spec }: IpPool): Problem[] {
  const problems: Problem[] = [];
  const wrong = (field: keyof IpPoolSpec, message: string) => problems.push({ path: ['spec', field], message });
  const pool = cidr(spec.cidr);
  const family = pool.address.family;
  const { min, max } = BLOCK_SIZE[family];
  if (LINK_LOCAL.some((prefix) => overlaps(prefix, pool))) {
    wrong('cidr', `"${spec.cidr}" overlaps the link-local range, which routers do not forward; choose another prefix`);
  }
  if (spec.blockSize < min || spec.blockSize > max) {
    wrong('blockSize', `${spec.blockSize} is outside ${min} to ${max}, the block sizes of IPv${family}`);
  } else if (spec.blockSize < pool.length) {
    wrong(
      'blockSize',
      `a block of /${spec.blockSize} does not fit in ${spec.cidr}; write ${Math.max(pool.length, min)} or more`,
    );
  }
  if (spec.ipipMode !== 'Never' && family === 6) wrong('ipipMode', 'IPIP carries IPv4 only; use vxlanMode for IPv6');
  if (spec.ipipMode !== 'Never' && spec.vxlanMode !== 'Never') {
    wrong('vxlanMode', `excludes ipipMode ${spec.ipipMode}; set one of the two to Never`);
  }
  if (spec.allowedUses.length === 0) wrong('allowedUses', 'must name at least one use: Workload, Tunnel, LoadBalancer');
  if (spec.allowedUses.includes('LoadBalancer')) problems.push(...checkLoadBalancer(spec));
  return problems;
}

/** Addresses of load balancers belong to no node: nothing that is about nodes or tunnels makes sense for them. */
function checkLoadBalancer(spec: IpPoolSpec): Problem[] {
  const rules: readonly (readonly [keyof IpPoolSpec, boolean, string])[] = [
    ['allowedUses', spec.allowedUses.length === 1, 'must be [LoadBalancer] alone, without Workload and Tunnel'],
    ['ipipMode', spec.ipipMode === 'Never', 'must be Never in a LoadBalancer pool'],
    ['vxlanMode', spec.vxlanMode === 'Never', 'must be Never in a LoadBalancer pool'],
    ['nodeSelector', spec.nodeSelector === 'all()', 'must be all() in a LoadBalancer pool'],
    ['disableBGPExport', !spec.disableBGPExport, 'must be false in a LoadBalancer pool'],
  ];
  return rules.flatMap(([field, holds, message]) => (holds ? [] : [{ path: ['spec', field], message }]));
}

export const ipPoolKind = kindOf<'IPPool', IpPoolSpec>({
  kind: 'IPPool',
  plural: 'ippools',
  shortNames: ['ipp', 'pool'],
  namespaced: false,
  spec,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'CIDR', cell: ({ spec }) => spec.cidr },
    { title: 'SELECTOR', cell: ({ spec }) => spec.nodeSelector },
    { title: 'NAT', cell: ({ spec }) => String(spec.natOutgoing), wide: true },
    { title: 'IPIPMODE', cell: ({ spec }) => spec.ipipMode, wide: true },
    { title: 'VXLANMODE', cell: ({ spec }) => spec.vxlanMode, wide: true },
    { title: 'DISABLED', cell: ({ spec }) => String(spec.disabled), wide: true },
    { title: 'DISABLEBGPEXPORT', cell: ({ spec }) => String(spec.disableBGPExport), wide: true },
    { title: 'ASSIGNMENTMODE', cell: ({ spec }) => spec.assignmentMode, wide: true },
  ],
});
