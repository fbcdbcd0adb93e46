/**
 * The metadata of a document: what users may write, what they may carry along, what is dropped.
 *
 * Labels follow Kubernetes' rules, since endpoints carry its labels. `uid` and `creationTimestamp` are the store's to give;
 * a document that was printed by `get` carries them, and they are read but not believed. The fields that a Kubernetes
 * API server adds for its own bookkeeping are dropped, so that its exports can be applied.
 */
import { z } from 'zod';
import { isLabelName, isLabelValue, LABEL_NAME_RULE, LABEL_VALUE_RULE } from '../lib/label-syntax.ts';
import { mapping } from './fields.ts';
import { quote } from './problem.ts';

/** Where an object that was applied from a file came from: "FILE:LINE". */
export const SOURCE_ANNOTATION = 'muslin.io/source';

/**
 * Of a policy: the line in its file at which each of its rules begins, as JSON: {"ingress":[12,15],"egress":[20]}. The file
 * is that of SOURCE_ANNOTATION.
 */
export const RULE_LINES_ANNOTATION = 'muslin.io/rule-lines';

/** Of a container: outside addresses that lead to it, as JSON: ["203.0.113.7"]. Calico's. */
export const FLOATING_IPS_ANNOTATION = 'cni.projectcalico.org/floatingIPs';

/** Of a container: prefixes that it may send from besides its own addresses, as JSON: ["10.9.0.0/16"]. Calico's. */
export const ALLOWED_SOURCES_ANNOTATION = 'cni.projectcalico.org/allowedSourcePrefixes';

/** Of a container: "true" where it speaks with its floating address to whoever is outside of the pools. */
export const FLOATING_IP_OUTGOING_ANNOTATION = 'muslin.io/floating-ip-outgoing';

/** Of a container: "true" where its floating addresses are announced though no exported pool has them. */
export const FLOATING_IP_ANNOUNCE_ANNOTATION = 'muslin.io/floating-ip-announce';

/** Of a container: addresses of LoadBalancer pools that it is to answer, beside others that ask for the same, as JSON. */
export const SERVICE_ADDRESSES_ANNOTATION = 'muslin.io/service-addresses';

/** The same for one IPv4 address, where only labels can be given: 203.0.113.10. */
export const SERVICE_ADDRESS_LABEL = 'muslin.io/service-address';

/** Of a node: whatever its value, it announces no services. Kubernetes'. */
export const NO_SERVICES_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

/** Kubernetes' limit for all annotations of an object together. */
const ANNOTATIONS_LENGTH_MAX = 256 * 1024;

/** What is wrong with the name of a label or annotation; undefined when nothing is. */
export function labelNameProblem(name: string): string | undefined {
  return isLabelName(name) ? undefined : `${quote(name)} is not a label: ${LABEL_NAME_RULE}`;
}

/** What is wrong with the value of a label; undefined when nothing is. */
export function labelValueProblem(value: string): string | undefined {
  return isLabelValue(value) ? undefined : `${quote(value)} is not a label value: ${LABEL_VALUE_RULE}`;
}

/** Labels with their values. */
export function labelsField() {
  return z.record(z.string(), z.string()).superRefine((record, context) => {
    for (const [name, value] of Object.entries(record)) {
      for (const message of [labelNameProblem(name), labelValueProblem(value)]) {
        if (message !== undefined) context.addIssue({ code: 'custom', path: [name], message });
      }
    }
  });
}

/** As tables show labels: `app=web,zone=a`. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

const annotations = z.record(z.string(), z.string()).superRefine((record, context) => {
  let length = 0;
  for (const [name, value] of Object.entries(record)) {
    length += name.length + value.length;
    const message = labelNameProblem(name);
    if (message !== undefined) context.addIssue({ code: 'custom', path: [name], message });
  }
  if (length <= ANNOTATIONS_LENGTH_MAX) return;
  context.addIssue({
    code: 'custom',
    message: `are ${length} characters long together; at most ${ANNOTATIONS_LENGTH_MAX}`,
  });
});

const dropped = z.unknown().exactOptional();

export const metadataSchema = mapping({
  name: z.string(),
  namespace: z.string().exactOptional(),
  labels: labelsField().exactOptional(),
  annotations: annotations.exactOptional(),
  resourceVersion: z
    .string()
    .regex(/^[0-9]{1,16}$/, 'must be a revision as `get` prints it; remove it to apply whatever is there')
    .exactOptional(),
  uid: z.string().exactOptional(),
  creationTimestamp: z.string().nullable().exactOptional(),
  generation: dropped,
  managedFields: dropped,
  finalizers: dropped,
  ownerReferences: dropped,
  selfLink: dropped,
});
