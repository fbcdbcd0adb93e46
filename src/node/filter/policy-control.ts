/**
 * Answers about endpoints, policies and dropped packets, for the control socket.
 *
 * Everything is made when it is asked for: the program is in memory, the counters are read from the kernel for the chains that
 * the question concerns. Counters that cannot be read are left out of the answer, which says the rest all the same.
 */
import type { ServiceStanding } from '../../felix/calc/policy/services.ts';
import { fromWorkloadChainName, toWorkloadChainName } from '../../felix/dataplane/filter/chain-names.ts';
import type { ChainKey } from '../../felix/dataplane/filter/program.ts';
import { chainKey } from '../../felix/dataplane/filter/program.ts';
import type { DesiredEndpoint } from '../../felix/desired/desired.ts';
import type { PolicyId } from '../../felix/desired/policy.ts';
import { KernelError } from '../../kernel/kernel.ts';
import { formatCidr } from '../../net/cidr.ts';
import { formatIp } from '../../net/ip.ts';
import type { DenialView, EndpointSummary, EndpointView, PolicyControl, PolicyView } from '../control-api.ts';
import type { DropListener, DropWatch } from './drop-watch.ts';
import type { PacketFilter } from './packet-filter.ts';
import type { Counts } from './policy-views.ts';
import { chainsBehind, chainsByPolicy, denialViews, hitsByPolicy, ruleHits, ruleViews } from './policy-views.ts';

export interface PolicyControlOptions {
  readonly filter: PacketFilter;
  readonly drops: DropWatch;
  readonly endpoints: () => readonly DesiredEndpoint[];
  readonly servicesOf: (id: string) => readonly ServiceStanding[];
  /** What people call the endpoint with this id. */
  readonly workloadOf: (id: string) => string;
  /** What is missing until the endpoint is in force; undefined when it is. */
  readonly endpointPending: (id: string) => string | undefined;
  /** The revision of a policy's resource, as it was last heard of. */
  readonly revisionOf: (policy: PolicyId) => string | undefined;
}

/** The control socket's view of policy on this host. */
export function policyControl(options: PolicyControlOptions): PolicyControl {
  const { filter, drops, endpoints } = options;
  return {
    endpoints: () => endpoints().map((endpoint) => summaryOf(options, endpoint)),
    endpoint: (name) => {
      const found = findEndpoints(endpoints(), name, options.workloadOf);
      const [only] = found;
      if (only !== undefined && found.length === 1) return endpointView(options, only);
      return found.map((endpoint) => summaryOf(options, endpoint));
    },
    denials,
    policies: () => policyViews(options, true),
    watchDrops: (listener: DropListener) => drops.watch(listener),
  };

  function denials(): DenialView[] {
    const workloads = new Map(endpoints().map(({ id, deviceName }) => [deviceName, options.workloadOf(id)]));
    const { program, settings } = filter;
    return denialViews(program, readCounts(filter, undefined) ?? new Map(), settings.marks, (device) =>
      workloads.get(device),
    );
  }
}

/** The policies that are in use here; counters are read only for `withHits`. */
export function policyViews(options: PolicyControlOptions, withHits: boolean): PolicyView[] {
  const { filter, endpoints, revisionOf } = options;
  const counts = withHits ? readCounts(filter, undefined) : undefined;
  const hits = counts && hitsByPolicy(filter.program, counts);
  const users = usersOf(endpoints());
  const chains = chainsByPolicy(filter.program);
  return [...filter.policies.values()].map((policy): PolicyView => {
    const { id, tier, staged, selector, provenance } = policy;
    const own = staged ? undefined : hits && (hits.get(id) ?? new Map<string, number>());
    const since = (chains.get(id) ?? []).map((key) => filter.since(key) ?? 0);
    return {
      ...{ policy: id, tier, staged, selector },
      endpoints: users.get(id) ?? 0,
      revision: filter.inForce ? revisionOf(id) : undefined,
      since: since.length === 0 ? undefined : dateText(Math.max(...since)),
      error: filter.inForce ? '' : (filter.error ?? 'not applied yet'),
      file: provenance.source,
      ingress: ruleHits(policy.ingress, 'ingress', own),
      egress: ruleHits(policy.egress, 'egress', own),
    };
  });
}

function endpointView(options: PolicyControlOptions, endpoint: DesiredEndpoint): EndpointView {
  const { filter } = options;
  const { program, settings } = filter;
  const [to, from] = [toWorkloadChainName(endpoint.deviceName), fromWorkloadChainName(endpoint.deviceName)];
  const counts =
    readCounts(filter, new Set([...chainsBehind(program, to), ...chainsBehind(program, from)])) ?? new Map();
  const since = [to, from].map((name) => filter.since(chainKey({ table: 'filter', name })) ?? 0);
  const staged = policiesOf(endpoint).filter((id) => filter.policies.get(id)?.staged === true);
  return {
    ...summaryOf(options, endpoint),
    since: since.includes(0) ? undefined : dateText(Math.max(...since)),
    floatingIps: endpoint.floatingIps.map(({ external, internal, outgoing }) => {
      return { external: formatIp(external), internal: formatIp(internal), outgoing };
    }),
    services: options.servicesOf(endpoint.id).map(({ address, here, everywhere, state }) => {
      return { address: formatIp(address), here, everywhere, state };
    }),
    profiles: endpoint.policy.profiles,
    staged,
    ingress: ruleViews(program, counts, settings.marks, to),
    egress: ruleViews(program, counts, settings.marks, from),
  };
}

function summaryOf(
  { filter, endpointPending, workloadOf }: PolicyControlOptions,
  endpoint: DesiredEndpoint,
): EndpointSummary {
  const pending = endpointPending(endpoint.id) ?? '';
  return {
    name: endpoint.id,
    workload: workloadOf(endpoint.id),
    device: endpoint.deviceName,
    addresses: endpoint.addresses.map(formatCidr),
    inForce: pending === '',
    pending,
    policies: policiesOf(endpoint).filter((id) => filter.policies.get(id)?.staged === false).length,
  };
}

/** Those that the strongest reading of `name` fits: the endpoint's id, its workload, the name in either alone, device, address. */
function findEndpoints(
  endpoints: readonly DesiredEndpoint[],
  name: string,
  workloadOf: (id: string) => string,
): readonly DesiredEndpoint[] {
  const fits: readonly ((endpoint: DesiredEndpoint) => boolean)[] = [
    ({ id }) => id === name,
    ({ id }) => workloadOf(id) === name,
    ({ id }) => [id, workloadOf(id)].some((each) => each.slice(each.indexOf('/') + 1) === name),
    ({ deviceName }) => deviceName === name,
    ({ addresses }) => addresses.some(({ address }) => formatIp(address) === name),
  ];
  for (const fit of fits) {
    const found = endpoints.filter(fit);
    if (found.length > 0) return found;
  }
  return [];
}

function policiesOf({ policy }: DesiredEndpoint): PolicyId[] {
  return [...new Set(policy.tiers.flatMap(({ ingress, egress }) => [...ingress, ...egress]))];
}

function usersOf(endpoints: readonly DesiredEndpoint[]): Map<PolicyId, number> {
  const users = new Map<PolicyId, number>();
  for (const endpoint of endpoints) for (const id of policiesOf(endpoint)) users.set(id, (users.get(id) ?? 0) + 1);
  return users;
}

function readCounts(filter: PacketFilter, chains: ReadonlySet<ChainKey> | undefined): Counts | undefined {
  try {
    return filter.counts(chains);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return undefined;
  }
}

function dateText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
