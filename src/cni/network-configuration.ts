/**
 * What the network configuration (a conflist's plugin object, with what the runtime adds to it) asks of us.
 *
 *   {"cniVersion": "1.0.0", "name": "net", "type": "muslin", "agentSocket": "/run/muslin/cni.sock", "mtu": 1480,
 *    "ipam": {"type": "muslin", "assign_ipv4": "true", "assign_ipv6": "false", "ipv4_pools": ["10.1.0.0/16", "pool-a"]},
 *    "labels": {"zone": "a"}, "dns": {"nameservers": ["10.1.0.53"]},
 *    "args": {"cni": {"ips": ["10.1.0.7"], "mac": "02:00:00:00:00:07", "labels": [{"key": "app", "value": "web"}]}},
 *    "runtimeConfig": {"ips": ["10.1.0.7"], "mac": "02:00:00:00:00:07", "io.kubernetes.cri.pod-annotations": {}}}
 *
 * The keys are Calico's where Calico has them. Keys that we do not know are ignored at the top level, where runtimes and
 * other tools put theirs, and refused inside `ipam`, which is ours alone: a misspelt key there would silently not count.
 * `agentSocket` has been read by the plugin (shim.c) when the configuration arrives here. Called by request.ts.
 */

import { isJsonObject } from '../lib/json.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import { CNI_ERROR } from './cni-error.ts';
import type { JsonObject, Labels, Report } from './fields.ts';
import {
  invalid,
  quote,
  readAddresses,
  readLabelPairs,
  readLabels,
  readList,
  readMac,
  readObject,
  readPools,
} from './fields.ts';
import { POD_ANNOTATIONS, readPodAnnotations } from './pod-annotations.ts';

export interface NetworkConfiguration {
  /** Families to assign an address of when none is requested; at least one. */
  readonly families: readonly Family[];
  /** Pools to take addresses from, by name or by CIDR; none means every pool that may be used. */
  readonly pools: { readonly [family in Family]: readonly string[] };
  /** Of the container's interface; undefined leaves it to the agent. */
  readonly mtu: number | undefined;
  /** Exactly these, at most one of a family. */
  readonly requestedAddresses: readonly Ip[];
  /** Of the container's interface; undefined leaves it to the kernel. */
  readonly mac: Mac | undefined;
  /** What policy sees of the container, besides what the agent knows of it. */
  readonly labels: Labels;
  /** For the WorkloadEndpoint, as they came. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Outside addresses that lead to the container. */
  readonly floatingAddresses: readonly Ip[];
  /** Also among the annotations. */
  readonly serviceAddresses: readonly Ip[];
  /** What it may send from besides its own addresses. */
  readonly allowedSources: readonly Cidr[];
  /** For the result, as it came; undefined where the configuration has none. */
  readonly dns: JsonObject | undefined;
  /** A tap device for a virtual machine on the host, in place of a veth pair into a container's namespace. */
  readonly tap: boolean;
}

/** RFC 8200 section 5: the kernel takes IPv6 off a device with less. */
const MTU_MIN = 1280;
/** The length field of an IPv4 packet has 16 bits. */
const MTU_MAX = 65535;
const IPAM_KEYS: readonly string[] = ['type', 'assign_ipv4', 'assign_ipv6', 'ipv4_pools', 'ipv6_pools'];
/** What other plugins of a chain do: the capability, which is in runtimeConfig where it is declared on us. */
const OTHERS_CAPABILITIES: readonly { readonly key: string; readonly plugin: string }[] = [
  { key: 'portMappings', plugin: 'portmap' },
  { key: 'bandwidth', plugin: 'bandwidth' },
];
const DNS_LISTS: readonly string[] = ['nameservers', 'search', 'options'];

/** Reads a configuration; what is wrong is reported, and what could not be read has its default. */
export function readNetworkConfiguration(document: JsonObject, report: Report): NetworkConfiguration {
  const ipam = readObject(document, 'ipam', report);
  const families = readIpam(ipam, report);
  const pools4 = readPools(ipam.ipv4_pools, 'ipam.ipv4_pools', 4, report);
  const pools6 = readPools(ipam.ipv6_pools, 'ipam.ipv6_pools', 6, report);
  const runtime = readObject(document, 'runtimeConfig', report);
  refuseOthersCapabilities(runtime, report);
  const args = readObject(readObject(document, 'args', report), 'cni', report, 'args.cni');
  const pod = readPodAnnotations(runtime[POD_ANNOTATIONS], report);
  const code = CNI_ERROR.invalidConfiguration;
  const addressesAt = (value: unknown, place: string): readonly Ip[] => {
    return readAddresses(readList(value, place, 'addresses', report), place, code, report);
  };
  // The nearer to the one container, the more it counts.
  const addresses = [
    addressesAt(runtime.ips, 'runtimeConfig.ips'),
    pod.addresses,
    addressesAt(args.ips, 'args.cni.ips'),
  ];
  const macs = [
    readMac(runtime.mac, 'runtimeConfig.mac', code, report),
    pod.mac,
    readMac(args.mac, 'args.cni.mac', code, report),
  ];
  return {
    families,
    pools: { 4: pod.pools[4].length > 0 ? pod.pools[4] : pools4, 6: pod.pools[6].length > 0 ? pod.pools[6] : pools6 },
    mtu: readMtu(document.mtu, report),
    tap: readTap(document.tap, report),
    requestedAddresses: addresses.find((list) => list.length > 0) ?? [],
    mac: macs.find((mac) => mac !== undefined),
    labels: {
      ...readLabels(document.labels, 'labels', report),
      ...readArgumentLabels(args.labels, report),
      ...pod.labels,
    },
    annotations: pod.passedOn,
    floatingAddresses: pod.floatingAddresses,
    serviceAddresses: pod.serviceAddresses,
    allowedSources: pod.allowedSources,
    dns: readDns(document, report),
  };
}

/** Checks `ipam`; the value is the families. */
function readIpam(ipam: JsonObject, report: Report): readonly Family[] {
  if (ipam.type !== undefined && ipam.type !== 'muslin') {
    invalid(report, 'ipam.type', ipam.type, 'not supported: leave "ipam" out, or write "muslin"');
  }
  for (const [key, value] of Object.entries(ipam)) {
    if (IPAM_KEYS.includes(key)) continue;
    report(
      CNI_ERROR.unsupportedField,
      `ipam.${key}: ${quote(value)} is not supported; there are ${IPAM_KEYS.join(', ')}`,
    );
  }
  const families: Family[] = [];
  if (readFlag(ipam, 'assign_ipv4', true, report)) families.push(4);
  if (readFlag(ipam, 'assign_ipv6', false, report)) families.push(6);
  if (families.length === 0) {
    invalid(report, 'ipam.assign_ipv4', 'false', 'too little with assign_ipv6 "false": one of them must be "true"');
  }
  return families;
}

/** Calico writes these flags as strings; plain booleans are taken as well. */
function readFlag(ipam: JsonObject, key: string, standard: boolean, report: Report): boolean {
  const value = ipam[key];
  if (value === undefined) return standard;
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  invalid(report, `ipam.${key}`, value, 'neither "true" nor "false"');
  return standard;
}

function readMtu(value: unknown, report: Report): number | undefined {
  if (value === undefined || value === 0) return undefined; // 0 is how plugins spell "not set"
  if (typeof value === 'number' && Number.isInteger(value) && value >= MTU_MIN && value <= MTU_MAX) return value;
  return invalid(report, 'mtu', value, `not a number from ${MTU_MIN} to ${MTU_MAX}`);
}

function readTap(value: unknown, report: Report): boolean {
  if (value === undefined || typeof value === 'boolean') return value === true;
  invalid(report, 'tap', value, 'neither true nor false');
  return false;
}

/**
 * A published port that nobody publishes, or a limit that nobody keeps, would be found out much later. A runtime sends these
 * only to the plugin that declares the capability, so they are here by a mistake in the configuration.
 */
function refuseOthersCapabilities(runtime: JsonObject, report: Report): void {
  for (const { key, plugin } of OTHERS_CAPABILITIES) {
    const value = runtime[key];
    const asks = Array.isArray(value) ? value.length > 0 : typeof value === 'object' && value !== null;
    if (!asks) continue;
    const remedy = `take "capabilities": {"${key}": true} from muslin, and give it to the plugin "${plugin}" after it`;
    report(CNI_ERROR.unsupportedField, `runtimeConfig.${key}: ${quote(value)} is not for muslin: ${remedy}`);
  }
}

/** CNI's conventions: [{"key": "app", "value": "web"}]. */
function readArgumentLabels(value: unknown, report: Report): Labels {
  const place = 'args.cni.labels';
  const entries = readList(value, place, 'labels', report);
  const pairs = entries.map((entry) => {
    return isJsonObject(entry) ? ([entry.key, entry.value] as const) : ([undefined, undefined] as const);
  });
  return readLabelPairs(pairs, place, report);
}

function readDns(document: JsonObject, report: Report): JsonObject | undefined {
  const dns = readObject(document, 'dns', report);
  for (const key of DNS_LISTS) {
    const list = readList(dns[key], `dns.${key}`, 'texts', report);
    const wrong = list.find((text) => typeof text !== 'string');
    if (wrong !== undefined) invalid(report, `dns.${key}`, wrong, 'not a text');
  }
  if (dns.domain !== undefined && typeof dns.domain !== 'string')
    invalid(report, 'dns.domain', dns.domain, 'not a text');
  return Object.keys(dns).length === 0 ? undefined : dns;
}
