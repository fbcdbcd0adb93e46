/**
 * Two namespaces joined by a veth pair, and our BFD in either of them.
 *
 * An end keeps what its BFD says; `until` waits for a condition, which is looked at whenever something is said, and fails with
 * everything that was said when it does not come. BFD uses the namespace of the thread that calls `watch` first, so
 * both ends live in the test's process.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import type { BfdView } from '../../src/bfd/contract.ts';
import type { PeerName } from '../../src/bgp/contract.ts';
import { peerName } from '../../src/bgp/contract.ts';
import type { BfdConfig, PeerConfig } from '../../src/bgp/peer-config.ts';
import { INTERNAL_PEER } from '../../src/bgp/peer-config.ts';
import { inNamespace, namespacePath } from '../../src/kernel/network-namespace.ts';
import type { Log } from '../../src/lib/log.ts';
import { asn } from '../../src/net/asn.ts';
import { ip } from '../../src/net/ip.ts';
import type { Bfd } from '../../src/node/bfd.ts';
import { startBfd } from '../../src/node/bfd.ts';

/** CI shares its two cores; this is when waiting has become pointless, not how fast things should be. */
const PATIENCE_MS = 30_000;

export const RATE: BfdConfig = { intervalMs: 300, multiplier: 3, multihop: false };

export interface Down {
  readonly peer: PeerName;
  readonly reason: string;
  readonly at: number;
}

export class End {
  readonly namespace: string;
  readonly said: string[] = [];
  readonly downs: Down[] = [];
  readonly #bfd: Bfd;
  readonly #spoke = new EventEmitter();

  constructor(namespace: string) {
    this.namespace = namespace;
    const say = (message: string, data: object = {}): void => {
      this.said.push(`${message} ${JSON.stringify(data)}`);
      this.#spoke.emit('spoke');
    };
    const log: Log = { debug: say, info: say, warn: say, error: say, child: () => log };
    this.#bfd = startBfd({
      log,
      onDown: (peer, reason) => {
        this.downs.push({ peer, reason, at: performance.now() });
        say('down', { peer, reason });
      },
    });
  }

  watch(peer: string, localAddress: string, bfd: BfdConfig = RATE): void {
    inNamespace(namespacePath(this.namespace), () => this.#bfd.watch(peerOf(peer, bfd), ip(localAddress)));
  }

  unwatch(peer: string): void {
    this.#bfd.unwatch(peerName(peerOf(peer, RATE)));
  }

  view(peer: string): BfdView | undefined {
    return this.#bfd.sessions().find((view) => view.peer === peer);
  }

  async untilUp(...peers: readonly string[]): Promise<void> {
    await this.until(`up: ${peers}`, () => peers.every((peer) => this.view(peer)?.state === 'Up'));
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    while (!condition()) {
      try {
        await once(this.#spoke, 'spoke', { signal });
      } catch {
        assert.fail(`${what}: not within ${PATIENCE_MS} ms\n${this.said.join('\n')}`);
      }
    }
  }

  close(): Promise<void> {
    return this.#bfd.close();
  }
}

/** "fe80::1%eth0" is a link-local peer with its device. */
function peerOf(text: string, bfd: BfdConfig): PeerConfig {
  const [address = '', device] = text.split('%');
  return { ...INTERNAL_PEER, address: ip(address), device, asn: asn(64512), bfd };
}

export class Link {
  readonly a = `muslin-test-bfd-${process.pid}a`;
  readonly b = `muslin-test-bfd-${process.pid}b`;

  up(): void {
    for (const name of [this.a, this.b]) ipCommand('netns', 'add', name);
    ipCommand('-n', this.a, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.b);
    for (const [index, name] of [this.a, this.b].entries()) {
      ipCommand('-n', name, 'link', 'set', 'eth0', 'addrgenmode', 'none');
      for (const address of [
        `10.98.0.${index + 1}/24`,
        `10.99.0.${index + 1}/24`,
        `fd99::${index + 1}/64`,
        `fe80::${index + 1}/64`,
      ]) {
        ipCommand('-n', name, 'addr', 'add', address, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
      }
      ipCommand('-n', name, 'link', 'set', 'lo', 'up');
      ipCommand('-n', name, 'link', 'set', 'eth0', 'up');
    }
  }

  /** Rules for what B takes in and sends out, in place of those before; "" for none. */
  rules({ input = '', output = '' }: { readonly input?: string; readonly output?: string }): void {
    const chain = (hook: string, rule: string) => `chain ${hook} { type filter hook ${hook} priority 0; ${rule}\n}\n`;
    const table = `table inet t {\n${chain('input', input)}${chain('output', output)}}`;
    const script = `table inet t {}\ndelete table inet t\n${table}\n`;
    execFileSync('ip', ['netns', 'exec', this.b, 'nft', '-f', '-'], { input: script });
  }

  down(): void {
    for (const name of [this.a, this.b]) {
      try {
        ipCommand('netns', 'del', name);
      } catch {
        // it was never made
      }
    }
  }
}

export function ipCommand(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: 'pipe' });
}
