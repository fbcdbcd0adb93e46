/**
 * BGPFilter: rules that decide which routes a session takes in and sends out, and what is changed on them.
 *
 * Four lists, by direction and family. The first rule that fits a route decides; a rule without conditions fits every
 * route. A route that no rule fits goes on as without the filter: taken in, or sent if muslin's own export rule says so.
 * Operations change only routes that their rule accepts, in their order.
 */
import { z } from 'zod';
import type { Family } from '../net/ip.ts';
import { addressBits } from '../net/ip.ts';
import { communityField, routePriorityField } from './bgp-fields.ts';
import { asnField, cidrField, mapping, textField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Path, Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Resource } from './resource.ts';

/** Calico's bounds of a rule's operations and of the AS numbers that one of them puts before a path. */
const OPERATIONS_MAX = 10;
const PREPENDED_MAX = 10;

/** A path that is longer than this is not taken by common routers, so no route can begin with it. */
const PATH_PREFIX_MAX = 255;

/** Each route is held against each rule until one fits, so the list is bounded. */
const RULES_MAX = 10_000;

/** A device's name with `*` for any number of characters. */
const interfaceGlobField = () =>
  textField((text) =>
    /^[A-Za-z0-9_.*-]{1,15}$/.test(text)
      ? text
      : {
          problem: `${quote(text)} is not a device or a pattern of devices; write eth0, or cali* for all that begin so`,
        },
  );

const operation = mapping({
  addCommunity: mapping({ value: communityField() }).exactOptional(),
  prependASPath: mapping({ prefix: z.array(asnField()).min(1).max(PREPENDED_MAX).readonly() }).exactOptional(),
  setPriority: mapping({ value: routePriorityField() }).exactOptional(),
});

const prefixLengthField = (family: Family) => z.int().min(0).max(addressBits(family)).exactOptional();

function rulesField(family: Family) {
  const rule = mapping({
    cidr: cidrField(family).exactOptional(),
    matchOperator: z.enum(['Equal', 'NotEqual', 'In', 'NotIn']).exactOptional(),
    prefixLength: mapping({ min: prefixLengthField(family), max: prefixLengthField(family) }).exactOptional(),
    source: z.enum(['RemotePeers']).exactOptional(),
    interface: interfaceGlobField().exactOptional(),
    peerType: z.enum(['eBGP', 'iBGP']).exactOptional(),
    communities: mapping({ values: z.array(communityField()).min(1).max(1).readonly() }).exactOptional(),
    asPathPrefix: z.array(asnField()).max(PATH_PREFIX_MAX).readonly().exactOptional(),
    priority: routePriorityField().exactOptional(),
    action: z.enum(['Accept', 'Reject']),
    operations: z.array(operation).min(1).max(OPERATIONS_MAX).readonly().exactOptional(),
  });
  return z.array(rule).max(RULES_MAX).readonly().exactOptional();
}

const spec = mapping({
  importV4: rulesField(4),
  exportV4: rulesField(4),
  importV6: rulesField(6),
  exportV6: rulesField(6),
});

export type BgpFilterSpec = Readonly<z.infer<typeof spec>>;
export type BgpFilter = Resource<'BGPFilter', BgpFilterSpec>;
type BgpFilterRule = NonNullable<BgpFilterSpec['importV4']>[number];

const LISTS = ['importV4', 'exportV4', 'importV6', 'exportV6'] as const satisfies readonly (keyof BgpFilterSpec)[];

function check({ spec }: BgpFilter): Problem[] {
  return LISTS.flatMap((list) =>
    (spec[list] ?? []).flatMap((rule, index) => ruleProblems(rule, ['spec', list, index])),
  );
}

function ruleProblems(rule: BgpFilterRule, path: Path): Problem[] {
  const problems: Problem[] = [];
  const wrong = (field: keyof BgpFilterRule, message: string) => problems.push({ path: [...path, field], message });
  if (rule.cidr !== undefined && rule.matchOperator === undefined) {
    wrong('matchOperator', 'is required with cidr: Equal, NotEqual, In or NotIn');
  }
  if (rule.cidr === undefined && rule.matchOperator !== undefined) {
    wrong('cidr', `is required with matchOperator ${rule.matchOperator}`);
  }
  if (rule.cidr === undefined && rule.prefixLength !== undefined) wrong('cidr', 'is required with prefixLength');
  problems.push(...prefixLengthProblems(rule, [...path, 'prefixLength']));
  if (rule.operations === undefined) return problems;
  if (rule.action === 'Reject') wrong('operations', 'change routes, and this rule rejects them; remove one of the two');
  for (const [index, operation] of rule.operations.entries()) {
    const names = Object.keys(operation);
    if (names.length === 1) continue;
    const remedy = 'each item must be one of addCommunity, prependASPath, setPriority';
    const found = names.length === 0 ? 'is empty' : `has ${names.join(' and ')}`;
    problems.push({ path: [...path, 'operations', index], message: `${found}; ${remedy}` });
  }
  return problems;
}

/** A rule that no route could fit is a mistake. */
function prefixLengthProblems({ prefixLength }: BgpFilterRule, path: Path): Problem[] {
  const { min, max } = prefixLength ?? {};
  if (min === undefined || max === undefined || min <= max) return [];
  return [{ path, message: `min ${min} is more than max ${max}; swap the two` }];
}

export const bgpFilterKind = kindOf<'BGPFilter', BgpFilterSpec>({
  kind: 'BGPFilter',
  plural: 'bgpfilters',
  shortNames: ['bgpf'],
  namespaced: false,
  spec: spec.default({}),
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    ...LISTS.map((list) => ({
      title: list.toUpperCase(),
      cell: ({ spec }: BgpFilter) => String(spec[list]?.length ?? 0),
      wide: true,
    })),
  ],
});
