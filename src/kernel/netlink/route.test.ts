import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../lib/bytes.ts';
import { cidr, prefixOf } from '../../net/cidr.ts';
import { type Ip, ip, ipFromBytes } from '../../net/ip.ts';
import { formatRoute, ifIndex, type NextHop, type Route, type RouteType, sameRoute } from '../../net/kernel-objects.ts';
import { checkBears, checkSameAs, KERNEL_SAYS, messageOf } from './golden.suite.ts';
import {
  decodeRoute,
  encodeRoutePut,
  encodeRouteRemove,
  encodeRouteRestore,
  encodeRoutesDump,
  RTM_ROUTE,
} from './route.ts';
import { normalRoute } from './route-normal-form.ts';

const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const index = ifIndex(3);

function route(destination: string, part: Partial<Route>): Route {
  const plain = { nextHops: [], protocol: 80, scope: 0, table: 254, metric: 0, source: undefined };
  return { destination: cidr(destination), type: 'unicast', ...plain, ...part };
}

function via(gateway: string | undefined, onlink = false): NextHop {
  return { gateway: gateway === undefined ? undefined : ip(gateway), index, onlink };
}

const ONLINK = route('10.2.0.0/16', {
  nextHops: [via('1.2.3.4', true)],
  protocol: 12,
  table: 1000,
  metric: 7,
  source: ip('10.0.0.1'),
});

describe('routes are put as iproute2 puts them', () => {
  const rows: [string, Route, string][] = [
    [
      'to a device',
      route('10.1.0.1/32', { nextHops: [via(undefined)], scope: 253 }),
      '2c000000 18000505 558b036b 00000000 02200000fe50fd0100000000 080001000a010001 0800040003000000',
    ],
    [
      'onlink, with table, metric, source',
      ONLINK,
      '4c000000 18000505 558b036b 00000000 02100000000c000104000000 080001000a020000 0800050001020304 08000f00e8030000 0800060007000000 080007000a000001 0800040003000000',
    ],
    [
      'ECMP',
      route('10.3.0.0/16', { nextHops: [via('10.0.0.2'), via('10.0.0.3')] }),
      '48000000 18000505 558b036b 00000000 02100000fe50000100000000 080001000a030000 24000900 1000000003000000080005000a000002 1000000003000000080005000a000003',
    ],
    [
      'IPv4 through IPv6',
      route('10.7.0.0/16', { nextHops: [via('fd00::9')] }),
      '44000000 18000505 558b036b 00000000 02100000fe50000100000000 080001000a070000 160012000a00fd0000000000000000000000000000090000 0800040003000000',
    ],
    [
      'ECMP',
      route('fd03::/64', { nextHops: [via('fd00::2'), via('fd00::3')] }),
      '6c000000 18000505 558b036b 00000000 0a400000fe50000100000000 14000100fd030000000000000000000000000000 3c000900 1c0000000300000014000500fd000000000000000000000000000002 1c0000000300000014000500fd000000000000000000000000000003',
    ],
    [
      'blackhole',
      route('fd02::/64', { type: 'blackhole' }),
      '30000000 18000505 558b036b 00000000 0a400000fe50000600000000 14000100fd020000000000000000000000000000',
    ],
  ];
  for (const [name, wanted, theirs] of rows) {
    it(`${name}: ${formatRoute(wanted, () => 'cali1')}`, () => {
      const { type, flags, body } = encodeRoutePut(wanted);
      assert.deepEqual([type, flags], [RTM_ROUTE.new, 0x500]);
      // iproute2 leaves out what the kernel fills in: the main table, and IPv6's metric 1024.
      const besides = [...(wanted.table === 254 ? [RTA_TABLE] : []), ...(wanted.metric === 0 ? [RTA_PRIORITY] : [])];
      checkSameAs(body, 12, theirs.replaceAll(' ', ''), besides);
    });
  }
});

it('the exact bytes of a request', () => {
  assert.equal(
    toHex(encodeRoutePut(ONLINK).body),
    '02100000000c000104000000 080001000a020000 08000f00e8030000 0800060007000000 080007000a000001 0800040003000000 0800050001020304'.replaceAll(
      ' ',
      '',
    ),
  );
  assert.equal(toHex(encodeRoutesDump(6, 1000).body), '0a0000000000000000000000 08000f00e8030000'.replaceAll(' ', ''));
});

describe('routes as the kernel describes them', () => {
  const rows: [keyof typeof KERNEL_SAYS, Route | undefined][] = [
    [
      'connected4',
      route('10.0.0.0/24', { nextHops: [via(undefined)], protocol: 2, scope: 253, source: ip('10.0.0.1') }),
    ],
    ['blackhole4', route('10.2.0.0/16', { type: 'blackhole' })],
    ['multipath4', route('10.3.0.0/16', { nextHops: [via('10.0.0.2'), via('1.2.3.4', true)] })],
    ['viaIpv6', route('10.7.0.0/16', { nextHops: [via('fd00::9')], protocol: 12 })],
    [
      'table1000',
      route('10.1.0.1/32', { nextHops: [via(undefined)], scope: 253, table: 1000, metric: 7, source: ip('10.0.0.1') }),
    ],
    ['blackhole6', route('fd02::/64', { type: 'blackhole' })],
    ['multipath6', route('fd03::/64', { nextHops: [via('fd00::2'), via('fd00::3')] })],
    ['address4', undefined],
    ['linkVeth', undefined],
  ];
  for (const [name, expected] of rows) {
    it(name, () => assert.deepEqual(decodeRoute(messageOf(KERNEL_SAYS[name])), expected));
  }

  it('what a Route cannot express is left alone', () => {
    const message = messageOf(KERNEL_SAYS.connected4);
    const changed = (place: number, value: number) => {
      const body = message.body.slice();
      body[place] = value;
      return decodeRoute({ ...message, body });
    };
    assert.equal(changed(2, 8), undefined, 'a source prefix');
    assert.equal(changed(3, 4), undefined, 'a type of service');
    assert.equal(changed(9, 2), undefined, 'the cache');
    assert.equal(changed(0, 28), undefined, 'MPLS');
    assert.equal(changed(1, 33), undefined, 'a prefix too long');
    assert.equal(changed(7, 99)?.type, 'other');
  });
});

describe('removal', () => {
  it('says destination, table, metric, protocol and type, and no next hop', () => {
    const { type, flags, body } = encodeRouteRemove(ONLINK);
    assert.deepEqual([type, flags], [RTM_ROUTE.del, 0x8]);
    assert.equal(
      toHex(body),
      '02100000000cff0100000000 080001000a020000 08000f00e8030000 0800060007000000'.replaceAll(' ', ''),
    );
  });

  it('of an IPv6 route names the metric that 0 stands for, and lo for a blackhole', () => {
    const { body } = encodeRouteRemove(route('fd02::/64', { type: 'blackhole' }));
    assert.equal(toHex(body.subarray(32)), '08000f00fe000000 0800060000040000 0800040001000000'.replaceAll(' ', ''));
  });

  it('can be undone with everything the route had', () => {
    const removed = { ...messageOf(KERNEL_SAYS.multipath6), type: RTM_ROUTE.del };
    const body = removed.body.slice();
    body[8] = 0x15; // dead, onlink, link down
    const restored = encodeRouteRestore({ ...removed, body });
    assert.deepEqual([restored.type, restored.flags], [RTM_ROUTE.new, 0x600]);
    assert.equal(restored.body[8], 0x04);
    assert.deepEqual(restored.body.slice(12), body.slice(12));
  });
});

describe('properties', () => {
  const PLAIN = { noNullPrototype: true };
  const ip4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(ipFromBytes);
  const ip6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(ipFromBytes);
  const hops = (address: fc.Arbitrary<Ip>) =>
    fc.array(
      fc.record(
        {
          gateway: fc.option(address, { nil: undefined }),
          index: fc.integer({ min: 1, max: 0x7fffffff }).map(ifIndex),
          onlink: fc.boolean(),
        },
        PLAIN,
      ),
      { maxLength: 5 },
    );
  const routes = fc.constantFrom(ip4, ip6).chain((address) =>
    fc.record(
      {
        destination: fc.tuple(address, fc.nat({ max: 32 })).map(([base, length]) => prefixOf(base, length)),
        type: fc.constantFrom<RouteType[]>('unicast', 'local', 'blackhole', 'unreachable', 'prohibit', 'throw'),
        nextHops: hops(address),
        protocol: fc.nat({ max: 255 }),
        scope: fc.nat({ max: 255 }),
        table: fc.integer({ min: 1, max: 0xffffffff }),
        metric: fc.nat({ max: 0xffffffff }),
        source: fc.option(address, { nil: undefined }),
      },
      PLAIN,
    ),
  );

  it('what is written is read back in normal form', () => {
    fc.assert(
      fc.property(routes, (wanted: Route) => {
        const { type, flags, body } = encodeRoutePut(wanted);
        const decoded = decodeRoute({ type, flags, sequence: 1, portId: 1, body });
        assert.deepEqual(decoded, normalRoute(wanted));
        assert.ok(decoded !== undefined && sameRoute(normalRoute(decoded), decoded), 'the normal form is one');
      }),
    );
  });

  it('cut off or changed anywhere, reading does not throw', () => checkBears(decodeRoute));

  it('whatever the bytes are, reading does not throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(2, 10), (bytes, family) => {
        bytes[0] = family;
        decodeRoute({ type: RTM_ROUTE.new, flags: 0, sequence: 1, portId: 1, body: bytes });
      }),
    );
  });
});
