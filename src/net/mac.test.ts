import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { macBytes, macFromBytes, parseMac, WORKLOAD_HOST_MAC } from './mac.ts';

test('Ethernet addresses are six bytes with colons', () => {
  const rows: [text: string, mac: string | undefined][] = [
    ['ee:ee:ee:ee:ee:ee', WORKLOAD_HOST_MAC],
    ['00:1A:2b:3C:4d:5E', '00:1a:2b:3c:4d:5e'],
    ['00:1a:2b:3c:4d', undefined],
    ['00:1a:2b:3c:4d:5e:6f', undefined],
    ['0:1a:2b:3c:4d:5e', undefined],
    ['00-1a-2b-3c-4d-5e', undefined],
    ['00:1a:2b:3c:4d:5g', undefined],
    ['', undefined],
  ];
  for (const [text, mac] of rows) assert.equal(parseMac(text), mac, text);
});

test('addresses survive their bytes and their text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      const mac = macFromBytes(bytes);
      assert.deepEqual(macBytes(mac), bytes);
      assert.equal(parseMac(mac.toUpperCase()), mac);
    }),
  );
  for (const length of [0, 5, 7]) assert.throws(() => macFromBytes(new Uint8Array(length)), /6 bytes/);
});
