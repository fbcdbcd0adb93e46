/**
 * What the network configuration (a conflist's plugin object, with what the runtime adds to it) asks of us.
 *
 *   {"cniVersion": "1.0.0", "name": "net", "type": "muslin", "agentSocket": "/run/muslin/cni.sock", "mtu": 1480,
 *    "ipam": {"type": "muslin", "assign_ipv4": "true", "assign_ipv6": "false", "ipv4_pools": ["10.1.0.0/16", "pool-a"]},
 *    "runtimeConfig": {"ips": ["10.1.0.7"], "mac": "02:00:00:00:00:07"}}
 *
 * The keys are Calico's where Calico has them. Keys that we do not know are ignored at the top level, where runtimes and
 * other tools put theirs, and refused inside `ipam`, which is ours alone: a misspelt key there would silently not count.
 * `agentSocket` has been read by the plugin (shim.c) when the configuration arrives here. Called by request.ts.
 */

import { isJsonObject } from '../lib/json.ts';
import { parseCidr, parseInterfaceAddress } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import { parseMac } from '../net/mac.ts';
import type { CniErrorCode } from './cni-error.ts';
import { CNI_ERROR } from './cni-error.ts';

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
}

/** Notes an error; the answer lets a reader end with `return report(…)`. */
export type Report = (code: CniErrorCode, message: string) => undefined;

export type JsonObject = Readonly<Record<string, unknown>>;

/** RFC 8200 section 5: the kernel takes IPv6 off a device with less. */
const MTU_MIN = 1280;
/** The length field of an IPv4 packet has 16 bits. */
const MTU_MAX = 65535;
/** A list of pools is written by hand; more is a mistake. */
const POOLS_MAX = 64;
const POOL_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const IPAM_KEYS: readonly string[] = ['type', 'assign_ipv4', 'assign_ipv6', 'ipv4_pools', 'ipv6_pools'];

/** Reads a configuration; what is wrong is reported, and what could not be read has its default. */
export function readNetworkConfiguration(document: JsonObject, report: Report): NetworkConfiguration {
  const ipam = readObject(document, 'ipam', report);
  if (ipam.type !== undefined && ipam.type !== 'muslin') {
    invalid(report, 'ipam.type', ipam.type, 'not supported: leave "ipam" out, or write "muslin"');
  }
  for (const [key, value] of Object.entries(ipam)) {
    if (IPAM_KEYS.includes(key)) continue;
    report(
      CNI_ERROR.unsupportedField,
      `ipam.${key}: ${JSON.stringify(value)} is not supported; there are ${IPAM_KEYS.join(', ')}`,
    );
  }
  const families: Family[] = [];
  if (readFlag(ipam, 'assign_ipv4', true, report)) families.push(4);
  if (readFlag(ipam, 'assign_ipv6', false, report)) families.push(6);
  if (families.length === 0) {
    invalid(report, 'ipam.assign_ipv4', 'false', 'too little with assign_ipv6 "false": one of them must be "true"');
  }
  const runtime = readObject(document, 'runtimeConfig', report);
  return {
    families,
    pools: { 4: readPools(ipam, 'ipv4_pools', 4, report), 6: readPools(ipam, 'ipv6_pools', 6, report) },
    mtu: readMtu(document.mtu, report),
    requestedAddresses: readRequestedAddresses(runtime.ips, report),
    mac: readRequestedMac(runtime.mac, report),
  };
}

/**
 * The addresses of `texts`, each "10.1.0.7" or "10.1.0.7/16": CNI's convention wants the length, which says nothing here,
 * for a container's address always stands alone in its prefix. `place` and `code` are for the error.
 */
export function readAddresses(texts: readonly unknown[], place: string, code: CniErrorCode, report: Report): Ip[] {
  const addresses: Ip[] = [];
  for (const text of texts) {
    const address = typeof text === 'string' ? (parseIp(text) ?? parseInterfaceAddress(text)?.address) : undefined;
    if (address === undefined) {
      report(code, `${place}: ${JSON.stringify(text)} is not an IP address; "10.1.0.7" or "fd00::7" would be one`);
      continue;
    }
    const other = addresses.find((known) => known.family === address.family);
    if (other === undefined) addresses.push(address);
    else {
      const both = `${formatIp(other)} and ${formatIp(address)}`;
      report(code, `${place}: ${both} are both IPv${address.family}; a container has one address of a family`);
    }
  }
  return addresses;
}

/** The MAC that `text` denotes, if one interface can have it. */
export function readMac(text: unknown, place: string, code: CniErrorCode, report: Report): Mac | undefined {
  const mac = typeof text === 'string' ? parseMac(text) : undefined;
  // The lowest bit of the first byte marks a group address, which no interface can have as its own; nor all zeros.
  const unicast = mac !== undefined && Number.parseInt(mac.slice(0, 2), 16) % 2 === 0 && /[1-9a-f]/.test(mac);
  if (unicast) return mac;
  return report(code, `${place}: ${JSON.stringify(text)} is not a unicast MAC; "02:00:00:00:00:07" would be one`);
}

function readObject(parent: JsonObject, key: string, report: Report): JsonObject {
  const value = parent[key] ?? {};
  if (isJsonObject(value)) return value;
  invalid(report, key, value, 'not an object');
  return {};
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

function readPools(ipam: JsonObject, key: string, family: Family, report: Report): string[] {
  const value = ipam[key] ?? [];
  if (!Array.isArray(value) || value.length > POOLS_MAX) {
    invalid(report, `ipam.${key}`, value, `not a list of at most ${POOLS_MAX} pools`);
    return [];
  }
  const pools: string[] = [];
  for (const [index, pool] of value.entries()) {
    const text = typeof pool === 'string' ? pool : '';
    const prefix = parseCidr(text);
    if (prefix?.address.family === family || (prefix === undefined && POOL_NAME.test(text))) pools.push(text);
    else invalid(report, `ipam.${key}[${index}]`, pool, `neither an IPv${family} CIDR nor the name of an IPPool`);
  }
  return pools;
}

function readMtu(value: unknown, report: Report): number | undefined {
  if (value === undefined || value === 0) return undefined; // 0 is how plugins spell "not set"
  if (typeof value === 'number' && Number.isInteger(value) && value >= MTU_MIN && value <= MTU_MAX) return value;
  return invalid(report, 'mtu', value, `not a number from ${MTU_MIN} to ${MTU_MAX}`);
}

function readRequestedAddresses(value: unknown, report: Report): readonly Ip[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return readAddresses(value, 'runtimeConfig.ips', CNI_ERROR.invalidConfiguration, report);
  invalid(report, 'runtimeConfig.ips', value, 'not a list of addresses');
  return [];
}

function readRequestedMac(value: unknown, report: Report): Mac | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  return readMac(value, 'runtimeConfig.mac', CNI_ERROR.invalidConfiguration, report);
}

function invalid(report: Report, place: string, value: unknown, problem: string): undefined {
  return report(CNI_ERROR.invalidConfiguration, `${place}: ${JSON.stringify(value).slice(0, 200)} is ${problem}`);
}
