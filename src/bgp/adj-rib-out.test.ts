import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { AdjRibOut } from './adj-rib-out.ts';
import type { PathAttributes } from './attributes.ts';
import { exportRoute, originate } from './export.ts';
import { Interner } from './intern.ts';
import { LocRib } from './loc-rib.ts';
import { MessageFramer } from './message.ts';
import { packUpdates } from './pack-updates.ts';
import type { Route } from './route.ts';

const SELF = { asn: asn(64512), nextHops: { 4: ip('10.0.0.1') } };
const INTERNAL = { address: ip('10.0.0.2'), external: false };
const EXTERNAL = { address: ip('10.0.0.3'), external: true };
const PREFIX = cidr('172.17.9.0/24');

function learnt(from: string, external: boolean, more: Partial<PathAttributes> = {}): Route {
  const address = ip(from);
  const source = {
    kind: 'peer',
    address,
    external,
    routerId: routerIdFromIp(address),
    localAddress: undefined,
  } as const;
  const attributes = { ...originate(address), asPath: external ? [65001] : [], localPreference: undefined, ...more };
  return { prefix: PREFIX, key: 'key', source, attributes };
}
const LOCAL: Route = {
  prefix: PREFIX,
  key: 'key',
  source: { kind: 'local' },
  attributes: { ...originate(ip('10.0.0.1')), med: 5 },
};

const NO = undefined;
const EXPORTS: [title: string, route: Route, target: typeof INTERNAL, expected: Partial<PathAttributes> | undefined][] =
  [
    ['4271 9.2.1: internal to internal', learnt('10.0.0.9', false), INTERNAL, NO],
    ['4271 9.2: back to where it came from', learnt('10.0.0.3', true), EXTERNAL, NO],
    [
      '4271 5.1.5: external to internal gets LOCAL_PREF',
      learnt('10.0.0.9', true),
      INTERNAL,
      { localPreference: 100, asPath: [65001] },
    ],
    [
      '4271 5.1.3: external to internal keeps the next hop',
      learnt('10.0.0.9', true),
      INTERNAL,
      { nextHop: ip('10.0.0.9') },
    ],
    [
      '4271 5.1.2: to external gets our AS',
      learnt('10.0.0.9', true),
      EXTERNAL,
      { asPath: [64512, 65001], nextHop: ip('10.0.0.1') },
    ],
    ['4271 5.1.4: MED of others stays here', learnt('10.0.0.9', true, { med: 3 }), EXTERNAL, { med: undefined }],
    ['4271 5.1.4: MED of our own goes out', LOCAL, EXTERNAL, { med: 5, localPreference: undefined }],
    ['4456 8: reflection stays inside', learnt('10.0.0.9', false, { clusterList: [1] }), EXTERNAL, { clusterList: [] }],
    ['1997: NO_EXPORT to external', learnt('10.0.0.9', false, { communities: [0xffffff01] }), EXTERNAL, NO],
    ['1997: NO_EXPORT to internal', learnt('10.0.0.9', true, { communities: [0xffffff01] }), INTERNAL, {}],
    ['1997: NO_ADVERTISE to internal', learnt('10.0.0.9', true, { communities: [0xffffff02] }), INTERNAL, NO],
  ];
for (const [title, route, target, expected] of EXPORTS) {
  test(`export, RFC ${title}`, () => {
    const exported = exportRoute(route, target, SELF);
    assert.equal(exported === undefined, expected === undefined);
    if (exported !== undefined) assert.deepEqual({ ...exported, ...expected }, exported);
  });
}

test('a family in which we have no address is not announced', () => {
  const route = { ...LOCAL, prefix: cidr('fd17::/64'), attributes: originate(undefined) };
  assert.equal(exportRoute(route, INTERNAL, SELF), undefined);
  assert.equal(exportRoute(route, EXTERNAL, SELF), undefined);
});

const CONTEXT = { asnBytes: 4, external: false } as const;

test('RFC 4271 9.2: what the peer knows is not sent again, and what came back in time is not sent at all', () => {
  const out = new AdjRibOut(INTERNAL, CONTEXT);
  out.offer('key', PREFIX, LOCAL, SELF);
  assert.ok(out.take() !== undefined);
  out.offer('key', PREFIX, { ...LOCAL, attributes: { ...LOCAL.attributes } }, SELF);
  assert.equal(out.take(), undefined, 'equal attributes');
  out.offer('key', PREFIX, undefined, SELF);
  out.offer('key', PREFIX, LOCAL, SELF);
  assert.equal(out.take(), undefined, 'withdrawn and back');
  out.offer('other', cidr('172.17.10.0/24'), undefined, SELF);
  assert.equal(out.take(), undefined, 'a withdrawal of what was never sent');
  assert.equal(out.size, 1);
});

test('attributes that no message holds are kept back, and what the peer had of them is withdrawn', () => {
  const out = new AdjRibOut(INTERNAL, CONTEXT);
  out.offer('key', PREFIX, LOCAL, SELF);
  out.take();
  const communities = Array.from({ length: 1_020 }, (_, index) => index);
  out.offer('key', PREFIX, { ...LOCAL, attributes: { ...LOCAL.attributes, communities } }, SELF);
  assert.ok(out.take() !== undefined);
  assert.equal(out.takeUnsendable(), 1);
  assert.equal(out.takeUnsendable(), 0);
  assert.equal(out.size, 0);
});

test('RFC 4271 4.1: no message is longer than 4096 bytes, whatever the lengths of its prefixes', () => {
  for (let attributeBytes = 0; attributeBytes < 40; attributeBytes++) {
    const set = { bytes: new Uint8Array(attributeBytes), nextHop: ip('10.0.0.1') };
    for (const changeSet of [set, undefined]) {
      const prefixes = Array.from({ length: 3_000 }, (_, index) =>
        cidr(index % (attributeBytes + 2) === 0 ? '10.0.0.0/8' : '10.1.0.0/16'),
      );
      const { frames, error } = new MessageFramer().push(
        packUpdates(prefixes.map((prefix) => ({ prefix, set: changeSet }))),
      );
      assert.equal(error, undefined);
      assert.ok(
        frames.slice(0, -1).every((frame) => frame.body.length > 4096 - 19 - 3),
        'messages are filled',
      );
    }
  }
});

test('the interner forgets when it is full, and copies what it keeps', () => {
  const interner = new Interner<object>(10);
  const bytes = Uint8Array.of(1);
  const first = interner.intern(bytes, () => ({}));
  bytes[0] = 2;
  assert.equal(
    interner.intern(Uint8Array.of(1), () => ({})),
    first,
  );
  for (let value = 0; value < 1_000; value++) interner.intern(Uint8Array.of(value >> 8, value), () => ({}));
  assert.ok(interner.size <= 10);
});

test('a prefix that nobody announces any more is forgotten', () => {
  const rib = new LocRib();
  const self = { asn: SELF.asn, routerId: routerIdFromIp(ip('10.0.0.1')), addresses: [] };
  rib.replace(undefined, LOCAL);
  assert.equal(rib.settle(self).length, 1);
  rib.replace(LOCAL, undefined);
  assert.equal(rib.settle(self).length, 1);
  assert.equal([...rib.destinations()].length, 0);
});
