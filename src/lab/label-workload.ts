/**
 * Labels of a lab's workloads: what an orchestrator would put on a WorkloadEndpoint, and a CNI plugin is not told.
 *
 * Written over what the agent has stored, through the store's own interface, once the workload is attached.
 */
import { entryOfKind, valueOfResource, withMetadata } from '../model/resource-entry.ts';
import type { Labels } from '../model/selector.ts';
import { identityOf } from '../node/attach/attachment-names.ts';
import { openStore } from '../store/open-store.ts';
import { LabError } from './lab-error.ts';
import { labPlaces } from './names.ts';

/** Somebody else writes to the endpoint at the very moment only by accident. */
const ATTEMPTS_MAX = 5;

/** Adds `labels` to those that the endpoint has. Throws LabError `failed`, StoreError. */
export async function labelWorkload(lab: string, host: string, containerId: string, labels: Labels): Promise<void> {
  if (Object.keys(labels).length === 0) return;
  const { key } = identityOf(host, { containerId, interfaceName: 'eth0' }, undefined);
  const store = await openStore(labPlaces(lab).storeUrl);
  try {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const entry = await store.get(key);
      const endpoint = entry && entryOfKind('WorkloadEndpoint', entry);
      if (entry === undefined || endpoint === undefined) break;
      const labelled = withMetadata(endpoint, { labels: { ...endpoint.metadata.labels, ...labels } });
      const { ok } = await store.transact({
        expect: [{ key, revision: entry.revision }],
        writes: [{ kind: 'put', key, value: valueOfResource(labelled) }],
      });
      if (ok) return;
    }
  } finally {
    await store.close();
  }
  throw new LabError('failed', `${key} cannot be labelled: it is not there, or others keep on changing it`);
}
