/**
 * Hosts on one wire: a network namespace each, joined by a bridge in a namespace of its own.
 *
 * Wires may stand beside each other: they have the same addresses and share nothing. Each host has `eth0` with 10.98.0.N/24 and fd98::N/64, and forwards. All names begin with `muslin-test-`; nothing outside of
 * these namespaces is touched, and `remove` takes away whatever is there, however far the making got.
 */
import type { Place } from './daemon.ts';
import { ip } from './process.ts';

let made = 0;

export class Wire {
  readonly #prefix: string;
  readonly #namespaces: string[] = [];
  readonly #remove = (): void => this.remove();

  constructor(name: string) {
    made += 1;
    this.#prefix = `muslin-test-${name}-${process.pid}-${made}`;
    process.once('exit', this.#remove);
    this.#add(this.#switch);
    ip('-n', this.#switch, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
    ip('-n', this.#switch, 'link', 'set', 'br0', 'up');
  }

  get #switch(): string {
    return `${this.#prefix}-switch`;
  }

  #add(namespace: string): void {
    ip('netns', 'add', namespace);
    this.#namespaces.push(namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
  }

  /** Adds a host; `number` is the last part of its addresses. */
  host(name: string, number: number): Place {
    const namespace = `${this.#prefix}-${name}`;
    const place = { namespace, address: `10.98.0.${number}`, address6: `fd98::${number}` };
    this.#add(namespace);
    const end = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace];
    ip('-n', this.#switch, 'link', 'add', `port${number}`, ...end);
    ip('-n', this.#switch, 'link', 'set', `port${number}`, 'master', 'br0', 'up');
    ip('-n', namespace, 'addr', 'add', `${place.address}/24`, 'dev', 'eth0');
    ip('-n', namespace, 'addr', 'add', `${place.address6}/64`, 'dev', 'eth0', 'nodad');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('netns', 'exec', namespace, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    return place;
  }

  get namespaces(): readonly string[] {
    return this.#namespaces;
  }

  remove(): void {
    process.removeListener('exit', this.#remove);
    for (const namespace of this.#namespaces.splice(0)) {
      try {
        ip('netns', 'del', namespace);
      } catch {
        // it was never made
      }
    }
  }
}
