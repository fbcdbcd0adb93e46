/**
 * What ADD answers: the interfaces made, the addresses given, the routes in the container, in the caller's version of CNI.
 *
 * One result serves all versions. Before 0.3.0 there is one slot for each family and no interface. Up to 0.4.0 an address
 * names its family and `dns` is always there; 1.1.0 adds the MTU of an interface. In a chain the result of the plugins before
 * us comes first, and our addresses' indices count on from there (CNI SPEC 1.1.0, "Result types").
 */
import type { Cidr } from '../net/cidr.ts';
import { formatCidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import type { CniVersion } from './cni-error.ts';
import { isAtLeast } from './cni-error.ts';
import type { JsonObject } from './fields.ts';
import type { PreviousResult } from './previous-result.ts';

export interface CniResult {
  readonly interfaces: readonly ResultInterface[];
  readonly addresses: readonly ResultAddress[];
  readonly routes: readonly ResultRoute[];
}

export interface ResultInterface {
  readonly name: string;
  readonly mac: Mac;
  readonly mtu: number;
  /** The namespace's path; undefined for the host's end. */
  readonly sandbox: string | undefined;
}

export interface ResultAddress {
  readonly address: Cidr;
  readonly gateway: Ip | undefined;
  /** Index into `interfaces`. */
  readonly interfaceIndex: number;
}

export interface ResultRoute {
  readonly destination: Cidr;
  readonly gateway: Ip | undefined;
}

/** What a result has beside our own part. */
export interface ResultSurroundings {
  /** What earlier plugins of the chain made: it comes first. */
  readonly previous: PreviousResult | undefined;
  /** Of the configuration; it replaces that of earlier plugins. */
  readonly dns: JsonObject | undefined;
}

/** The result as it goes to stdout, in one line. */
export function encodeResult(version: CniVersion, result: CniResult, { previous, dns }: ResultSurroundings): string {
  const firstIndex = previous?.interfaces.length ?? 0;
  // Keys whose value is undefined do not appear in JSON.
  const interfaces = result.interfaces.map(({ name, mac, mtu, sandbox }) => ({
    name,
    mac,
    mtu: isAtLeast(version, '1.1.0') ? mtu : undefined,
    sandbox,
  }));
  const ips = result.addresses.map(({ address, gateway, interfaceIndex }) => ({
    interface: firstIndex + interfaceIndex,
    address: formatCidr(address),
    gateway: gateway === undefined ? undefined : formatIp(gateway),
  }));
  const routes = result.routes.map(({ destination, gateway }) => ({
    dst: formatCidr(destination),
    gw: gateway === undefined ? undefined : formatIp(gateway),
  }));
  const whole: PreviousResult = {
    interfaces: [...(previous?.interfaces ?? []), ...interfaces],
    ips: [...(previous?.ips ?? []), ...ips],
    routes: [...(previous?.routes ?? []), ...routes],
    dns: dns ?? previous?.dns ?? {},
  };
  return `${JSON.stringify({ cniVersion: version, ...shapeOf(version, whole) })}\n`;
}

function shapeOf(version: CniVersion, whole: PreviousResult): JsonObject {
  if (!isAtLeast(version, '0.3.0')) return slotsOf(whole);
  const upTo040 = !isAtLeast(version, '1.0.0');
  const ips = whole.ips.map(({ version: _, ...rest }) => ({
    version: upTo040 ? familyDigit(rest.address) : undefined,
    ...rest,
  }));
  const hasDns = upTo040 || Object.keys(whole.dns).length > 0;
  return { interfaces: whole.interfaces, ips, routes: whole.routes, dns: hasDns ? whole.dns : undefined };
}

/** Before 0.3.0 there is one address of each family, with its routes, and no interface. */
function slotsOf({ ips, routes, dns }: PreviousResult): JsonObject {
  const slot = (family: '4' | '6'): JsonObject | undefined => {
    const first = ips.find(({ address }) => familyDigit(address) === family);
    if (first === undefined) return undefined;
    const own = routes.filter(({ dst }) => familyDigit(String(dst)) === family);
    return { ip: first.address, gateway: first.gateway, routes: own.length === 0 ? undefined : own };
  };
  return { ip4: slot('4'), ip6: slot('6'), dns };
}

function familyDigit(text: string): '4' | '6' {
  return text.includes(':') ? '6' : '4';
}
