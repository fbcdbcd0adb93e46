/**
 * The two ends of a rule: what its source and its destination must be.
 *
 * All that is given must hold at once; what is absent asks nothing. `services` takes the addresses and ports of a service
 * instead, so nothing else that chooses addresses may stand beside it. A rule matches packets of one family, so
 * all its prefixes must be of one; that and whatever needs the rule's protocol is checked over both ends together.
 */
import { z } from 'zod';
import { cidr, familyOf } from '../net/cidr.ts';
import { mapping, nameField, netField } from './fields.ts';
import { peerNamespaceSelectorField, policySelectorField } from './policy-selector.ts';
import type { Path, Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Protocol } from './protocol.ts';
import { hasPorts, portRange, rulePortField } from './protocol.ts';

/** Calico's bounds. Longer lists of prefixes belong in a network set, where they cost one rule. */
const NETS_MAX = 256;
const PORTS_MAX = 50;

const nets = () => z.array(netField()).max(NETS_MAX).readonly().exactOptional();
const ports = () => z.array(rulePortField()).max(PORTS_MAX).readonly().exactOptional();

const entityRule = mapping({
  nets: nets(),
  notNets: nets(),
  selector: policySelectorField().exactOptional(),
  notSelector: policySelectorField().exactOptional(),
  namespaceSelector: peerNamespaceSelectorField().exactOptional(),
  services: mapping({ name: nameField(), namespace: nameField().exactOptional() }).exactOptional(),
  ports: ports(),
  notPorts: ports(),
  serviceAccounts: mapping({
    names: z.array(nameField()).readonly().exactOptional(),
    selector: policySelectorField().exactOptional(),
  }).exactOptional(),
}).readonly();

/** One end of a rule; absent is an end that may be anything. */
export function entityRuleField() {
  return entityRule.default({});
}

export type EntityRule = Readonly<z.infer<typeof entityRule>>;

/** What the ends of a rule have to agree with. */
export interface RuleEnds {
  readonly source: EntityRule;
  readonly destination: EntityRule;
  readonly protocol?: Protocol;
}

export type Direction = 'ingress' | 'egress';

/** What choosing a service leaves nothing to choose for. */
const EXCLUDED_BY_SERVICES = [
  'selector',
  'notSelector',
  'namespaceSelector',
  'nets',
  'notNets',
  'serviceAccounts',
] as const;

/** What joins several fields of a rule's ends; `anywhere` holds for rules that are in no namespace. */
export function endProblems(rule: RuleEnds, path: Path, direction: Direction, anywhere: boolean): Problem[] {
  return [
    ...familyProblems(rule, path),
    ...(['source', 'destination'] as const).flatMap((end) => [
      ...portProblems(rule[end], [...path, end], rule.protocol),
      ...serviceProblems(rule[end], [...path, end], end, direction, anywhere),
    ]),
  ];
}

function familyProblems({ source, destination }: RuleEnds, path: Path): Problem[] {
  const problems: Problem[] = [];
  let first: string | undefined;
  for (const [end, entity] of Object.entries({ source, destination })) {
    for (const field of ['nets', 'notNets'] as const) {
      for (const [index, net] of (entity[field] ?? []).entries()) {
        const place = [...path, end, field, index];
        first ??= net;
        const [family, wanted] = [familyOf(cidr(net)), familyOf(cidr(first))];
        if (family !== wanted) {
          const message = `${quote(net)} is IPv${family}, but ${quote(first)} in the same rule is IPv${wanted}; write a rule for each`;
          problems.push({ path: place, message });
        }
        if (field === 'notNets' && cidr(net).length === 0) {
          problems.push({ path: place, message: `${quote(net)} leaves nothing to match; remove it, or the rule` });
        }
      }
    }
  }
  return problems;
}

function portProblems(entity: EntityRule, path: Path, protocol: Protocol | undefined): Problem[] {
  return (['ports', 'notPorts'] as const).flatMap((field) => {
    const list = entity[field] ?? [];
    const numeric = list.find((port) => portRange(port) !== undefined);
    const place = [...path, field];
    if (protocol === undefined && numeric !== undefined) {
      return [{ path: place, message: `port ${numeric} needs a protocol: set protocol to TCP, UDP or SCTP` }];
    }
    if (protocol === undefined || hasPorts(protocol) || list.length === 0) return [];
    return [{ path: place, message: `protocol ${protocol} has no ports; TCP, UDP and SCTP have` }];
  });
}

function serviceProblems(
  entity: EntityRule,
  path: Path,
  end: 'source' | 'destination',
  direction: Direction,
  anywhere: boolean,
): Problem[] {
  if (entity.services === undefined) return [];
  const problems: Problem[] = [];
  const place = [...path, 'services'];
  const right = direction === 'ingress' ? 'source' : 'destination';
  if (end !== right) {
    problems.push({ path: place, message: `an ${direction} rule can name a service as its ${right} only` });
  }
  if (anywhere && entity.services.namespace === undefined) {
    const message = 'is required: the policy itself is in no namespace';
    problems.push({ path: [...place, 'namespace'], message });
  }
  for (const field of EXCLUDED_BY_SERVICES) {
    if (entity[field] === undefined) continue;
    problems.push({ path: [...path, field], message: 'cannot stand beside services; write a rule for each' });
  }
  if (end === 'destination' && (entity.ports !== undefined || entity.notPorts !== undefined)) {
    const field = entity.ports === undefined ? 'notPorts' : 'ports';
    const message = 'cannot stand beside services: the service says which ports; remove one of the two';
    problems.push({ path: [...path, field], message });
  }
  return problems;
}
