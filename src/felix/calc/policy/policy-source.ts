/**
 * A policy of whatever kind, as far as it can be told from its resource alone.
 *
 * The kinds differ in where they reach (a namespace, the whole network), in what they may say, and in whether they are in
 * force or staged; from here on they are alike. A staged deletion and one to be ignored have no rules to try out, so they are
 * no policy here. The order in a tier is by `order`, then by name.
 */
import { isJsonObject } from '../../../lib/json.ts';
import type { GlobalNetworkPolicy } from '../../../model/global-network-policy.ts';
import type { KubernetesNetworkPolicy } from '../../../model/kubernetes-network-policy.ts';
import { RULE_LINES_ANNOTATION } from '../../../model/metadata.ts';
import type { NetworkPolicy } from '../../../model/network-policy.ts';
import type { PolicyRule } from '../../../model/policy-rule.ts';
import type { Metadata } from '../../../model/resource.ts';
import { resourceTitle } from '../../../model/resource.ts';
import type { Selector } from '../../../model/selector.ts';
import type { StagedGlobalNetworkPolicy } from '../../../model/staged-global-network-policy.ts';
import type { StagedKubernetesNetworkPolicy } from '../../../model/staged-kubernetes-network-policy.ts';
import type { StagedNetworkPolicy } from '../../../model/staged-network-policy.ts';
import type { PolicyId, PolicyStage } from '../../desired/policy.ts';
import { policyId } from '../../desired/policy.ts';
import type { Provenance } from '../../desired/provenance.ts';
import { convertKubernetesPolicy } from '../kubernetes-policy.ts';
import { sourceOf } from '../provenance.ts';
import { parsedJson } from './annotation-json.ts';
import { policySelector } from './rule-selectors.ts';

export type PolicyResource =
  | NetworkPolicy
  | GlobalNetworkPolicy
  | KubernetesNetworkPolicy
  | StagedNetworkPolicy
  | StagedGlobalNetworkPolicy
  | StagedKubernetesNetworkPolicy;

type CalicoSpec = Exclude<PolicyResource, KubernetesNetworkPolicy | StagedKubernetesNetworkPolicy>['spec'];

export type Direction = 'ingress' | 'egress';

export interface PolicySource {
  readonly id: PolicyId;
  readonly kind: PolicyResource['kind'];
  readonly name: string;
  readonly namespace: string | undefined;
  readonly tier: string;
  /** Infinity for those that have none. */
  readonly order: number;
  readonly selector: Selector;
  readonly staged: boolean;
  readonly stage: PolicyStage;
  readonly applyOnForward: boolean;
  /** Undefined where the policy has no say in the direction. */
  readonly ingress: readonly PolicyRule[] | undefined;
  readonly egress: readonly PolicyRule[] | undefined;
  readonly provenance: Provenance;
  readonly ruleLines: RuleLines;
}

/** The line of each rule in the policy's file, as far as they are known. */
type RuleLines = Readonly<Record<Direction, readonly unknown[]>>;

/** What a resource says, or undefined where there is nothing to put in force or to try out. */
export function policySource(resource: PolicyResource): PolicySource | undefined {
  const { kind, metadata } = resource;
  const staged = 'stagedAction' in resource.spec;
  if ('stagedAction' in resource.spec && !['Set', 'Learn'].includes(resource.spec.stagedAction)) return undefined;
  const { spec, ruleLines } = specOf(resource);
  const { doNotTrack = false, preDNAT = false, applyOnForward = false } = 'preDNAT' in spec ? spec : {};
  const { types = [] } = spec;
  return {
    id: policyId(resourceTitle(resource)),
    kind,
    name: metadata.name,
    namespace: metadata.namespace,
    tier: spec.tier,
    order: spec.order ?? Number.POSITIVE_INFINITY,
    selector: policySelector(spec, metadata.namespace),
    staged,
    stage: doNotTrack ? 'untracked' : preDNAT ? 'preDnat' : 'normal',
    applyOnForward,
    ingress: types.includes('Ingress') ? spec.ingress : undefined,
    egress: types.includes('Egress') ? spec.egress : undefined,
    provenance: sourceOf(resourceTitle(resource), metadata),
    ruleLines,
  };
}

/** The policy in Calico's terms. One rule of Kubernetes can become several, all of them from the same line. */
function specOf(resource: PolicyResource): { readonly spec: CalicoSpec; readonly ruleLines: RuleLines } {
  const lines = ruleLinesOf(resource.metadata);
  if (resource.kind !== 'KubernetesNetworkPolicy' && resource.kind !== 'StagedKubernetesNetworkPolicy') {
    return { spec: resource.spec, ruleLines: lines };
  }
  const { spec, ingressOrigins, egressOrigins } = convertKubernetesPolicy(resource.spec);
  const ingress = ingressOrigins.map((origin) => lines.ingress[origin]);
  return { spec, ruleLines: { ingress, egress: egressOrigins.map((origin) => lines.egress[origin]) } };
}

function ruleLinesOf({ annotations }: Metadata): RuleLines {
  const lines = parsedJson(annotations?.[RULE_LINES_ANNOTATION]);
  const listOf = (direction: Direction): readonly unknown[] => {
    const list = isJsonObject(lines) ? lines[direction] : undefined;
    return Array.isArray(list) ? list : [];
  };
  return { ingress: listOf('ingress'), egress: listOf('egress') };
}

/** By whom the rule at an index was written, with its own line where that is known. */
export function ruleProvenance(
  { provenance, ruleLines }: PolicySource,
  direction: Direction,
  index: number,
): Provenance {
  const line = ruleLines[direction][index];
  if (provenance.source === undefined || !Number.isInteger(line)) return provenance;
  return { ...provenance, source: `${provenance.source.replace(/:\d+$/, '')}:${line}` };
}

/** Which of two policies of a tier is asked first. */
export function comparePolicies(a: PolicySource, b: PolicySource): number {
  if (a.order !== b.order) return a.order < b.order ? -1 : 1;
  return (
    compareText(a.name, b.name) || compareText(a.namespace ?? '', b.namespace ?? '') || compareText(a.kind, b.kind)
  );
}

/** By code units, so that all hosts agree whatever their language. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
