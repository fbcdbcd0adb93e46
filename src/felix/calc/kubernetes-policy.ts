/**
 * Kubernetes' NetworkPolicy as one of Calico's, so that everything behind this file knows one kind of policy.
 *
 * Its rules only allow. A rule becomes one for each of its peers with each protocol of its ports, the ports of a protocol
 * joined into as few ranges as there can be; an absent list asks nothing, so a rule without peers is for everybody, and
 * one without ports for every protocol. What no rule allows, the default tier denies, for in Calico, too, being chosen
 * by a policy is what ends "everything is allowed". All of these policies have one order, so their names decide.
 *
 * A peer by podSelector alone is in the policy's own namespace: just what a Calico rule without namespaceSelector means
 * in a namespaced policy, which is why that field is left out. Calico also asks every selector for
 * `projectcalico.org/orchestrator == 'k8s'`. Here containers come from any runtime, and a policy that passed them over would
 * leave them open; so that is not asked. Peers must have some orchestrator, though: it is what containers have and network
 * sets have not, and a podSelector never means those.
 */
import type { KubernetesPolicySpec } from '../../model/kubernetes-network-policy.ts';
import type { LabelSelector } from '../../model/label-selector.ts';
import type { NetworkPolicySpec } from '../../model/network-policy.ts';
import type { PolicyRule } from '../../model/policy-rule.ts';
import type { Selector } from '../../model/selector.ts';
import { printSelector } from '../../model/selector.ts';
import { DEFAULT_TIER } from '../../model/tier.ts';
import { ORCHESTRATOR_LABEL } from './policy/rule-selectors.ts';

/** Calico's order for all of them: after those of its own policies that are meant to go first. */
const KUBERNETES_ORDER = 1000;

/** True of every container, whoever runs it, and of nothing else that selectors choose among. */
const IS_CONTAINER: Selector = { kind: 'has', label: ORCHESTRATOR_LABEL };

/** The fields that a staged policy has, too. */
type KubernetesRules = Pick<KubernetesPolicySpec, 'podSelector' | 'policyTypes' | 'ingress' | 'egress'>;

export interface ConvertedPolicy {
  readonly spec: NetworkPolicySpec;
  /** For each rule of `spec` the index of the Kubernetes rule, in the same direction, that it was made from. */
  readonly ingressOrigins: readonly number[];
  readonly egressOrigins: readonly number[];
}

type Peer = KubernetesRules['ingress'][number]['from'][number];
type Port = KubernetesRules['ingress'][number]['ports'][number];
type RuleEnd = PolicyRule['source'];

interface ConvertedRules {
  readonly rules: readonly PolicyRule[];
  readonly origins: readonly number[];
}

/** The policy in Calico's terms. Its selector is for endpoints of its own namespace, as that of a NetworkPolicy is. */
export function convertKubernetesPolicy({ podSelector, policyTypes, ...rules }: KubernetesRules): ConvertedPolicy {
  // Rules for a direction in which the policy has no say have no effect; they are not carried on.
  const ingress = convertRules(
    policyTypes.includes('Ingress') ? rules.ingress.map(({ from, ports }) => ({ peers: from, ports })) : [],
    (source, destination) => ({ source, destination }),
  );
  const egress = convertRules(
    policyTypes.includes('Egress') ? rules.egress.map(({ to, ports }) => ({ peers: to, ports })) : [],
    (peer, ports) => ({ source: {}, destination: { ...peer, ...ports } }),
  );
  return {
    spec: {
      tier: DEFAULT_TIER,
      order: KUBERNETES_ORDER,
      selector: selectorOf(podSelector),
      types: policyTypes,
      ingress: ingress.rules,
      egress: egress.rules,
    },
    ingressOrigins: ingress.origins,
    egressOrigins: egress.origins,
  };
}

/** `place` puts the peer and the ports, which are always the receiver's, at the ends of a rule. */
function convertRules(
  rules: readonly { readonly peers: readonly Peer[]; readonly ports: readonly Port[] }[],
  place: (peer: RuleEnd, ports: RuleEnd) => Pick<PolicyRule, 'source' | 'destination'>,
): ConvertedRules {
  const converted = rules.flatMap(({ peers, ports }, origin) => {
    const ends = peers.length === 0 ? [{}] : peers.map(convertPeer);
    const matches = convertPorts(ports);
    return ends.flatMap((end) =>
      matches.map(({ protocol, ports }) => {
        const rule: PolicyRule = { action: 'Allow', ...protocol, ...place(end, ports) };
        return { rule, origin };
      }),
    );
  });
  return { rules: converted.map(({ rule }) => rule), origins: converted.map(({ origin }) => origin) };
}

function convertPeer({ podSelector, namespaceSelector, ipBlock }: Peer): RuleEnd {
  if (ipBlock !== undefined) {
    return { nets: [ipBlock.cidr], ...(ipBlock.except.length > 0 && { notNets: ipBlock.except }) };
  }
  return {
    selector: selectorOf(podSelector ?? {}, [IS_CONTAINER]),
    ...(namespaceSelector && { namespaceSelector: selectorOf(namespaceSelector) }),
  };
}

/** One match per protocol, in the order in which they are named; a single one that asks nothing where there are no ports. */
function convertPorts(
  ports: readonly Port[],
): readonly { readonly protocol: Pick<PolicyRule, 'protocol'>; readonly ports: RuleEnd }[] {
  if (ports.length === 0) return [{ protocol: {}, ports: {} }];
  return [...Map.groupBy(ports, ({ protocol }) => protocol)].map(([protocol, group]) => {
    const all = group.some(({ port }) => port === undefined);
    return { protocol: { protocol }, ports: all ? {} : { ports: [...joinedRanges(group), ...namesOf(group)] } };
  });
}

/** The numbers among the ports, as Calico writes them: 80, "8000:8080". Ranges that meet or overlap become one. */
function joinedRanges(ports: readonly Port[]): (number | string)[] {
  const ranges = ports.flatMap(({ port, endPort }) =>
    typeof port === 'number' ? [{ first: port, last: endPort ?? port }] : [],
  );
  const joined: { readonly first: number; last: number }[] = [];
  for (const { first, last } of ranges.sort((a, b) => a.first - b.first)) {
    const previous = joined.at(-1);
    if (previous !== undefined && first <= previous.last + 1) previous.last = Math.max(previous.last, last);
    else joined.push({ first, last });
  }
  return joined.map(({ first, last }) => (first === last ? first : `${first}:${last}`));
}

function namesOf(ports: readonly Port[]): string[] {
  return [...new Set(ports.flatMap(({ port }) => (typeof port === 'string' ? [port] : [])))].sort();
}

/** The same choice in Calico's language, where `asked` holds, too; the empty selector is all(). */
function selectorOf(
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  asked: readonly Selector[] = [],
): string {
  const terms: Selector[] = [
    ...asked,
    ...Object.entries(matchLabels)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([label, value]): Selector => ({ kind: '==', label, value })),
    ...matchExpressions.map(convertExpression),
  ];
  const [first, ...others] = terms;
  if (first === undefined) return printSelector({ kind: 'all' });
  return printSelector(others.length === 0 ? first : { kind: '&&', operands: terms });
}

function convertExpression({
  key: label,
  operator,
  values = [],
}: NonNullable<LabelSelector['matchExpressions']>[number]): Selector {
  switch (operator) {
    case 'In':
      return { kind: 'in', label, values: [...new Set(values)].sort() };
    case 'NotIn':
      return { kind: 'not in', label, values: [...new Set(values)].sort() };
    case 'Exists':
      return { kind: 'has', label };
    case 'DoesNotExist':
      return { kind: 'not', operand: { kind: 'has', label } };
  }
}
