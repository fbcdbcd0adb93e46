/**
 * The part of the Kernel interface's compliance suite that is about routes: read back as put, replaced without remains,
 * removed without harm to others, gone with their devices. Called by kernel.suite.ts.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatCidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import {
  type IfIndex,
  type NextHop,
  ROUTE_PROTOCOL,
  ROUTE_SCOPE,
  ROUTE_TABLE,
  type Route,
  sameRoute,
} from '../net/kernel-objects.ts';
import type { Kernel } from './kernel.ts';
import {
  at,
  connect,
  LOOPBACK,
  linkOf,
  NO_LINK,
  route,
  type SuiteWorld,
  shown,
  throwsCode,
  via,
  worldOf,
} from './kernel-suite-world.ts';

export function routeSuite(makeWorld: () => SuiteWorld): void {
  routeTests(makeWorld);
  replaceTests(makeWorld);
  removeTests(makeWorld);
  lossTests(makeWorld);
}

function routeTests(makeWorld: () => SuiteWorld): void {
  describe('routes', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, true));

    it('are read back as they were put', () => {
      const { kernel } = world();
      const a = linkOf(kernel, 'cali1').index;
      const b = linkOf(kernel, 'cali2').index;
      const device: NextHop = { gateway: undefined, index: a, onlink: false };
      const link = { nextHops: [device], scope: ROUTE_SCOPE.link };
      const rows: [string, Route][] = [
        ['to a container', route('10.1.0.1/32', link)],
        ['to a container', route('fd01::1/128', { nextHops: [device] })],
        ['through a gateway', route('10.2.0.0/16', { nextHops: [via('10.0.0.2', a)], protocol: ROUTE_PROTOCOL.bird })],
        ['through a gateway', route('fd02::/64', { nextHops: [via('fd00::2', a)], protocol: ROUTE_PROTOCOL.bird })],
        ['onlink', route('10.3.0.0/16', { nextHops: [via('1.2.3.4', a, true)] })],
        ['onlink', route('fd03::/64', { nextHops: [via('fd99::4', a, true)] })],
        ['link-local gateway', route('fd04::/64', { nextHops: [via('fe80::99', a)] })],
        ['ECMP', route('10.5.0.0/16', { nextHops: [via('10.0.0.2', a), via('10.0.1.2', b), via('10.0.0.4', a)] })],
        ['ECMP', route('fd05::/64', { nextHops: [via('fd00::2', a), via('fd00:1::2', b), via('fd00::4', a)] })],
        ['ECMP onlink', route('10.6.0.0/16', { nextHops: [via('1.2.3.4', a, true), via('1.2.3.5', b, true)] })],
        ['ECMP onlink', route('fd06::/64', { nextHops: [via('fd99::4', a, true), via('fd99::5', b, true)] })],
        ['IPv4 through an IPv6 gateway', route('10.7.0.0/16', { nextHops: [via('fd00::2', a)] })],
        ['with a metric', route('10.8.0.0/16', { ...link, metric: 7 })],
        ['with a metric', route('fd08::/64', { nextHops: [device], metric: 7 })],
        ['the same with another metric', route('10.8.0.0/16', { ...link, metric: 8 })],
        ['the same with another metric', route('fd08::/64', { nextHops: [device], metric: 8 })],
        ['with a source', route('10.9.0.0/16', { nextHops: [via('10.0.0.2', a)], source: ip('10.0.0.1') })],
        ['with a source', route('fd09::/64', { nextHops: [via('fd00::2', a)], source: ip('fd00::1') })],
        ['in a table beyond 255', route('10.1.0.1/32', { ...link, table: 1000 })],
        ['in a table beyond 255', route('fd01::1/128', { nextHops: [device], table: 1000 })],
        ['default', route('0.0.0.0/0', { nextHops: [via('10.0.0.2', a)] })],
        ['default', route('::/0', { nextHops: [via('fd00::2', a)] })],
        ...(['blackhole', 'unreachable', 'prohibit'] as const).flatMap((type, number): [string, Route][] => [
          [type, route(`10.10${number}.0.0/24`, { type })],
          [type, route(`fd10:${number}::/64`, { type })],
        ]),
      ];
      for (const [what, wanted] of rows) {
        assert.doesNotThrow(() => kernel.putRoute(wanted), `${what}: ${formatCidr(wanted.destination)}`);
      }
      // Read when all are there, so that one which took another's place is missed.
      for (const [what, wanted] of rows) {
        const found = kernel.routes(wanted.table).filter((known) => sameRoute(known, wanted));
        assert.equal(found.length, 1, `${what}: ${formatCidr(wanted.destination)}\n${shown(kernel).join('\n')}`);
      }
      assert.deepEqual(kernel.routes(77), []);
    });

    it('a gateway without a device gets the device it is reached by', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali2');
      for (const [destination, gateway] of [
        ['10.20.0.0/16', '10.0.1.7'] as const,
        ['fd20::/64', 'fd00:1::7'] as const,
      ]) {
        kernel.putRoute(route(destination, { nextHops: [{ gateway: ip(gateway), index: undefined, onlink: false }] }));
        assert.deepEqual(at(kernel, destination), [`${destination} via ${gateway} dev cali2 proto 80`]);
        assert.equal(
          kernel.routes(ROUTE_TABLE.main).find(({ metric, nextHops }) => metric === 0 && nextHops[0]?.index === index)
            ?.metric,
          0,
        );
      }
    });

    it('IPv6 metric 1024 is metric 0, and its scope is always universe', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      const nextHops = [{ gateway: undefined, index, onlink: false }];
      kernel.putRoute(route('fd21::/64', { nextHops, metric: 1024, scope: ROUTE_SCOPE.link }));
      kernel.putRoute(route('fd21::/64', { nextHops, metric: 0, scope: ROUTE_SCOPE.link }));
      const found = kernel.routes(ROUTE_TABLE.main).filter((known) => formatCidr(known.destination) === 'fd21::/64');
      assert.deepEqual(
        found.map(({ metric, scope }) => [metric, scope]),
        [[0, 0]],
      );
    });

    it('are refused with the kernel’s code and reason', () => {
      const { kernel } = world();
      const a = linkOf(kernel, 'cali1').index;
      const down = kernel.addBridge('down').index;
      const device = (index: IfIndex, onlink = false): NextHop => ({ gateway: undefined, index, onlink });
      const rows: [string, Partial<Route>, string, RegExp][] = [
        ['10.30.0.0/16', { nextHops: [via('10.77.0.1', a)] }, 'ENETUNREACH', /10\.30\.0\.0\/16.*invalid gateway/],
        ['fd30::/64', { nextHops: [via('fd77::1', a)] }, 'EHOSTUNREACH', /fd30::\/64/],
        ['10.30.0.0/16', { nextHops: [via('10.0.1.2', a)] }, 'ENETUNREACH', /invalid gateway/],
        ['fd30::/64', { nextHops: [via('fd00:1::2', a)] }, 'EHOSTUNREACH', /fd30::\/64/],
        ['10.30.0.0/16', { nextHops: [via('10.0.0.2', a)], scope: ROUTE_SCOPE.link }, 'ENETUNREACH', /invalid gateway/],
        ['fd30::/64', { nextHops: [via('fd00::1', a)] }, 'EINVAL', /can not be a local address/],
        ['10.30.0.0/16', { nextHops: [device(down)] }, 'ENETDOWN', /is not up/],
        ['fd30::/64', { nextHops: [device(down)] }, 'ENETDOWN', /is not up/],
        ['10.30.0.0/16', { nextHops: [via('1.2.3.4', down, true)] }, 'ENETDOWN', /is not up/],
        ['fd30::/64', { nextHops: [via('fd99::4', down, true)] }, 'ENETDOWN', /is not up/],
        ['10.30.0.0/16', { nextHops: [device(NO_LINK)] }, 'ENODEV', /10\.30/],
        ['fd30::/64', { nextHops: [device(NO_LINK)] }, 'ENODEV', /fd30/],
        ['10.30.0.0/16', {}, 'ENODEV', /10\.30/],
        ['fd30::/64', {}, 'ENODEV', /fd30/],
        ['10.30.0.0/16', { nextHops: [device(a, true)] }, 'EINVAL', /Invalid flags for nexthop/],
        [
          '10.30.0.0/16',
          { nextHops: [via('10.0.0.2', a)], source: ip('9.9.9.9') },
          'EINVAL',
          /Invalid prefsrc address/,
        ],
        ['fd30::/64', { nextHops: [via('fd00::2', a)], source: ip('fd99::9') }, 'EINVAL', /Invalid source address/],
        [
          '10.30.0.0/16',
          { nextHops: [device(a)], type: 'blackhole' },
          'EINVAL',
          /can not be specified for this route type/,
        ],
        ['fd30::/64', { nextHops: [device(a), device(a)] }, 'EINVAL', /Device only routes/],
      ];
      for (const [destination, part, code, text] of rows) {
        throwsCode(
          () => kernel.putRoute(route(destination, part)),
          code,
          text,
          `${destination} ${JSON.stringify(text.source)}`,
        );
        assert.deepEqual(at(kernel, destination), []);
      }
      assert.throws(() => kernel.putRoute(route('10.30.0.0/16', { type: 'other' })), RangeError);
    });
  });
}

function replaceTests(makeWorld: () => SuiteWorld): void {
  describe('a route put in the place of another', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, true));
    const rows: [string, string[]][] = [
      ['10.50.0.0/16', ['10.0.0.2', '10.0.0.3', '10.0.0.4']],
      ['fd50::/64', ['fd00::2', 'fd00::3', 'fd00::4']],
    ];
    for (const [destination, gateways] of rows) {
      it(`leaves nothing of it, whatever the two are: ${destination}`, () => {
        const { kernel } = world();
        const { index } = linkOf(kernel, 'cali1');
        const hops = (...numbers: number[]): NextHop[] => numbers.map((number) => via(gateways[number] ?? '', index));
        const forms = [
          { nextHops: hops(0) },
          { nextHops: hops(1) },
          { nextHops: hops(0, 1) },
          { nextHops: hops(1, 2) },
          { nextHops: hops(0, 1, 2) },
          { nextHops: hops(0), protocol: ROUTE_PROTOCOL.bird },
          { nextHops: [{ gateway: undefined, index, onlink: false }] },
          { type: 'blackhole' as const },
          { type: 'unreachable' as const },
        ].map((part) => route(destination, part));
        for (const first of forms) {
          for (const second of forms) {
            kernel.putRoute(first);
            kernel.putRoute(second);
            const found = kernel
              .routes(ROUTE_TABLE.main)
              .filter((known) => formatCidr(known.destination) === destination);
            assert.ok(
              found.length === 1 && found[0] !== undefined && sameRoute(found[0], second),
              shown(kernel).join('\n'),
            );
            kernel.removeRoute(second);
            assert.deepEqual(at(kernel, destination), []);
          }
        }
      });
    }
  });
}

function removeTests(makeWorld: () => SuiteWorld): void {
  describe('a route is removed', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, true));
    for (const [destination, gateway, other] of [
      ['10.60.0.0/16', '10.0.0.2', '10.0.0.3'] as const,
      ['fd60::/64', 'fd00::2', 'fd00::3'] as const,
    ]) {
      it(`by destination, table, metric, protocol and type, and no other instead: ${destination}`, () => {
        const { kernel } = world();
        const { index } = linkOf(kernel, 'cali1');
        const wanted = route(destination, { nextHops: [via(gateway, index)] });
        const others: [string, Partial<Route>][] = [
          ['another protocol', { protocol: ROUTE_PROTOCOL.static }],
          ['another metric', { metric: 5 }],
          ['another table', { table: 1000 }],
          ['another type', { type: 'blackhole', nextHops: [] }],
        ];
        for (const [what, difference] of others) {
          const foreign = { ...wanted, ...difference };
          kernel.putRoute(foreign);
          throwsCode(() => kernel.removeRoute(wanted), 'ESRCH', new RegExp(destination), what);
          const found = kernel.routes(foreign.table).filter((known) => sameRoute(known, foreign));
          assert.equal(found.length, 1, what);
          kernel.removeRoute(foreign);
          throwsCode(() => kernel.removeRoute(foreign), 'ESRCH', new RegExp(destination), what);
        }
      });

      it(`whatever its next hops are: ${destination}`, () => {
        const { kernel } = world();
        const { index } = linkOf(kernel, 'cali1');
        kernel.putRoute(route(destination, { nextHops: [via(gateway, index), via(other, index)] }));
        kernel.removeRoute(route(destination, { nextHops: [via(other, index)] }));
        assert.deepEqual(at(kernel, destination), []);
      });
    }
  });
}

function lossTests(makeWorld: () => SuiteWorld): void {
  describe('when a device goes', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, true));
    const put = (kernel: Kernel): void => {
      const [a, b] = ['cali1', 'cali2'].map((name) => linkOf(kernel, name).index);
      if (a === undefined || b === undefined) return;
      kernel.putRoute(route('10.70.0.0/16', { nextHops: [via('1.2.3.4', a, true)] }));
      kernel.putRoute(route('fd70::/64', { nextHops: [via('fd99::4', a, true)] }));
      kernel.putRoute(route('10.71.0.0/16', { nextHops: [via('1.2.3.4', a, true), via('1.2.3.5', b, true)] }));
      kernel.putRoute(route('fd71::/64', { nextHops: [via('fd99::4', a, true), via('fd99::5', b, true)] }));
      kernel.putRoute(route('10.72.0.0/16', { type: 'blackhole' }));
      kernel.putRoute(route('fd72::/64', { type: 'blackhole' }));
    };
    const ours = (kernel: Kernel): string[] => shown(kernel).filter((line) => line.endsWith('proto 80'));
    const blackholes = ['blackhole 10.72.0.0/16 proto 80', 'blackhole fd72::/64 proto 80'];

    it('down, its routes go, but not those that have another device', () => {
      const { kernel } = world();
      put(kernel);
      assert.equal(ours(kernel).length, 6);
      kernel.setLinkUp(linkOf(kernel, 'cali1').index, false);
      assert.deepEqual(ours(kernel), [
        '10.71.0.0/16 via 1.2.3.4 dev cali1 onlink nexthop via 1.2.3.5 dev cali2 onlink proto 80',
        ...blackholes,
        'fd71::/64 via fd99::4 dev cali1 onlink nexthop via fd99::5 dev cali2 onlink proto 80',
      ]);
      kernel.setLinkUp(linkOf(kernel, 'cali2').index, false);
      assert.deepEqual(ours(kernel), blackholes);
    });

    it('for good, IPv4 lets a multipath route go as a whole, IPv6 only its next hop', () => {
      const { kernel } = world();
      for (const name of ['cali1', 'cali2']) kernel.setLinkUp(linkOf(kernel, name).index, true);
      put(kernel);
      kernel.removeLink(linkOf(kernel, 'cali1').index);
      assert.deepEqual(ours(kernel), [...blackholes, 'fd71::/64 via fd99::5 dev cali2 onlink proto 80']);
    });

    it('and it is lo, IPv6 blackholes go', () => {
      const { kernel } = world();
      kernel.setLinkUp(LOOPBACK, true);
      kernel.setLinkUp(LOOPBACK, false);
      assert.equal(ours(kernel).includes('blackhole fd72::/64 proto 80'), false);
      assert.equal(ours(kernel).includes('blackhole 10.72.0.0/16 proto 80'), true);
    });
  });
}
