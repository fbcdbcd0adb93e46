/**
 * Attaching and detaching workloads the way a container runtime does: by running the CNI plugin.
 *
 * The workload is a network namespace. The plugin is told where it is, and the network configuration names the socket of
 * the host's agent, which is all that tells the hosts of a lab apart for it (CNI SPEC 1.0.0, sections 2 and 3).
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { namespacePath, removeNamespace } from '../kernel/network-namespace.ts';
import { formatCidr, hostPrefix, parseCidr } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { addMachineNamespace } from './build.ts';
import { LabError } from './lab-error.ts';
import { labelWorkload } from './label-workload.ts';
import { hostPlaces, namespaceOf } from './names.ts';
import type { AttachedWorkload } from './state.ts';
import type { Topology, Workload } from './topology.ts';

const PLUGIN = fileURLToPath(new URL('../../build/cni/muslin', import.meta.url));

/** The capability by which containerd hands on a pod's annotations. */
const POD_ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

/** Throws LabError `failed` when the plugin has not been built. */
export function requirePlugin(): void {
  if (!existsSync(PLUGIN)) throw new LabError('failed', `there is no CNI plugin at ${PLUGIN}; run: npm run setup`);
}

/** Makes the workload's namespace and attaches it; on failure nothing of it is left. Throws LabError. */
export async function attachWorkload(topology: Topology, workload: Workload): Promise<AttachedWorkload> {
  const lab = topology.name;
  const namespace = namespaceOf(lab, workload.name);
  addMachineNamespace(namespace);
  const containerId = randomBytes(32).toString('hex');
  const attachment = { lab, host: workload.host, name: workload.name, namespace, containerId };
  try {
    const ips = workload.addresses.map((address) => formatCidr(hostPrefix(address)));
    const { annotations } = workload;
    const result = await runPlugin('ADD', { ...attachment, ips, annotations, families: poolFamilies(topology) });
    await labelWorkload(lab, workload.host, containerId, workload.labels);
    return { host: workload.host, addresses: resultAddresses(result), namespace, containerId };
  } catch (error) {
    // An ADD that failed half-way is to be followed by DEL (CNI SPEC 1.0.0, section 4); its own failure adds nothing.
    await runPlugin('DEL', { ...attachment, ips: [], families: [4] }).catch(() => undefined);
    removeNamespace(namespace);
    throw error;
  }
}

/** Detaches the workload and removes its namespace. Throws LabError, with the namespace still there, when DEL fails. */
export async function detachWorkload(lab: string, name: string, workload: AttachedWorkload): Promise<void> {
  const { host, namespace, containerId } = workload;
  await runPlugin('DEL', { lab, host, name, namespace, containerId, ips: [], families: [4] });
  removeNamespace(namespace);
}

/** A workload that asks for no address gets one of each family that the topology has a pool of. */
function poolFamilies(topology: Topology): readonly Family[] {
  const families = topology.resources.flatMap((resource) =>
    resource.kind === 'IPPool' && resource.spec.allowedUses.includes('Workload')
      ? (parseCidr(resource.spec.cidr)?.address.family ?? [])
      : [],
  );
  return families.length === 0 ? [4] : families;
}

interface Call {
  readonly lab: string;
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
  readonly containerId: string;
  readonly ips: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly families: readonly Family[];
}

/** The plugin's stdout, parsed. Throws LabError `failed` with the plugin's own words. */
async function runPlugin(command: 'ADD' | 'DEL', call: Call): Promise<unknown> {
  const configuration = {
    cniVersion: '1.0.0',
    name: 'muslin',
    type: 'muslin',
    agentSocket: hostPlaces(call.lab, call.host).cniSocket,
    ipam: {
      type: 'muslin',
      assign_ipv4: String(call.families.includes(4)),
      assign_ipv6: String(call.families.includes(6)),
    },
    capabilities: { ips: true, [POD_ANNOTATIONS]: true },
    runtimeConfig: {
      ...(call.ips.length > 0 && { ips: call.ips }),
      ...(call.annotations !== undefined && { [POD_ANNOTATIONS]: call.annotations }),
    },
  };
  const environment = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: namespacePath(call.namespace),
    CNI_IFNAME: 'eth0',
    CNI_PATH: dirname(PLUGIN),
    CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${call.name}`,
  };
  const { code, output } = await run(environment, JSON.stringify(configuration));
  const answer = parseJson(output);
  if (code === 0) return answer;
  throw new LabError('failed', `${call.name} on ${call.host}: CNI ${command} failed: ${errorText(answer, output)}`);
}

function run(environment: Record<string, string>, input: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(PLUGIN, [], { env: environment, stdio: ['pipe', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
    // A plugin that ends without reading its input has said why on stdout.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (error) => reject(new LabError('failed', `cannot run ${PLUGIN}: ${error.message}`)));
    child.on('close', (code) => resolve({ code, output }));
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? Reflect.get(value, name) : undefined;
}

/** The error object's sentences (CNI SPEC 1.0.0, section 5). */
function errorText(answer: unknown, output: string): string {
  const parts = [member(answer, 'msg'), member(answer, 'details')].filter(
    (part) => typeof part === 'string' && part !== '',
  );
  return parts.length > 0 ? parts.join(': ') : output.trim() || 'the plugin said nothing';
}

/** The addresses that were given, without their length, which is always that of a single address. */
function resultAddresses(result: unknown): string[] {
  const ips = member(result, 'ips');
  if (!Array.isArray(ips)) return [];
  return ips.flatMap((entry) => {
    const address = member(entry, 'address');
    return typeof address === 'string' ? [address.replace(/\/\d+$/, '')] : [];
  });
}
