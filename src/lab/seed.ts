/**
 * What a lab's store holds before the agents start: the hosts as Node resources, the topology's resources, the blocks; and what
 * changes there when a host joins or leaves.
 *
 * Written through the store's own interface, as a user's `apply` would; the store is new, so nothing can be in the way.
 */
import { randomUUID } from 'node:crypto';
import { wallClockNow } from '../lib/clock.ts';
import type { FelixConfiguration, FelixConfigurationSpec } from '../model/felix-configuration.ts';
import type { AnyResource } from '../model/kinds.ts';
import { API_VERSION } from '../model/resource.ts';
import { valueOfResource, withIdentity } from '../model/resource-entry.ts';
import { keyOf, resourceKey } from '../model/resource-key.ts';
import type { InterfaceAddress } from '../net/cidr.ts';
import { formatIp } from '../net/ip.ts';
import { AddressAllocator, AllocationError } from '../node/addresses/address-allocator.ts';
import { releaseBlocksOf } from '../node/addresses/node-blocks.ts';
import { openStore } from '../store/open-store.ts';
import { revision, type Store, TRANSACTION_WRITES_MAX } from '../store/store.ts';
import { LabError } from './lab-error.ts';
import { labPlaces } from './names.ts';
import { type Host, nodeAddress, type Topology } from './topology.ts';

/** As FelixConfiguration's nftablesMode and iptablesBackend say it. */
const DATAPLANES = {
  nftables: { nftablesMode: 'Enabled' },
  iptables: { nftablesMode: 'Disabled' },
  'iptables-legacy': { nftablesMode: 'Disabled', iptablesBackend: 'Legacy' },
  'iptables-nft': { nftablesMode: 'Disabled', iptablesBackend: 'NFT' },
} as const satisfies Record<string, FelixConfigurationSpec>;

export type LabDataplane = keyof typeof DATAPLANES;

export const LAB_DATAPLANES = Object.keys(DATAPLANES) as readonly LabDataplane[]; // its own keys, which the type of Object.keys forgets

/** Fills the lab's new store; `dataplane` goes before what the topology says of it. Throws LabError `failed`, StoreError. */
export async function seedStore(topology: Topology, dataplane: LabDataplane | undefined): Promise<void> {
  await withLabStore(topology.name, async (store) => {
    const createdAt = new Date(wallClockNow()).toISOString();
    const given =
      dataplane === undefined ? topology.resources : withDataplane(topology.resources, DATAPLANES[dataplane]);
    const resources = [...topology.hosts.map(nodeResource), ...given].map((resource) =>
      withIdentity(resource, randomUUID(), createdAt),
    );
    for (let start = 0; start < resources.length; start += TRANSACTION_WRITES_MAX) {
      const some = resources.slice(start, start + TRANSACTION_WRITES_MAX);
      const result = await store.transact({
        expect: some.map((resource) => ({ key: keyOf(resource), revision: revision(0) })),
        writes: some.map((resource) => ({ kind: 'put', key: keyOf(resource), value: valueOfResource(resource) })),
      });
      if (!result.ok) throw new LabError('failed', `given twice in the topology: ${result.conflicts.join(', ')}`);
    }
    const allocator = new AddressAllocator(store);
    for (const host of topology.hosts) {
      for (const block of host.blocks) await allocator.claimBlock(host.name, block);
    }
  });
}

/** A host more: its Node and its blocks. Throws LabError `failed`, StoreError. */
export async function seedHost(lab: string, host: Host): Promise<void> {
  await withLabStore(lab, async (store) => {
    const node = withIdentity(nodeResource(host), randomUUID(), new Date(wallClockNow()).toISOString());
    const key = keyOf(node);
    const result = await store.transact({
      expect: [{ key, revision: revision(0) }],
      writes: [{ kind: 'put', key, value: valueOfResource(node) }],
    });
    if (!result.ok) throw new LabError('conflict', `the store has a Node ${host.name} already`);
    const allocator = new AddressAllocator(store);
    for (const block of host.blocks) await allocator.claimBlock(host.name, block);
  });
}

/** A host less: its Node goes first, which is what the others follow, then its blocks. Nothing happens when there is none. */
export async function forgetHost(lab: string, host: string): Promise<void> {
  await withLabStore(lab, async (store) => {
    await store.transact({ expect: [], writes: [{ kind: 'remove', key: resourceKey({ kind: 'Node', name: host }) }] });
    await releaseBlocksOf(host, store);
  });
}

async function withLabStore(lab: string, work: (store: Store) => Promise<void>): Promise<void> {
  const store = await openStore(labPlaces(lab).storeUrl);
  try {
    await work(store);
  } catch (error) {
    if (error instanceof AllocationError) throw new LabError('failed', `  blocks: ${error.message}`, { cause: error });
    throw error;
  } finally {
    await store.close();
  }
}

/** The resources with these parameters in the default FelixConfiguration. */
function withDataplane(resources: readonly AnyResource[], parameters: FelixConfigurationSpec): AnyResource[] {
  const isDefault = (resource: AnyResource): resource is FelixConfiguration =>
    resource.kind === 'FelixConfiguration' && resource.metadata.name === 'default';
  const before = resources.find(isDefault);
  const after: FelixConfiguration = {
    apiVersion: API_VERSION,
    kind: 'FelixConfiguration',
    metadata: before?.metadata ?? { name: 'default' },
    spec: { ...before?.spec, ...parameters },
  };
  return [...resources.filter((resource) => !isDefault(resource)), after];
}

/** The host as the network knows it. */
function nodeResource(host: Host): AnyResource {
  const ipv4 = nodeAddress(host, 4);
  const ipv6 = nodeAddress(host, 6);
  const bgp = {
    ...(host.asNumber !== undefined && { asNumber: host.asNumber }),
    ...(host.routeReflectorClusterID !== undefined && { routeReflectorClusterID: host.routeReflectorClusterID }),
    ...(ipv4 !== undefined && { ipv4Address: addressText(ipv4) }),
    ...(ipv6 !== undefined && { ipv6Address: addressText(ipv6) }),
  };
  return {
    apiVersion: API_VERSION,
    kind: 'Node',
    metadata: { name: host.name, ...(Object.keys(host.labels).length > 0 && { labels: host.labels }) },
    spec: Object.keys(bgp).length === 0 ? {} : { bgp },
  };
}

function addressText({ address, subnet }: InterfaceAddress): string {
  return `${formatIp(address)}/${subnet.length}`;
}
