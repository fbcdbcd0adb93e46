/**
 * /proc/sys/net of the fake kernel.
 *
 * The files that muslin and its tests touch, with the kernel's own first values; each device has its own set, as have
 * "all" and "default". A file that is not in these tables does not exist, so a misspelt name is found by the fake.
 * Forwarding is the one setting that reaches others: switching it for all switches it for each device.
 *
 * Source: Documentation/networking/ip-sysctl.rst of Linux.
 */
import { KernelError } from './kernel.ts';
import { checkSysctlName } from './kernel-names.ts';

const NEIGHBOUR_FILES = { proxy_delay: '80', base_reachable_time_ms: '30000', gc_stale_time: '60' };
const DEVICE_FILES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'ipv4/conf': {
    accept_local: '0',
    accept_redirects: '1',
    arp_announce: '0',
    arp_ignore: '0',
    forwarding: '0',
    log_martians: '0',
    proxy_arp: '0',
    proxy_arp_pvlan: '0',
    route_localnet: '0',
    rp_filter: '0',
    send_redirects: '1',
    src_valid_mark: '0',
  },
  'ipv6/conf': {
    accept_dad: '1',
    accept_ra: '1',
    accept_redirects: '1',
    addr_gen_mode: '0',
    autoconf: '1',
    disable_ipv6: '0',
    forwarding: '0',
    keep_addr_on_down: '0',
    proxy_ndp: '0',
  },
  'ipv4/neigh': NEIGHBOUR_FILES,
  'ipv6/neigh': NEIGHBOUR_FILES,
};
const GLOBAL_FILES: Readonly<Record<string, string>> = {
  'ipv4/ip_forward': '0',
  'ipv4/fib_multipath_hash_policy': '0',
  'ipv6/fib_multipath_hash_policy': '0',
};

export class FakeSysctl {
  readonly #files = new Map<string, string>(Object.entries(GLOBAL_FILES));

  constructor() {
    this.addDevice('all');
    this.addDevice('default');
  }

  addDevice(name: string): void {
    for (const [folder, files] of Object.entries(DEVICE_FILES)) {
      for (const [file, value] of Object.entries(files)) {
        const path = `${folder}/${name}/${file}`;
        this.#files.set(path, this.#files.get(`${folder}/default/${file}`) ?? value);
      }
    }
  }

  removeDevice(name: string): void {
    for (const path of [...this.#files.keys()]) if (path.split('/')[2] === name) this.#files.delete(path);
  }

  read(name: string): string | undefined {
    checkSysctlName(name);
    return this.#files.get(name);
  }

  write(name: string, value: string): void {
    checkSysctlName(name);
    if (!this.#files.has(name)) throw new KernelError('ENOENT', `writing "${value}" to ${name}: there is no such file`);
    if (!/^-?[0-9]+$/.test(value)) throw new KernelError('EINVAL', `writing "${value}" to ${name}: a number is needed`);
    this.#files.set(name, value);
    if (name === 'ipv4/ip_forward') this.#everywhere(/^ipv4\/conf\/[^/]+\/forwarding$/, value);
    if (name === 'ipv4/conf/all/forwarding') this.#everywhere(/^ipv4\/(ip_forward|conf\/[^/]+\/forwarding)$/, value);
    if (name === 'ipv6/conf/all/forwarding') this.#everywhere(/^ipv6\/conf\/[^/]+\/forwarding$/, value);
  }

  #everywhere(pattern: RegExp, value: string): void {
    for (const path of this.#files.keys()) if (pattern.test(path)) this.#files.set(path, value);
  }
}
