import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createFakeKernel } from '../kernel/fake-kernel.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Log } from '../lib/log.ts';
import { seededRandom } from '../lib/prng.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import type { Route } from '../net/kernel-objects.ts';
import { formatRoute, ROUTE_PROTOCOL, ROUTE_SCOPE } from '../net/kernel-objects.ts';
import { KernelRoutes } from './standalone-kernel.ts';

const MARK = { table: 254, metric: 179 };
const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => quiet };
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
const via = (address: string, device?: string) => ({ address: ip(address), device });

describe('routes of a speaker alone', () => {
  let kernel: Kernel;
  let routes: KernelRoutes;

  beforeEach(() => {
    kernel = createFakeKernel();
    const { index } = kernel.addVeth({ name: 'eth0', peer: { name: 'far' } });
    const far = kernel.link('far');
    assert.ok(far);
    kernel.setLinkUp(index, true);
    kernel.setLinkUp(far.index, true);
    kernel.addAddress(index, ip('10.0.0.1'), 24);
  });
  afterEach(() => routes.close({ keep: true }));

  const start = (): void => {
    routes = new KernelRoutes({ kernel, mark: MARK, log: quiet, random: seededRandom(1) });
  };
  const ours = (): string[] =>
    kernel
      .routes(MARK.table)
      .filter(({ protocol }) => protocol === ROUTE_PROTOCOL.bird)
      .map((route) => formatRoute(route, (index) => kernel.links().find((each) => each.index === index)?.name))
      .sort();
  /** A pass runs at the end of a turn; one that is cut into slices takes several. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await nextTurn();
  };
  const left = (destination: string, part: Partial<Route> = {}): Route => ({
    ...{ destination: cidr(destination), type: 'unicast', protocol: ROUTE_PROTOCOL.bird, scope: ROUTE_SCOPE.universe },
    ...{ ...MARK, source: undefined, nextHops: [{ gateway: ip('10.0.0.9'), index: undefined, onlink: false }] },
    ...part,
  });

  it('come and go with the best paths, several gateways as one', async () => {
    start();
    routes.best(cidr('10.1.0.0/16'), [via('10.0.0.2'), via('10.0.0.3')], false);
    routes.best(cidr('10.2.0.0/16'), [via('fe80::2', 'eth0')], false);
    routes.converged();
    await settle();
    assert.deepEqual(ours(), [
      '10.1.0.0/16 via 10.0.0.2 dev eth0 nexthop via 10.0.0.3 dev eth0 proto 12',
      '10.2.0.0/16 via fe80::2 dev eth0 onlink proto 12',
    ]);
    routes.best(cidr('10.1.0.0/16'), [via('10.0.0.3')], false);
    routes.best(cidr('10.2.0.0/16'), [], false);
    await settle();
    assert.deepEqual(ours(), ['10.1.0.0/16 via 10.0.0.3 dev eth0 proto 12']);
  });

  it('that an earlier process left go only when BGP has converged; other metrics are not ours', async () => {
    kernel.putRoute(left('10.1.0.0/16'));
    kernel.putRoute(left('10.2.0.0/16'));
    kernel.putRoute(left('10.3.0.0/16', { metric: 32 }));
    start();
    routes.best(cidr('10.1.0.0/16'), [via('10.0.0.2')], false);
    await settle();
    assert.equal(ours().length, 3);
    routes.converged();
    await settle();
    assert.deepEqual(ours(), [
      '10.1.0.0/16 via 10.0.0.2 dev eth0 proto 12',
      '10.3.0.0/16 via 10.0.0.9 dev eth0 proto 12',
    ]);
  });

  it('are all taken away at the end, or kept', async () => {
    kernel.putRoute(left('10.3.0.0/16', { metric: 32 }));
    start();
    routes.best(cidr('10.1.0.0/16'), [via('10.0.0.2')], false);
    await settle();
    routes.close({ keep: true });
    assert.equal(ours().length, 2);
    start();
    routes.close({ keep: false });
    assert.deepEqual(ours(), ['10.3.0.0/16 via 10.0.0.9 dev eth0 proto 12']);
  });

  it('discard what belongs to an aggregate and to none of its parts, as long as it is there', async () => {
    start();
    routes.converged();
    routes.best(cidr('10.64.0.0/10'), [], true);
    routes.best(cidr('10.64.1.0/24'), [via('10.0.0.2')], false);
    await settle();
    assert.deepEqual(ours(), ['10.64.1.0/24 via 10.0.0.2 dev eth0 proto 12', 'blackhole 10.64.0.0/10 proto 12']);
    routes.best(cidr('10.64.0.0/10'), [via('10.0.0.3')], false);
    await settle();
    assert.equal(ours()[0], '10.64.0.0/10 via 10.0.0.3 dev eth0 proto 12');
    routes.best(cidr('10.64.0.0/10'), [], true);
    await settle();
    routes.best(cidr('10.64.0.0/10'), [], false);
    await settle();
    assert.deepEqual(ours(), ['10.64.1.0/24 via 10.0.0.2 dev eth0 proto 12']);
  });

  it('are put back when somebody takes one away', async () => {
    start();
    routes.best(cidr('10.1.0.0/16'), [via('10.0.0.2')], false);
    await settle();
    const [route] = kernel.routes(MARK.table).filter(({ protocol }) => protocol === ROUTE_PROTOCOL.bird);
    assert.ok(route);
    kernel.removeRoute(route);
    assert.deepEqual(ours(), []);
    await settle();
    assert.equal(ours().length, 1);
  });

  it('are written a slice a turn', async () => {
    start();
    for (let number = 0; number < 1200; number++) {
      routes.best(cidr(`10.${64 + (number >> 8)}.${number & 255}.0/24`), [via('10.0.0.2')], false);
    }
    await nextTurn();
    const first = ours().length;
    assert.ok(first > 0 && first <= 500, `${first} in the first turn`);
    await settle();
    assert.equal(ours().length, 1200);
  });
});
