/**
 * Policy for the host's own devices: which chains there are, and how a packet finds them by its device.
 *
 *   raw      cali-from-host-endpoint  cali-fh-    untracked      cali-to-host-endpoint  cali-th-    untracked
 *   mangle   cali-from-host-endpoint  cali-fh-    before DNAT    cali-to-host-endpoint  cali-th-    to a translated address
 *   filter   cali-from-host-endpoint  cali-fh-    normal         cali-to-host-endpoint  cali-th-    normal
 *            cali-from-hep-forward    cali-fhfw-  forwarded      cali-to-hep-forward    cali-thfw-  forwarded
 *
 * A dispatch chain sends each device to its own chain and leaves all others alone; "*" comes last. It is for the devices of
 * the host that no other endpoint holds: not for containers' ones, nor for the loopback device, whose packets never leave
 * the host; a policy for the network would cut them in the middle of the host's own programs (Calico has 127.0.0.1 allowed by
 * a rule). Untracked and pre-DNAT chains are there only where such a policy is; "*" then still has no say where another holds.
 */
import type { DesiredHostEndpoint, DesiredPolicy, PolicyId, PolicyStage } from '../../desired/policy.ts';
import type { EndpointChainKind } from './endpoint-chains.ts';
import type { HostDeviceHolders } from './host-devices.ts';
import type { Chain, Direction, Rule, TableName } from './program.ts';
import { device, goto, innerChain, rule, workloadDevice } from './rules.ts';

type HostChainKind = Exclude<EndpointChainKind, 'from-workload' | 'to-workload'>;

/** A chain to be made for an endpoint, `name` and `table` being where packets are sent to. */
export interface HostLeaf {
  readonly table: TableName;
  readonly name: string;
  readonly kind: HostChainKind;
  readonly endpoint: DesiredHostEndpoint;
}

interface Dispatch {
  readonly table: TableName;
  readonly name: string;
  readonly direction: Direction;
  readonly prefix: string;
  readonly kind: HostChainKind;
  /** The endpoint has a chain only if a policy of this stage is for it; undefined: always. */
  readonly stage: PolicyStage | undefined;
}

const DISPATCHES: readonly Dispatch[] = [
  dispatch('raw', 'cali-from-host-endpoint', 'in', 'cali-fh-', 'from-host-untracked', 'untracked'),
  dispatch('raw', 'cali-to-host-endpoint', 'out', 'cali-th-', 'to-host-untracked', 'untracked'),
  dispatch('mangle', 'cali-from-host-endpoint', 'in', 'cali-fh-', 'from-host-pre-dnat', 'preDnat'),
  dispatch('mangle', 'cali-to-host-endpoint', 'out', 'cali-th-', 'to-host-post-nat', undefined),
  dispatch('filter', 'cali-from-host-endpoint', 'in', 'cali-fh-', 'from-host', undefined),
  dispatch('filter', 'cali-to-host-endpoint', 'out', 'cali-th-', 'to-host', undefined),
  dispatch('filter', 'cali-from-hep-forward', 'in', 'cali-fhfw-', 'from-host-forward', undefined),
  dispatch('filter', 'cali-to-hep-forward', 'out', 'cali-thfw-', 'to-host-forward', undefined),
];

function dispatch(
  table: TableName,
  name: string,
  direction: Direction,
  prefix: string,
  kind: HostChainKind,
  stage: PolicyStage | undefined,
): Dispatch {
  return { table, name, direction, prefix, kind, stage };
}

/** What Calico calls "*" in the names of chains. */
const ANY_DEVICE = 'any-interface-at-all';
/** XT_EXTENSION_MAXNAMELEN is 29 with the final zero; with a device's name all are shorter. */
const CHAIN_NAME_MAX = 28;
const LOOPBACK = 'lo';

/**
 * All dispatch chains, which are there even if they lead nowhere, and behind them the endpoints' own, made by `chainOf`.
 * A policy that `policyOf` does not know has no stage.
 */
export function hostEndpointChains(
  holders: HostDeviceHolders,
  policyOf: (id: PolicyId) => DesiredPolicy | undefined,
  chainOf: (leaf: HostLeaf) => Chain,
): Chain[] {
  return DISPATCHES.flatMap((each) => {
    const asks = (endpoint: DesiredHostEndpoint): boolean =>
      each.stage === undefined || hasStage(endpoint, each, each.stage, policyOf);
    const leafFor = (deviceName: string, endpoint: DesiredHostEndpoint): HostLeaf => ({
      table: each.table,
      name: `${each.prefix}${deviceName}`.slice(0, CHAIN_NAME_MAX),
      kind: each.kind,
      endpoint,
    });
    const others =
      holders.others !== undefined && asks(holders.others) ? leafFor(ANY_DEVICE, holders.others) : undefined;
    const rules: Rule[] = [];
    const leaves: HostLeaf[] = [];
    for (const [deviceName, endpoint] of holders.named) {
      const leaf = asks(endpoint) ? leafFor(deviceName, endpoint) : undefined;
      if (leaf !== undefined) leaves.push(leaf);
      if (leaf !== undefined || others !== undefined) rules.push(byDevice(each.direction, deviceName, endpoint, leaf));
    }
    if (others !== undefined) {
      leaves.push(others);
      rules.push(...otherDevices(each.direction, others));
    }
    return [innerChain(each.table, each.name, rules), ...leaves.map(chainOf)];
  });
}

/** Without a leaf: keeps the device from "*". */
function byDevice(
  direction: Direction,
  deviceName: string,
  { name, provenance }: DesiredHostEndpoint,
  leaf: HostLeaf | undefined,
): Rule {
  const match = device(direction, deviceName);
  const made =
    leaf === undefined
      ? rule([match], { kind: 'return' }, `No such policy at host endpoint ${name}`)
      : rule([match], goto(leaf.name), `Host endpoint ${name}`);
  return { ...made, provenance };
}

function otherDevices(direction: Direction, { name, endpoint }: HostLeaf): Rule[] {
  return [
    rule([workloadDevice(direction)], { kind: 'return' }, 'Policy of the host is not for its workloads'),
    rule([device(direction, LOOPBACK)], { kind: 'return' }, 'Never leaves the host'),
    {
      ...rule([], goto(name), `Host endpoint ${endpoint.name}, for all other devices`),
      provenance: endpoint.provenance,
    },
  ];
}

function hasStage(
  { policy }: DesiredHostEndpoint,
  { direction }: Dispatch,
  stage: PolicyStage,
  policyOf: (id: PolicyId) => DesiredPolicy | undefined,
): boolean {
  return policy.tiers.some(({ ingress, egress }) =>
    (direction === 'in' ? ingress : egress).some((id) => {
      const found = policyOf(id);
      return found?.stage === stage && !found.staged;
    }),
  );
}
