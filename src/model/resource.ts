/**
 * What every resource has: kind, name, metadata, spec.
 *
 * Resources are Calico's (`projectcalico.org/v3`), field for field, so that existing YAML works unchanged; some are
 * Kubernetes' own. A resource in this form has been validated and has its defaults filled in; raw documents never get
 * past documents.ts. `kind` alone tells what a resource is: where two groups of the API share a name, ours differ
 * (kind.ts), and only documents and the store's values have the shared one.
 */
export const API_VERSION = 'projectcalico.org/v3';

/** Where Kubernetes has its own NetworkPolicy. */
export const KUBERNETES_NETWORKING = 'networking.k8s.io/v1';

/** Where Kubernetes has what came first: Namespace. */
export const KUBERNETES_CORE = 'v1';

export type ApiVersion = typeof API_VERSION | typeof KUBERNETES_NETWORKING | typeof KUBERNETES_CORE;

export interface Metadata {
  readonly name: string;
  /** Only for namespaced kinds; "default" where the document does not say. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** The store's revision of this object, in text. Written back, it makes the write conditional. */
  readonly resourceVersion?: string;
  readonly uid?: string;
  readonly creationTimestamp?: string;
}

export interface Resource<Kind extends string, Spec> {
  readonly apiVersion: ApiVersion;
  readonly kind: Kind;
  readonly metadata: Metadata;
  readonly spec: Spec;
}

/** "IPPool default-pool", "WorkloadEndpoint default/a1": how messages name a resource. */
export function resourceTitle(resource: { readonly kind: string; readonly metadata: Metadata }): string {
  const { name, namespace } = resource.metadata;
  return `${resource.kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}
