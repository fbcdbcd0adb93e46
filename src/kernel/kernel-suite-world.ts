/**
 * What the compliance suites of the Kernel interface share: worlds to test in, and short ways to say routes.
 *
 * A world is two empty namespaces, of the fake kernel or of the real one. Called by kernel.suite.ts and
 * kernel-routes.suite.ts only.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { cidr, containsIp } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import {
  formatRoute,
  type IfIndex,
  ifIndex,
  type Link,
  type NextHop,
  ROUTE_SCOPE,
  ROUTE_TABLE,
  type Route,
} from '../net/kernel-objects.ts';
import { type Kernel, KernelError, type KernelEvent } from './kernel.ts';

export interface SuiteWorld {
  readonly kernel: Kernel;
  /** Another namespace: its path, and its kernel. */
  readonly peerPath: string;
  readonly peer: Kernel;
  close(): void;
}

export const LOOPBACK = ifIndex(1);
/** An index that no device of the worlds reaches. */
export const NO_LINK = ifIndex(9999);
/** The protocol of the routes that the suites put. */
const OURS = 80;

/** A world for the tests of one `describe`, with a veth between the two namespaces, or what `prepare` makes. */
export function worldOf(
  makeWorld: () => SuiteWorld,
  prepare: (world: SuiteWorld) => void = () => undefined,
): () => SuiteWorld {
  let world: SuiteWorld | undefined;
  before(() => {
    world = makeWorld();
    prepare(world);
  });
  after(() => world?.close());
  return () => {
    assert.ok(world !== undefined);
    return world;
  };
}

/** cali1 with eth0 and cali2 with eth1 in the peer; with `addresses`, all are up and the near ends have subnets. */
export function connect({ kernel, peer, peerPath }: SuiteWorld, addresses: boolean): void {
  for (const number of [1, 2]) {
    const near = kernel.addVeth({ name: `cali${number}`, peer: { name: `eth${number - 1}`, namespacePath: peerPath } });
    if (!addresses) continue;
    kernel.setLinkUp(near.index, true);
    peer.setLinkUp(linkOf(peer, `eth${number - 1}`).index, true);
    kernel.addAddress(near.index, ip(`10.0.${number - 1}.1`), 24);
    kernel.addAddress(near.index, ip(number === 1 ? 'fd00::1' : 'fd00:1::1'), 64);
  }
}

export function linkOf(kernel: Kernel, name: string): Link {
  const link = kernel.link(name);
  assert.ok(link !== undefined, `no link ${name}`);
  return link;
}

export function route(destination: string, part: Partial<Route>): Route {
  return {
    destination: cidr(destination),
    type: 'unicast',
    nextHops: [],
    protocol: OURS,
    scope: ROUTE_SCOPE.universe,
    table: ROUTE_TABLE.main,
    metric: 0,
    source: undefined,
    ...part,
  };
}

export function via(gateway: string, index: IfIndex, onlink = false): NextHop {
  return { gateway: ip(gateway), index, onlink };
}

/** The main table as lines, sorted, without link-local routes. */
export function shown(kernel: Kernel): string[] {
  const names = new Map(kernel.links().map(({ index, name }) => [index, name]));
  return kernel
    .routes(ROUTE_TABLE.main)
    .filter(({ destination }) => !containsIp(cidr('fe80::/10'), destination.address))
    .map((known) => formatRoute(known, (index) => names.get(index)))
    .sort();
}

/** The lines of one destination. */
export function at(kernel: Kernel, destination: string): string[] {
  return shown(kernel).filter((line) => line.split(' ').includes(destination));
}

export function throwsCode(work: () => unknown, code: string, text: RegExp, what = ''): void {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof KernelError, `${what}: ${error}`);
    assert.equal(error.code, code, `${what}: ${error.message}`);
    assert.match(error.message, text, what);
    return;
  }
  assert.fail(`${what}: ${code} was expected, but nothing was refused`);
}

/** Waits until a condition on the links holds. */
export async function linkChange(kernel: Kernel, condition: () => boolean): Promise<void> {
  const events = recordEvents(kernel);
  while (!condition()) await events.until(({ kind }) => kind === 'link');
  events.stop();
}

/** Watches a kernel and keeps what it tells. */
export function recordEvents(kernel: Kernel) {
  const seen: KernelEvent[] = [];
  let wake: () => void = () => undefined;
  const stop = kernel.watch((event) => {
    seen.push(event);
    wake();
  });
  return {
    seen,
    stop,
    /** Waits until such an event has come, and drops it and those before it. */
    until: async (wanted: (event: KernelEvent) => boolean): Promise<void> => {
      for (;;) {
        const place = seen.findIndex(wanted);
        if (place >= 0) {
          seen.splice(0, place + 1);
          return;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
