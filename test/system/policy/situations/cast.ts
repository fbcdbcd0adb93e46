/**
 * Who plays in the policy situations, and short ways to write resources about them.
 *
 *   shop (team red, trusted)     web host-a, api host-a, db host-b
 *   ops (team blue, trusted)     dev host-a, mon host-b
 *   partner (team green)         guest host-b
 *
 * All have both families. `http` is another port at each of web, api and mon. The stranger is at host-a, where nobody knows
 * of it: its endpoint is said to be on some other host.
 */
import type { TestWorkload } from '../policy-world.ts';

const named = (...ports: readonly (readonly [name: string, protocol: string, port: number])[]) => ({
  ports: ports.map(([name, protocol, port]) => ({ name, protocol, port })),
});

export const CAST: readonly TestWorkload[] = [
  {
    ...{ name: 'web', namespace: 'shop', host: 'host-a', addresses: ['10.65.0.1', 'fd65::1'] },
    labels: { app: 'web', tier: 'front', env: 'prod' },
    spec: { serviceAccountName: 'web', ...named(['http', 'TCP', 80]) },
  },
  {
    ...{ name: 'api', namespace: 'shop', host: 'host-a', addresses: ['10.65.0.2', 'fd65::2'] },
    labels: { app: 'api', tier: 'back', env: 'prod' },
    spec: { serviceAccountName: 'api', ...named(['http', 'TCP', 8080]) },
  },
  {
    ...{ name: 'db', namespace: 'shop', host: 'host-b', addresses: ['10.65.1.1', 'fd65:0:0:1::1'] },
    labels: { app: 'db', tier: 'back', env: 'prod', secret: 'yes' },
    spec: { serviceAccountName: 'db', ...named(['store', 'TCP', 6379], ['dns', 'UDP', 53]) },
  },
  {
    ...{ name: 'mon', namespace: 'ops', host: 'host-b', addresses: ['10.65.1.2', 'fd65:0:0:1::2'] },
    labels: { app: 'mon', role: 'monitoring', env: 'prod' },
    spec: { serviceAccountName: 'mon', ...named(['http', 'TCP', 443], ['dns', 'UDP', 53]) },
  },
  {
    ...{ name: 'dev', namespace: 'ops', host: 'host-a', addresses: ['10.65.0.3', 'fd65::3'] },
    labels: { app: 'dev', env: 'dev' },
    spec: { serviceAccountName: 'dev' },
  },
  {
    ...{ name: 'guest', namespace: 'partner', host: 'host-b', addresses: ['10.65.1.3', 'fd65:0:0:1::3'] },
    labels: { app: 'guest' },
  },
];

export const STRANGER: TestWorkload = {
  ...{ name: 'stranger', host: 'host-a', labels: {}, addresses: ['10.65.0.9', 'fd65::9'] },
  spec: { node: 'some-other-host' },
};

/** There in every situation. */
export const NAMESPACES = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: red, trusted: "true" } }
---
apiVersion: v1
kind: Namespace
metadata: { name: ops, labels: { team: blue, trusted: "true" } }
---
apiVersion: v1
kind: Namespace
metadata: { name: partner, labels: { team: green } }
---
`;

/** A NetworkPolicy of Kubernetes; `name` is "namespace/name", `spec` what stands between the braces. */
export function kubernetes(name: string, spec: string): string {
  return resource('networking.k8s.io/v1', 'NetworkPolicy', name, `spec: { ${spec} }`);
}

/** A resource of Calico; `name` has its namespace before a slash where it is in one. */
export function calico(kind: string, name: string, spec: string): string {
  return resource('projectcalico.org/v3', kind, name, `spec: { ${spec} }`);
}

export function globalPolicy(name: string, spec: string): string {
  return calico('GlobalNetworkPolicy', name, spec);
}

export function tier(name: string, spec: string): string {
  return calico('Tier', name, spec);
}

/** A NetworkSet where the name has a namespace, else a GlobalNetworkSet. */
export function networkSet(name: string, labels: string, nets: string): string {
  const kind = name.includes('/') ? 'NetworkSet' : 'GlobalNetworkSet';
  return resource('projectcalico.org/v3', kind, name, `spec: { nets: [${nets}] }`, `labels: { ${labels} }`);
}

/** Devices of a host, labelled `side: edge` or as said. */
export function hostEndpoint(name: string, spec: string, labels = 'side: edge'): string {
  return resource('projectcalico.org/v3', 'HostEndpoint', name, `spec: { ${spec} }`, `labels: { ${labels} }`);
}

/** What FelixConfiguration says on all hosts, over what the world says. */
export function felix(spec: string, hosts: readonly string[] = ['host-a', 'host-b']): string {
  return hosts.map((host) => calico('FelixConfiguration', `node.${host}`, spec)).join('');
}

/** A container of the cast, otherwise than it is: `more` are fields of its spec, `metadata` of its metadata, that hold instead. */
export function changed(name: string, more: object, metadata: object = {}): string {
  const workload = [...CAST, STRANGER].find((each) => each.name === name);
  if (workload === undefined) throw new Error(`not in the cast: ${name}`);
  const { namespace = 'default', host, labels, addresses, spec } = workload;
  const ipNetworks = addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`);
  const document = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: { name, namespace, labels, ...metadata },
    spec: { ...spec, node: host, interfaceName: `cali${name}`, ipNetworks, ...more },
  };
  return `${JSON.stringify(document)}\n---\n`;
}

function resource(apiVersion: string, kind: string, name: string, rest: string, metadata = ''): string {
  const [namespace, own] = name.includes('/') ? name.split('/') : [undefined, name];
  const fields = [`name: ${own}`, ...(namespace === undefined ? [] : [`namespace: ${namespace}`]), metadata];
  return `apiVersion: ${apiVersion}
kind: ${kind}
metadata: { ${fields.filter((field) => field !== '').join(', ')} }
${rest}
---
`;
}
