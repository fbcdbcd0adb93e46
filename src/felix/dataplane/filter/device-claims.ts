/**
 * Which container's endpoint has which device.
 *
 * Where two endpoints claim a device, neither gets it: whose policy is to hold cannot be told, and its packets drop as
 * those of an unknown device do. So does what comes from a device whose name is not one that the dispatch looks at.
 * Both are refusals, with a reason for people. builder.ts makes chains for the holders.
 */
import type { DesiredEndpoint } from '../../desired/desired.ts';
import { WORKLOAD_DEVICE_PREFIX } from '../ownership.ts';
import type { Refusal } from './program.ts';

/** IFNAMSIZ is 16 bytes with the final zero; of the characters that Linux allows, those that no backend mistakes. */
const DEVICE_NAME = new RegExp(`^${WORKLOAD_DEVICE_PREFIX}[A-Za-z0-9_.-]{1,11}$`);

export class DeviceClaims {
  readonly #endpoints = new Map<string, DesiredEndpoint>();
  /** Ids by device, sorted. */
  readonly #claimants = new Map<string, readonly string[]>();
  /** Devices that nobody gets though somebody claims them. */
  readonly #refused = new Set<string>();

  /** Returns the devices whose holder may be another now, or whose holder has changed. */
  update(id: string, endpoint: DesiredEndpoint | undefined): ReadonlySet<string> {
    const before = this.#endpoints.get(id);
    if (endpoint === undefined) this.#endpoints.delete(id);
    else this.#endpoints.set(id, endpoint);
    const touched = new Set<string>();
    if (before !== undefined && before.deviceName !== endpoint?.deviceName) {
      touched.add(before.deviceName);
      this.#setClaimants(before.deviceName, this.#others(before.deviceName, id));
    }
    if (endpoint !== undefined) {
      touched.add(endpoint.deviceName);
      this.#setClaimants(endpoint.deviceName, [...this.#others(endpoint.deviceName, id), id].sort());
    }
    return touched;
  }

  holder(deviceName: string): DesiredEndpoint | undefined {
    if (this.#refused.has(deviceName)) return undefined;
    const [id] = this.#claimants.get(deviceName) ?? [];
    return id === undefined ? undefined : this.#endpoints.get(id);
  }

  devices(): Iterable<string> {
    return this.#claimants.keys();
  }

  /** By device, then by id. */
  refusals(): Refusal[] {
    return [...this.#refused].sort().flatMap((deviceName) => {
      const ids = this.#claimants.get(deviceName) ?? [];
      const reason = DEVICE_NAME.test(deviceName)
        ? `device ${deviceName} belongs to several endpoints: ${ids.join(', ')}`
        : unfitName(deviceName);
      return ids.map((endpointId) => ({ endpointId, reason }));
    });
  }

  #others(deviceName: string, id: string): string[] {
    return (this.#claimants.get(deviceName) ?? []).filter((each) => each !== id);
  }

  #setClaimants(deviceName: string, ids: readonly string[]): void {
    if (ids.length === 0) this.#claimants.delete(deviceName);
    else this.#claimants.set(deviceName, ids);
    if (ids.length > 1 || (ids.length === 1 && !DEVICE_NAME.test(deviceName))) this.#refused.add(deviceName);
    else this.#refused.delete(deviceName);
  }
}

function unfitName(deviceName: string): string {
  const right = `"${WORKLOAD_DEVICE_PREFIX}" and 1 to 11 more letters, digits, dots, dashes or underscores`;
  return `device name ${JSON.stringify(deviceName)} cannot be policed, it must be ${right}`;
}
