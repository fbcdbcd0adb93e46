/**
 * Two hosts in different subnets with a container each, and a router between that knows nothing of containers.
 *
 *   ca 172.17.8.2 ── ha 192.168.100.100 ── router ── 192.168.200.101 hb ── 172.17.9.2 cb
 *
 * The routes between the containers lead into `tunl0`, which is for the test to make. Everything is in namespaces of the
 * world's own.
 */
import { execFileSync } from 'node:child_process';
import { addNamespace, inNamespace, namespacePath, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { interfaceIndex } from '../../src/kernel/system-calls.ts';
import { type IfIndex, ifIndex } from '../../src/net/kernel-objects.ts';

const PLACES = ['ha', 'hb', 'router', 'ca', 'cb'] as const;
type Place = (typeof PLACES)[number];

export const ADDRESS = { ha: '192.168.100.100', hb: '192.168.200.101', ca: '172.17.8.2', cb: '172.17.9.2' } as const;
const GATEWAY = '169.254.1.1';
const WORKLOAD_MAC = 'ee:ee:ee:ee:ee:ee';
export const TUNNEL_MTU = 1480;

export class IpipWorld {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
    try {
      this.#build();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  path(place: Place): string {
    return namespacePath(this.#prefix + place);
  }

  /** Runs a program in a place and gives its output; throws when it fails. */
  run(place: Place, ...command: string[]): string {
    const args = ['netns', 'exec', this.#prefix + place, ...command];
    return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 });
  }

  ip(place: Place, words: string): string {
    return execFileSync('ip', ['-n', this.#prefix + place, ...words.split(' ')], { encoding: 'utf8' });
  }

  index(place: Place, device: string): IfIndex {
    return ifIndex(inNamespace(this.path(place), () => interfaceIndex(device)));
  }

  /** To be called once `tunl0` is there on both hosts. */
  addTunnelRoutes(): void {
    this.ip('ha', `route replace 172.17.9.0/24 via ${ADDRESS.hb} dev tunl0 proto bird onlink`);
    this.ip('hb', `route replace 172.17.8.0/24 via ${ADDRESS.ha} dev tunl0 proto bird onlink`);
  }

  close(): void {
    for (const place of PLACES) removeNamespace(this.#prefix + place);
  }

  #build(): void {
    for (const place of PLACES) {
      addNamespace(this.#prefix + place);
      this.ip(place, 'link set lo up');
      // Strict about where a source may come from, as many distributions are.
      const forwarding = ['net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=1'];
      if (place !== 'ca' && place !== 'cb') this.run(place, 'sysctl', '-qw', ...forwarding);
    }
    // Each test may hear from a router as often as it asks.
    this.run('router', 'sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0');
    for (const [host, container, subnet] of [
      ['ha', 'ca', '192.168.100'],
      ['hb', 'cb', '192.168.200'],
    ] as const) {
      this.ip(host, `link add eth0 type veth peer name to-${host} netns ${this.#prefix}router`);
      this.ip(host, `addr add ${ADDRESS[host]}/24 dev eth0`);
      this.ip('router', `addr add ${subnet}.1/24 dev to-${host}`);
      this.ip('router', `link set to-${host} up`);
      this.ip(host, 'link set eth0 up');
      this.ip(host, `route add default via ${subnet}.1`);
      this.ip(
        host,
        `link add cali1 address ${WORKLOAD_MAC} type veth peer name eth0 netns ${this.#prefix}${container}`,
      );
      this.ip(host, 'link set cali1 up');
      this.ip(host, `route add ${ADDRESS[container]} dev cali1`);
      this.ip(container, `addr add ${ADDRESS[container]}/32 dev eth0`);
      this.ip(container, 'link set eth0 up');
      this.ip(container, `neigh add ${GATEWAY} lladdr ${WORKLOAD_MAC} dev eth0 nud permanent`);
      this.ip(container, `route add ${GATEWAY} dev eth0 scope link`);
      this.ip(container, `route add default via ${GATEWAY} dev eth0`);
      this.run(host, 'sysctl', '-qw', 'net.ipv4.conf.cali1.proxy_arp=1');
    }
  }
}
