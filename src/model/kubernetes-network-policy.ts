/**
 * Kubernetes' own NetworkPolicy (networking.k8s.io/v1), which only ever allows.
 *
 * A pod that a policy chooses may receive (send) what some policy's rules allow, and nothing else. An absent or empty list of
 * peers or ports in a rule means all of them; a peer that is a podSelector alone is in the policy's own namespace.
 * Calico has a kind of the same name, so this one is called KubernetesNetworkPolicy everywhere but in documents.
 */
import { z } from 'zod';
import { cidr, containsCidr, sameCidr } from '../net/cidr.ts';
import { cidrField, mapping, portField } from './fields.ts';
import { kindOf } from './kind.ts';
import { formatLabelSelector, labelSelectorField } from './label-selector.ts';
import { policyTypesField } from './policy-spec.ts';
import type { Path, Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Resource } from './resource.ts';
import { KUBERNETES_NETWORKING } from './resource.ts';

/** Service names as IANA has them (RFC 6335): at most 15 of a-z, 0-9 and "-", and one letter among them. */
const PORT_NAME = /^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/;

function portMessage(input: unknown): string {
  return `${quote(input)} is not a port; write a number from 1 to 65535, or a name: up to 15 lower-case letters, digits and "-"`;
}

const portNameField = z.string().refine((name) => PORT_NAME.test(name), { error: ({ input }) => portMessage(input) });

const port = mapping({
  protocol: z.enum(['TCP', 'UDP', 'SCTP']).default('TCP'),
  port: z.union([portField(), portNameField], { error: ({ input }) => portMessage(input) }).exactOptional(),
  endPort: portField().exactOptional(),
});

const peer = mapping({
  podSelector: labelSelectorField().exactOptional(),
  namespaceSelector: labelSelectorField().exactOptional(),
  ipBlock: mapping({ cidr: cidrField(), except: z.array(cidrField()).readonly().default([]) }).exactOptional(),
});

const peers = () => z.array(peer).readonly().default([]);
const ports = () => z.array(port).readonly().default([]);

/** The fields of a policy, before its types follow from its rules; a staged one has more. */
export const kubernetesPolicyFields = {
  podSelector: labelSelectorField().default({}),
  policyTypes: policyTypesField(),
  ingress: z
    .array(mapping({ from: peers(), ports: ports() }))
    .readonly()
    .default([]),
  egress: z
    .array(mapping({ to: peers(), ports: ports() }))
    .readonly()
    .default([]),
};

const fields = mapping(kubernetesPolicyFields);
const spec = fields.transform(withPolicyTypes);

type Peer = Readonly<z.infer<typeof peer>>;
type Port = Readonly<z.infer<typeof port>>;
type Fields = Readonly<z.infer<typeof fields>>;

export type KubernetesPolicySpec = Readonly<z.infer<typeof spec>>;
export type KubernetesNetworkPolicy = Resource<'KubernetesNetworkPolicy', KubernetesPolicySpec>;

/** Kubernetes' rule: every policy is for ingress unless it says otherwise, and one with egress rules for egress, too. */
export function withPolicyTypes<F extends Fields>(fields: F): F & Required<Pick<Fields, 'policyTypes'>> {
  const stated = fields.policyTypes ?? [];
  const implied = fields.egress.length > 0 ? (['Ingress', 'Egress'] as const) : (['Ingress'] as const);
  return { ...fields, policyTypes: stated.length > 0 ? stated : implied };
}

/** What joins several fields of the rules. */
export function kubernetesPolicyProblems({ ingress, egress }: Pick<Fields, 'ingress' | 'egress'>): Problem[] {
  const rules = [
    ...ingress.map(({ from, ports }, index) => ({ path: ['spec', 'ingress', index], end: 'from', peers: from, ports })),
    ...egress.map(({ to, ports }, index) => ({ path: ['spec', 'egress', index], end: 'to', peers: to, ports })),
  ];
  return rules.flatMap(({ path, end, peers, ports }) => [
    ...peers.flatMap((peer, index) => peerProblems(peer, [...path, end, index])),
    ...ports.flatMap((port, index) => portProblems(port, [...path, 'ports', index])),
  ]);
}

function peerProblems({ podSelector, namespaceSelector, ipBlock }: Peer, path: Path): Problem[] {
  const bySelector = podSelector !== undefined || namespaceSelector !== undefined;
  if (ipBlock === undefined) {
    const message =
      'chooses nobody; write podSelector, namespaceSelector or ipBlock, or leave out the list for everybody';
    return bySelector ? [] : [{ path, message }];
  }
  const block = cidr(ipBlock.cidr);
  const problems: Problem[] = ipBlock.except.flatMap((text, index) => {
    const hole = cidr(text);
    if (containsCidr(block, hole) && !sameCidr(block, hole)) return [];
    const message = `${quote(text)} is not a part of ${quote(ipBlock.cidr)}; write a longer prefix inside of it`;
    return [{ path: [...path, 'ipBlock', 'except', index], message }];
  });
  if (!bySelector) return problems;
  const message = 'cannot stand beside podSelector and namespaceSelector; write two peers';
  return [{ path: [...path, 'ipBlock'], message }, ...problems];
}

function portProblems({ port, endPort }: Port, path: Path): Problem[] {
  if (endPort === undefined || (typeof port === 'number' && endPort >= port)) return [];
  const message =
    typeof port === 'number'
      ? `${endPort} is less than port ${port}; write ${port} or more`
      : `${endPort} ends a range that has no beginning; set port to a number`;
  return [{ path: [...path, 'endPort'], message }];
}

export const kubernetesNetworkPolicyKind = kindOf<'KubernetesNetworkPolicy', KubernetesPolicySpec>({
  kind: 'KubernetesNetworkPolicy',
  apiVersion: KUBERNETES_NETWORKING,
  documentKind: 'NetworkPolicy',
  plural: 'kubernetesnetworkpolicies',
  shortNames: ['knp', 'knps', 'k8snetworkpolicy', 'k8snetworkpolicies'],
  namespaced: true,
  spec: spec.default(spec.parse({})),
  check: ({ spec }) => kubernetesPolicyProblems(spec),
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'POD-SELECTOR', cell: ({ spec }) => formatLabelSelector(spec.podSelector) },
    { title: 'TYPES', cell: ({ spec }) => spec.policyTypes.join(','), wide: true },
  ],
});
