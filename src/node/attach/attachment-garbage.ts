/**
 * Attachments whose container is gone though nobody has said DEL: found from what the host itself shows, and removed.
 *
 * Two things tell. The device is not there: it goes with the container's namespace, so nobody is behind it any more. Or the
 * runtime in whose database the container was when it was attached does not know it now, though its database can be read: what
 * is left of the namespace is a crash's. Either must hold for a grace time, in every round, for containers are also just being
 * made, or just being removed; each removal is logged with its reason. Endpoints of others are left alone.
 */
import type { Log } from '../../lib/log.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { type EndpointOrigin, originOf } from './attachment-endpoint.ts';
import type { Detachment } from './detach-queue.ts';
import { stillSince } from './garbage-rounds.ts';

interface AttachmentGarbageOptions {
  /** This node's endpoints that the agent has been told of: a large network is not to be listed in each round. */
  readonly knownEndpoints: () => Iterable<WorkloadEndpoint>;
  readonly hasDevice: (name: string) => boolean;
  /** Whether that runtime knows the container; undefined where that cannot be told. */
  readonly isKnown: (runtime: string, containerId: string) => boolean | undefined;
  readonly detach: (detachment: Detachment) => Promise<void>;
  readonly log: Log;
}

export class AttachmentGarbage {
  readonly #options: AttachmentGarbageOptions;
  #goneSince: ReadonlyMap<string, number> = new Map();

  constructor(options: AttachmentGarbageOptions) {
    this.#options = options;
  }

  /** One round; times are in milliseconds of the wall clock. Throws what the store throws. */
  async collect(now: number, graceMs: number): Promise<void> {
    const { knownEndpoints, detach, log } = this.#options;
    const gone = new Map<string, { readonly origin: EndpointOrigin; readonly reason: string }>();
    for (const endpoint of knownEndpoints()) {
      const origin = originOf(endpoint);
      const reason = origin && this.#reasonGone(origin);
      const key = `${endpoint.metadata.namespace}/${endpoint.metadata.name} ${endpoint.metadata.uid}`;
      if (origin !== undefined && reason !== undefined) gone.set(key, { origin, reason });
    }
    this.#goneSince = stillSince(this.#goneSince, [...gone.keys()], now);
    for (const [key, { origin, reason }] of gone) {
      if (now - (this.#goneSince.get(key) ?? now) < graceMs) continue;
      const { containerId, interfaceName, networkName = '' } = origin;
      await detach({ containerId, interfaceName, networkName });
      log.warn('container is gone without a word, detached', { container: containerId, reason });
    }
  }

  #reasonGone({ device, runtime, containerId }: EndpointOrigin): string | undefined {
    const { hasDevice, isKnown } = this.#options;
    if (!hasDevice(device)) return `its device ${device} is gone, and with it the namespace behind it`;
    if (runtime === undefined || isKnown(runtime, containerId) !== false) return undefined;
    return `${runtime} does not know it any more`;
  }
}
