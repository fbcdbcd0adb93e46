import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { asn, formatRouterId, parseAsn, routerId, routerIdBytes, routerIdFromBytes, routerIdFromIp } from './asn.ts';
import { ip } from './ip.ts';

test('AS numbers are read plain or dotted', () => {
  const rows: [text: string, value: number | undefined][] = [
    ['1', 1],
    ['64512', 64512],
    ['4294967295', 4294967295],
    ['0.1', 1],
    ['1.10', 65546],
    ['65535.65535', 4294967295],
    ['0', undefined],
    ['0.0', undefined],
    ['4294967296', undefined],
    ['65536.0', undefined],
    ['1.65536', undefined],
    ['1.2.3', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    [' 1', undefined],
    ['AS1', undefined],
    ['', undefined],
    ['9'.repeat(400), undefined],
  ];
  for (const [text, value] of rows) assert.equal(parseAsn(text), value, text);
});

test('a number that is none is our bug', () => {
  for (const value of [0, -1, 1.5, 2 ** 32, Number.NaN]) {
    assert.throws(() => asn(value), /not an AS number/);
    assert.throws(() => routerId(value), /not a router identifier/);
  }
  assert.equal(asn(2 ** 32 - 1), 4294967295);
});

test('a router identifier looks like an IPv4 address', () => {
  const id = routerIdFromIp(ip('192.168.100.101'));
  assert.equal(formatRouterId(id), '192.168.100.101');
  assert.deepEqual([...routerIdBytes(id)], [192, 168, 100, 101]);
  assert.equal(formatRouterId(routerIdFromIp(ip('255.255.255.255'))), '255.255.255.255');
  assert.throws(() => routerIdFromIp(ip('fd00::1')));
  assert.equal(routerIdFromBytes(new Uint8Array(4)), undefined);
});

test('identifiers survive their bytes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 32 - 1 }), (value) => {
      assert.equal(routerIdFromBytes(routerIdBytes(routerId(value))), value);
    }),
  );
});
