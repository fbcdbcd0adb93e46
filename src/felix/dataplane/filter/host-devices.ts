/**
 * Which host endpoint holds for which device of the host.
 *
 * One that names a device holds for it, whether or not the device is there yet, so that policy is in force before the
 * first packet. Next come those that give addresses, for the devices which have one of them; last those for "*", which hold
 * for all devices that no other one has. Among equals the smallest name wins, by code units, whatever order they came in.
 * Containers' devices are never a host endpoint's.
 */
import type { Ip } from '../../../net/ip.ts';
import { sameIp } from '../../../net/ip.ts';
import type { DesiredHostEndpoint } from '../../desired/policy.ts';
import { isWorkloadDevice, WORKLOAD_DEVICE_PREFIX } from '../ownership.ts';
import type { Refusal } from './program.ts';

/** A device of the host itself, with its addresses as they are now. */
export interface HostDevice {
  readonly name: string;
  readonly addresses: readonly Ip[];
}

export interface HostDeviceHolders {
  /** Device name to its endpoint, in the order of names. */
  readonly named: ReadonlyMap<string, DesiredHostEndpoint>;
  /** Holds for all other devices; undefined: these are not policed. */
  readonly others: DesiredHostEndpoint | undefined;
  readonly refusals: readonly Refusal[];
}

const ALL_DEVICES = '*';
/** IFNAMSIZ is 16 bytes with the final zero; of the characters that Linux allows, those that no backend mistakes. */
const DEVICE_NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/;

export function holdersOfDevices(
  hostEndpoints: Iterable<DesiredHostEndpoint>,
  devices: readonly HostDevice[],
): HostDeviceHolders {
  const sorted = [...hostEndpoints].sort((a, b) => compare(a.name, b.name));
  const refusals: Refusal[] = [];
  const named = new Map<string, DesiredHostEndpoint>();
  const hold = (deviceName: string, endpoint: DesiredHostEndpoint): void => {
    if (named.has(deviceName)) return;
    const reason = unfitName(deviceName);
    if (reason === undefined) named.set(deviceName, endpoint);
    else refusals.push({ endpointId: endpoint.name, reason });
  };
  for (const endpoint of sorted) {
    if (endpoint.deviceName !== undefined && endpoint.deviceName !== ALL_DEVICES) hold(endpoint.deviceName, endpoint);
  }
  for (const endpoint of sorted.filter(({ deviceName }) => deviceName === undefined)) {
    const having = devices.filter(({ name, addresses }) => !isWorkloadDevice(name) && share(addresses, endpoint));
    for (const { name } of having) hold(name, endpoint);
  }
  return {
    named: new Map([...named].sort(([a], [b]) => compare(a, b))),
    others: sorted.find(({ deviceName }) => deviceName === ALL_DEVICES),
    refusals,
  };
}

function share(addresses: readonly Ip[], { expectedAddresses }: DesiredHostEndpoint): boolean {
  return expectedAddresses.some((expected) => addresses.some((address) => sameIp(address, expected)));
}

function unfitName(deviceName: string): string | undefined {
  const quoted = JSON.stringify(deviceName);
  if (isWorkloadDevice(deviceName)) {
    return `device ${quoted} is a container's, for it begins with "${WORKLOAD_DEVICE_PREFIX}"; a host endpoint must name a device of the host`;
  }
  if (DEVICE_NAME.test(deviceName)) return undefined;
  const right = 'a letter and up to 14 more letters, digits, dots, dashes or underscores';
  return `device name ${quoted} cannot be policed, it must be ${right}`;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
