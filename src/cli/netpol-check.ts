/**
 * `muslin netpol-check`: puts a state of pods and policies in force, for conformance suites that have no Kubernetes.
 *
 * The state comes as JSON on stdin: namespaces with their labels, pods with addresses and host devices, ports that every pod
 * serves, and networking.k8s.io/v1 policies. The pods' hosts are network namespaces, PREFIX and the node's name. Resources
 * go the same way as an agent's: calculation, builder, backend. Devices and routes are the suite's own and stay as
 * they are. It returns when the rules are in force, so a suite can probe at once; each run replaces what the last one did.
 */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { Calculation } from '../felix/calc/calculation.ts';
import { endpointId } from '../felix/calc/local-endpoints.ts';
import { filterWorld } from '../felix/dataplane/forwarding.ts';
import { Interfaces } from '../felix/dataplane/interfaces.ts';
import type { DesiredEndpoint } from '../felix/desired/desired.ts';
import { openConntrack } from '../kernel/conntrack.ts';
import { openKernel } from '../kernel/netlink-kernel.ts';
import { namespacePath } from '../kernel/network-namespace.ts';
import { isJsonObject } from '../lib/json.ts';
import type { Log } from '../lib/log.ts';
import { seededRandom } from '../lib/prng.ts';
import { effectiveFelix } from '../model/felix-configuration.ts';
import type { AnyResource } from '../model/kinds.ts';
import { formatResourceId } from '../model/resource-key.ts';
import { validateResource } from '../model/validate.ts';
import { formatIp } from '../net/ip.ts';
import { ROUTE_TABLE } from '../net/kernel-objects.ts';
import { chooseBackend } from '../node/filter/backend-choice.ts';
import { ConnectionCutter } from '../node/filter/connection-cutter.ts';
import { filterSettings } from '../node/filter/filter-settings.ts';
import { openFilterBackend } from '../node/filter/open-backend.ts';
import { PacketFilter } from '../node/filter/packet-filter.ts';
import { openLog } from '../node/log.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

/** Fields that go into resources are checked with these. */
interface State {
  readonly namespaces: Readonly<Record<string, unknown>>;
  readonly ports: readonly unknown[];
  readonly pods: readonly Pod[];
  readonly policies: readonly unknown[];
}

type Pod = Readonly<Record<'namespace' | 'name' | 'ip' | 'node' | 'hostIf', string> & { labels: unknown }>;

const DATAPLANES = {
  nftables: { nftablesMode: 'Enabled', iptablesBackend: 'Auto' },
  'iptables-nft': { nftablesMode: 'Disabled', iptablesBackend: 'NFT' },
  'iptables-legacy': { nftablesMode: 'Disabled', iptablesBackend: 'Legacy' },
} as const;

interface Flags {
  readonly dataplane: keyof typeof DATAPLANES;
  readonly prefix: string;
}

export function netpolCheckCommand(): Command {
  return new Command('netpol-check')
    .description(
      'Put a state of pods and Kubernetes policies, as JSON on stdin, in force in namespaces that are there.',
    )
    .addOption(
      new Option('--dataplane <name>', 'the packet filter').choices(Object.keys(DATAPLANES)).default('nftables'),
    )
    .option('--prefix <text>', 'of the namespaces of hosts, before the name of the node', 'np-')
    .addHelpText('after', '\nExample:\n  muslin netpol-check --dataplane nftables < state.json')
    .action(async (flags: Flags) => {
      const state = readState();
      const resources = resourcesOf(state);
      for (const node of new Set(state.pods.map(({ node }) => node))) await enforce(node, resources, flags);
    });
}

function readState(): State {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(0, 'utf8'));
  } catch (error) {
    throw invalid(`stdin: not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { namespaces = {}, ports = [], pods, policies } = isJsonObject(json) ? json : {};
  if (!isJsonObject(namespaces) || !Array.isArray(ports) || !Array.isArray(pods) || !Array.isArray(policies)) {
    throw invalid('stdin: must be {"namespaces": {NAME: LABELS}, "ports": […], "pods": […], "policies": […]}');
  }
  return { namespaces, ports, policies, pods: pods.map(podOf) };
}

function podOf(pod: unknown, index: number): Pod {
  const fields: Record<string, unknown> = isJsonObject(pod) ? pod : {};
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value === 'string') return value;
    throw invalid(`stdin: pods[${index}].${name}: ${JSON.stringify(value)} is not a text`);
  };
  return {
    namespace: text('namespace'),
    name: text('name'),
    ip: text('ip'),
    node: text('node'),
    hostIf: text('hostIf'),
    labels: fields['labels'] ?? {},
  };
}

function invalid(message: string): CommandError {
  return new CommandError(EXIT_CODE.usage, message);
}

function resourcesOf({ namespaces, ports, pods, policies }: State): AnyResource[] {
  const documents = [
    ...Object.entries(namespaces).map(([name, labels]) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels },
    })),
    ...pods.map(({ namespace, name, labels, ip, node, hostIf }) => ({
      apiVersion: 'projectcalico.org/v3',
      kind: 'WorkloadEndpoint',
      metadata: { namespace, name, labels },
      spec: { node, interfaceName: hostIf, ipNetworks: [`${ip}/32`], ports },
    })),
    ...policies,
  ];
  return documents.map((document) => {
    const validated = validateResource(document);
    if (!validated.ok) throw invalid(`stdin: ${JSON.stringify(validated).slice(0, 500)}`);
    return validated.resource;
  });
}

async function enforce(node: string, resources: readonly AnyResource[], { dataplane, prefix }: Flags): Promise<void> {
  const path = namespacePath(`${prefix}${node}`);
  const log = openLog(node, 'error');
  const felix = { ...effectiveFelix([]), ...DATAPLANES[dataplane] };
  const calculation = new Calculation(node);
  for (const resource of resources) {
    const { name, namespace = '' } = resource.metadata;
    if (resource.kind === 'WorkloadEndpoint') calculation.updateEndpoint(endpointId(namespace, name), resource);
    else calculation.updatePolicyResource(formatResourceId({ kind: resource.kind, ...resource.metadata }), resource);
  }
  const filter = new PacketFilter({
    openBackend: (choice) => openFilterBackend(choice, path),
    openLeftovers: () => [],
    onBackends: () => undefined,
    onApplied: () => undefined,
    log,
  });
  try {
    const choice = chooseBackend(felix, () => undefined);
    filter.configure(choice, filterSettings({ felix, annotations: {} }, [], choice.kind));
    const changes = calculation.takeChanges();
    filter.update(changes);
    filter.apply();
    if (filter.error !== undefined) throw new CommandError(EXIT_CODE.failure, `${prefix}${node}: ${filter.error}`);
    await cutConnections(filter, [...changes.endpoints.values()], path, log);
  } finally {
    filter.close();
  }
}

/** What an earlier state had allowed and this one does not is cut, as an agent would do. */
async function cutConnections(
  filter: PacketFilter,
  endpoints: readonly (DesiredEndpoint | undefined)[],
  path: string,
  log: Log,
): Promise<void> {
  const kernel = openKernel(path);
  const conntrack = openConntrack(path);
  const interfaces = new Interfaces();
  interfaces.replace(kernel.links(), kernel.addresses());
  const world = filterWorld(kernel.routes(ROUTE_TABLE.main), interfaces);
  const local = new Map(
    endpoints.flatMap((endpoint) =>
      (endpoint?.addresses ?? []).map(({ address }) => [formatIp(address), endpoint?.deviceName ?? ''] as const),
    ),
  );
  const ground = () => ({ enabled: true, program: filter.program, world, local });
  const cutter = new ConnectionCutter({ conntrack, guard: undefined, ground, log, random: seededRandom(0) });
  cutter.policyChanged('all');
  await cutter.settled();
  cutter.close();
  conntrack.close();
  kernel.close();
}
