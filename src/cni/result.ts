/**
 * What ADD answers: the interfaces made, the addresses given, the routes in the container, in the caller's version of CNI.
 *
 * One result serves all versions. Up to 0.4.0 an address names its family and `dns` is always there; 1.1.0 adds the MTU of
 * an interface. Nothing else differs from 0.3.0 on, which is why older versions are not spoken (CNI SPEC 1.1.0, "Result types").
 */
import type { Cidr } from '../net/cidr.ts';
import { formatCidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import type { CniVersion } from './cni-error.ts';
import { isAtLeast } from './cni-error.ts';

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

/** The result as it goes to stdout, in one line. */
export function encodeResult(version: CniVersion, result: CniResult): string {
  const upTo040 = !isAtLeast(version, '1.0.0');
  // Keys whose value is undefined do not appear in JSON.
  const document = {
    cniVersion: version,
    interfaces: result.interfaces.map(({ name, mac, mtu, sandbox }) => ({
      name,
      mac,
      mtu: isAtLeast(version, '1.1.0') ? mtu : undefined,
      sandbox,
    })),
    ips: result.addresses.map(({ address, gateway, interfaceIndex }) => ({
      version: upTo040 ? String(address.address.family) : undefined,
      interface: interfaceIndex,
      address: formatCidr(address),
      gateway: gateway === undefined ? undefined : formatIp(gateway),
    })),
    routes: result.routes.map(({ destination, gateway }) => ({
      dst: formatCidr(destination),
      gw: gateway === undefined ? undefined : formatIp(gateway),
    })),
    dns: upTo040 ? {} : undefined,
  };
  return `${JSON.stringify(document)}\n`;
}
