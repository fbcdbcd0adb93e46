import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressIn,
  type Cidr,
  cidr,
  compareCidr,
  containsCidr,
  containsIp,
  countOf,
  familyOf,
  formatCidr,
  hostPrefix,
  ordinalOf,
  overlaps,
  parseCidr,
  parseInterfaceAddress,
  prefixOf,
  sameCidr,
  subPrefix,
} from './cidr.ts';
import { addressBits, formatIp, ip, ipFromBytes, sameIp } from './ip.ts';

const anyCidr: fc.Arbitrary<Cidr> = fc
  .tuple(fc.constantFrom(4, 16), fc.infiniteStream(fc.integer({ min: 0, max: 255 })), fc.nat(128))
  .map(([size, stream, length]) =>
    prefixOf(
      ipFromBytes(Uint8Array.from({ length: size }, () => stream.next().value as number)),
      length % (size * 8 + 1),
    ),
  );

test('prefixes are read without host bits and printed canonically', () => {
  const rows: [text: string, printed: string | undefined][] = [
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['10.128.0.0/9', '10.128.0.0/9'],
    ['FD00:0::/8', 'fd00::/8'],
    ['::/0', '::/0'],
    ['fd00::1/128', 'fd00::1/128'],
    ['10.0.0.1/8', undefined],
    ['10.64.0.0/9', undefined],
    ['fd00::1/127', undefined],
    ['10.0.0.0/33', undefined],
    ['::/129', undefined],
    ['10.0.0.0', undefined],
    ['10.0.0.0/', undefined],
    ['10.0.0.0/08', undefined],
    ['10.0.0.0/-1', undefined],
    ['10.0.0.0/8/8', undefined],
    ['10.0.0.0/255.0.0.0', undefined],
    ['/8', undefined],
    ['', undefined],
  ];
  for (const [text, printed] of rows) {
    const prefix = parseCidr(text);
    assert.equal(prefix && formatCidr(prefix), printed, text);
    if (printed === undefined) assert.throws(() => cidr(text), /not a/, text);
    else assert.ok(sameCidr(cidr(text), cidr(printed)));
  }
});

test('an interface address keeps the host and its subnet', () => {
  const parsed = parseInterfaceAddress('192.168.100.100/20')!;
  assert.deepEqual([formatIp(parsed.address), formatCidr(parsed.subnet)], ['192.168.100.100', '192.168.96.0/20']);
  assert.equal(parseInterfaceAddress('192.168.100.100'), undefined);
});

test('what a prefix contains, and what overlaps it', () => {
  const rows: [outer: string, inner: string, contains: boolean, overlap: boolean][] = [
    ['10.0.0.0/8', '10.255.0.0/16', true, true],
    ['10.0.0.0/8', '10.0.0.0/8', true, true],
    ['10.0.0.0/16', '10.0.0.0/8', false, true],
    ['10.0.0.0/9', '10.128.0.0/9', false, false],
    ['0.0.0.0/0', '255.255.255.255/32', true, true],
    ['0.0.0.0/0', '::/0', false, false],
    ['::/0', '0.0.0.0/0', false, false],
    ['fd00::/63', 'fd00:0:0:1::/64', true, true],
    ['fd00::/64', 'fd00:0:0:1::/64', false, false],
  ];
  for (const [outer, inner, contains, overlap] of rows) {
    assert.equal(containsCidr(cidr(outer), cidr(inner)), contains, `${outer} contains ${inner}`);
    assert.equal(overlaps(cidr(outer), cidr(inner)), overlap, `${outer} overlaps ${inner}`);
    assert.equal(overlaps(cidr(inner), cidr(outer)), overlap, `${inner} overlaps ${outer}`);
  }
  assert.ok(containsIp(cidr('10.0.0.0/30'), ip('10.0.0.3')));
  assert.ok(!containsIp(cidr('10.0.0.0/30'), ip('10.0.0.4')));
  assert.ok(!containsIp(cidr('::/0'), ip('10.0.0.4')));
});

test('a prefix comes before what it contains, IPv4 before IPv6', () => {
  const ordered = [
    '0.0.0.0/0',
    '10.0.0.0/8',
    '10.0.0.0/16',
    '10.1.0.0/16',
    '11.0.0.0/8',
    '::/0',
    'fd00::/8',
    'fd00::/64',
  ];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries()) assert.equal(sameCidr(cidr(a), cidr(b)), i === j, `${a} and ${b}`);
  }
  const shuffled = ordered.toReversed().map(cidr);
  assert.deepEqual(shuffled.sort(compareCidr).map(formatCidr), ordered);
});

test('how many prefixes fit, and which is the n-th', () => {
  const rows: [prefix: string, length: number, count: number, last: string][] = [
    ['10.0.0.0/24', 26, 4, '10.0.0.192/26'],
    ['10.0.0.0/24', 24, 1, '10.0.0.0/24'],
    ['10.0.0.0/8', 32, 2 ** 24, '10.255.255.255/32'],
    ['0.0.0.0/0', 32, 2 ** 32, '255.255.255.255/32'],
    ['fd00::/48', 64, 65536, 'fd00:0:0:ffff::/64'],
    // Only the first 2^32 are counted.
    ['fd00::/48', 122, 2 ** 32, 'fd00::3f:ffff:ffc0/122'],
  ];
  for (const [prefix, length, count, last] of rows) {
    assert.equal(countOf(cidr(prefix), length), count, `/${length} in ${prefix}`);
    assert.equal(formatCidr(subPrefix(cidr(prefix), length, count - 1)), last);
    for (const index of [-1, count]) assert.throws(() => subPrefix(cidr(prefix), length, index), /no .*th/);
  }
});

test('no prefix holds a shorter one, and none is longer than its address', () => {
  assert.equal(countOf(cidr('10.0.1.0/24'), 16), 0);
  assert.throws(() => subPrefix(cidr('10.0.1.0/24'), 16, 0), /no 0th \/16 in 10\.0\.1\.0\/24/);
  assert.throws(() => subPrefix(cidr('10.0.1.0/24'), 33, 0), /no 0th \/33/);
  for (const length of [-1, 33]) assert.throws(() => prefixOf(ip('10.0.0.1'), length), /prefix length/);
});

test('addresses by ordinal', () => {
  const block = cidr('10.0.0.64/26');
  assert.deepEqual(
    [0, 63].map((ordinal) => formatIp(addressIn(block, ordinal))),
    ['10.0.0.64', '10.0.0.127'],
  );
  for (const ordinal of [-1, 64]) assert.throws(() => addressIn(block, ordinal), /no -?\d+th address/);
  assert.equal(ordinalOf(block, ip('10.0.0.65')), 1);
  assert.equal(ordinalOf(block, ip('10.0.0.128')), undefined);
  assert.equal(ordinalOf(block, ip('::1')), undefined);
  assert.equal(formatIp(addressIn(cidr('fd00::/64'), 2 ** 32 - 1)), 'fd00::ffff:ffff');
});

test('properties of any prefix', () => {
  fc.assert(
    fc.property(anyCidr, anyCidr, fc.nat(), (prefix, other, seed) => {
      assert.ok(sameCidr(cidr(formatCidr(prefix)), prefix));
      assert.ok(sameIp(prefixOf(prefix.address, prefix.length).address, prefix.address));
      const bits = addressBits(familyOf(prefix));
      const length = Math.min(prefix.length + (seed % 40), bits);
      const index = seed % countOf(prefix, length);
      const inner = subPrefix(prefix, length, index);
      assert.ok(containsCidr(prefix, inner), `${formatCidr(prefix)} contains ${formatCidr(inner)}`);
      assert.ok(compareCidr(prefix, inner) <= 0);
      assert.ok(sameCidr(hostPrefix(inner.address), prefixOf(inner.address, bits)));
      const ordinal = ordinalOf(prefix, inner.address);
      if (ordinal !== undefined) assert.ok(sameIp(addressIn(prefix, ordinal), inner.address));
      assert.equal(overlaps(prefix, other), containsIp(prefix, other.address) || containsIp(other, prefix.address));
    }),
    { numRuns: 1000 },
  );
});
