/**
 * What an attachment is called everywhere: its WorkloadEndpoint, its device, the handle of its addresses.
 *
 * All names follow from the container's id and interface, which never come twice. So DEL needs no memory of ADD, and the DEL
 * of an old sandbox cannot meet what belongs to a new one with the same pod name.
 */
import { createHash } from 'node:crypto';
import type { AttachmentId, PodName } from '../../cni/request.ts';
import { endpointId } from '../../felix/calc/local-endpoints.ts';
import { WORKLOAD_DEVICE_PREFIX } from '../../felix/dataplane/ownership.ts';
import { assert } from '../../lib/assert.ts';
import { nameProblem } from '../../model/fields.ts';
import { resourceKey } from '../../model/resource-key.ts';
import { DEFAULT_NAMESPACE } from '../../model/validate.ts';
import type { Mac } from '../../net/mac.ts';
import { parseMac } from '../../net/mac.ts';

/** What an attachment is called: in the store, in the calculation, on the host. */
export interface Identity {
  readonly key: string;
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly device: string;
}

/** The names of an attachment of `node`; `pod` is the pod as the runtime names it. */
export function identityOf(node: string, attachment: AttachmentId, pod: PodName | undefined): Identity {
  const namespace = pod?.namespace ?? DEFAULT_NAMESPACE;
  const name = endpointNameOf(node, attachment);
  const key = resourceKey({ kind: 'WorkloadEndpoint', namespace, name });
  return { key, id: endpointId(namespace, name), name, namespace, device: deviceOf(attachment) };
}

/** Runtimes' ids are 64 digits, of which their own `ps` shows twelve; other ids are what somebody chose to read. */
export function workloadOf(containerId: string): string {
  return /^[0-9a-f]{64}$/.test(containerId) ? containerId.slice(0, 12) : containerId;
}

/**
 * Calico's form, node-orchestrator-workload-endpoint, with dashes inside the parts doubled. CNI allows ids and interfaces
 * that cannot be part of a resource's name (upper case, "_", "é"); the name is then made from a hash of them.
 */
export function endpointNameOf(node: string, attachment: AttachmentId): string {
  const readable = [node, 'cni', workloadOf(attachment.containerId), attachment.interfaceName];
  const name = joined(readable);
  return nameProblem(name) === undefined ? name : joined([node, 'cni', hashOf(attachment)]);
}

function joined(parts: readonly string[]): string {
  return parts.map((part) => part.replaceAll('-', '--')).join('-');
}

/** "cali" and as much of a hash as a device's name has room for. */
export function deviceOf(attachment: AttachmentId): string {
  return `${WORKLOAD_DEVICE_PREFIX}${hashOf(attachment).slice(0, 11)}`;
}

/** Of a virtual machine's network card, the same at each start: locally administered, then the device's digits. */
export function guestMacOf(attachment: AttachmentId): Mac {
  const digits = hashOf(attachment).match(/../g) ?? [];
  const mac = parseMac(['02', ...digits.slice(0, 5)].join(':'));
  assert(mac !== undefined, 'a hash is made of hexadecimal digits');
  return mac;
}

function hashOf({ containerId, interfaceName }: AttachmentId): string {
  return createHash('sha1').update(`${containerId}.${interfaceName}`).digest('hex');
}

/** What all addresses of an attachment are held by. */
export function handleOf(networkName: string, { containerId, interfaceName }: AttachmentId): string {
  return `${networkName}.${containerId}.${interfaceName}`;
}
