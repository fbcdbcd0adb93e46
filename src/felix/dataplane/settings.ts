/**
 * The kernel settings (sysctls) that the network needs, as names below /proc/sys/net and values.
 *
 * Host: it must forward. Each container's device: forward; answer ARP for the gateway at once rather than after the
 * random delay of a proxy; check sources; never learn routes from a container (router advertisements); have the
 * link-local address that containers use as their IPv6 gateway (made from the MAC, hence EUI-64), and have it
 * without the second or two of duplicate address detection during which nobody would answer for it.
 *
 * Sources are judged by the packet filter, for both families. The kernel's own check comes on top where it can: it knows of
 * no exceptions, so a container with sources besides its own addresses has to do without.
 */
import { familyOf } from '../../net/cidr.ts';
import type { DesiredEndpoint } from '../desired/desired.ts';
import { isTunnelDevice } from '../desired/tunnels.ts';
import { isWorkloadDevice } from './ownership.ts';

/** Of the whole host. */
export const IPV6_FORWARDING = 'ipv6/conf/all/forwarding';

export function hostSettings(ipv6: boolean): Map<string, string> {
  const settings = new Map([['ipv4/ip_forward', '1']]);
  if (ipv6) settings.set(IPV6_FORWARDING, '1');
  return settings;
}

/** Whether a setting outlives us: it is of the host or of a device of others; with a container's device or a tunnel it goes. */
export function isHostSetting(name: string): boolean {
  return !name.split('/').some((part) => isWorkloadDevice(part) || isTunnelDevice(part));
}

/**
 * The settings that the kernel changes by itself when one of the host's is written: forwarding of all devices is forwarding of each,
 * and with it goes the belief in redirects. Who wants to put things back as they were has to know these.
 * Source: inet_forward_change in net/ipv4/devinet.c, addrconf_forward_change in net/ipv6/addrconf.c.
 */
export function settingsThatFollow(name: string, deviceNames: readonly string[]): string[] {
  const ofEach = (family: string): string[] =>
    ['default', ...deviceNames.filter((device) => !isWorkloadDevice(device))].map(
      (device) => `${family}/conf/${device}/forwarding`,
    );
  if (name === 'ipv4/ip_forward') return ['ipv4/conf/all/accept_redirects', ...ofEach('ipv4')];
  return name === IPV6_FORWARDING ? ofEach('ipv6') : [];
}

/** Settings of the host end of an endpoint's veth; they are to be written before the device is brought up. */
export function deviceSettings(endpoint: DesiredEndpoint): Map<string, string> {
  const device = endpoint.deviceName;
  const settings = new Map([
    [`ipv4/conf/${device}/forwarding`, '1'],
    [`ipv4/conf/${device}/rp_filter`, endpoint.allowedSources.length === 0 ? '1' : '0'],
    [`ipv4/conf/${device}/send_redirects`, '0'],
    [`ipv4/neigh/${device}/proxy_delay`, '0'],
    [`ipv6/conf/${device}/accept_ra`, '0'],
    [`ipv6/conf/${device}/accept_dad`, '0'],
    [`ipv6/conf/${device}/addr_gen_mode`, '0'],
  ]);
  if (endpoint.addresses.some((address) => familyOf(address) === 6)) {
    settings.set(`ipv6/conf/${device}/forwarding`, '1');
  }
  return settings;
}
