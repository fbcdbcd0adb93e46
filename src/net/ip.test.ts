import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  addressAt,
  addressBits,
  compareIp,
  formatIp,
  type Ip,
  ip,
  ipFromBytes,
  offsetOf,
  parseIp,
  sameIp,
  unmapIp,
} from './ip.ts';

const anyIp: fc.Arbitrary<Ip> = fc
  .oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    // Mostly zeros, for the runs that "::" stands for.
    fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }).map((bytes) => Uint8Array.from(bytes)),
  )
  .map(ipFromBytes);

describe('text', () => {
  // Canonical forms: each row of RFC 5952 that states one, and RFC 4291 section 2.2.
  const CANONICAL: readonly (readonly [text: string, canonical: string])[] = [
    ['192.168.100.100', '192.168.100.100'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    // RFC 5952 section 1
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:db8:0000:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
    // section 2.1 and 4.1: leading zeros
    ['2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:1'],
    ['2001:db8:aaaa:bbbb:cccc:dddd:eeee:001', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:1'],
    ['2001:0db8::0001', '2001:db8::1'],
    // section 4.2.1: as short as can be
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8::0:1', '2001:db8::1'],
    // section 4.2.2: not for one group
    ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    // section 4.2.3: the longest run, and of equals the first
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    // section 4.3: lower case
    ['2001:DB8:AAAA::ABCD', '2001:db8:aaaa::abcd'],
    // section 5: a known IPv4 suffix
    ['::ffff:c000:201', '::ffff:192.0.2.1'],
    ['0:0:0:0:0:FFFF:192.0.2.1', '::ffff:192.0.2.1'],
    ['::192.0.2.1', '::c000:201'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    // the ends
    ['::', '::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ];
  for (const [text, canonical] of CANONICAL) {
    test(`${text} is printed as ${canonical}`, () => assert.equal(formatIp(ip(text)), canonical));
  }

  const NONE = [
    ...[
      '',
      ' ',
      'host',
      '1.2.3',
      '1.2.3.4.5',
      '1.2.3.256',
      '01.2.3.4',
      '1.2.3.04',
      '1.2.3.-4',
      '1.2.3.4 ',
      '0x1.2.3.4',
    ],
    ...['1..2.3', '1.2.3.', '1.2.3.4/32', '1.2.3.1e1', '16909060', ':', ':::', '1:2', '1::2::3', '1:2:3:4:5:6:7:8:9'],
    ...['1:2:3:4:5:6:7:8::', '::1:2:3:4:5:6:7:8', '1:2:3:4::5:6:7:8', ':1:2:3:4:5:6:7', '1:2:3:4:5:6:7:', '12345::'],
    ...['g::', '::1.2.3', '::1.2.3.256', '1.2.3.4::', '::1.2.3.4:1', '1:2:3:4:5:6:7:1.2.3.4', 'fe80::1%eth0', '[::1]'],
    ...['::1/128', '::\n', '1::-1'],
  ];
  for (const text of NONE) {
    test(`${JSON.stringify(text)} is no address`, () => {
      assert.equal(parseIp(text), undefined);
      assert.throws(() => ip(text), /not an IP address/);
    });
  }

  test('what is printed is read back as the same address, and is canonical', () => {
    fc.assert(
      fc.property(anyIp, (address) => {
        const text = formatIp(address);
        assert.ok(sameIp(ip(text), address), text);
        assert.equal(formatIp(address), text);
        assert.doesNotMatch(text, /[A-Z]|(^|:)0[0-9a-f]/);
      }),
      { numRuns: 1000 },
    );
  });

  test('what Node.js takes for an address, without a zone, is an address, and nothing else is', () => {
    const piece = fc.constantFrom('0', '1', '00', 'ff', '255', '256', '1234', '12345', ':', '::', ':', '.', 'g');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const text = pieces.join('');
        assert.equal(parseIp(text)?.family === 4, isIPv4(text), text);
        assert.equal(parseIp(text)?.family === 6, isIPv6(text), text);
      }),
      { numRuns: 5000 },
    );
  });
});

test('the order is IPv4 first, then by value, and agrees with sameness', () => {
  const ordered = [
    '0.0.0.0',
    '9.255.255.255',
    '10.0.0.0',
    '127.0.0.1',
    '128.0.0.1',
    '::',
    '::1',
    '::ffff:0.0.0.0',
    '8000::',
  ];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries()) {
      assert.equal(Math.sign(compareIp(ip(a), ip(b))), Math.sign(i - j), `${a} and ${b}`);
      assert.equal(sameIp(ip(a), ip(b)), i === j);
    }
  }
  assert.deepEqual([sameIp(undefined, undefined), sameIp(undefined, ip('::'))], [true, false]);
});

test('an address does not change with the bytes that it was made of', () => {
  const bytes = Uint8Array.of(10, 0, 0, 1);
  const address = ipFromBytes(bytes);
  bytes[0] = 11;
  assert.equal(formatIp(address), '10.0.0.1');
  for (const length of [0, 3, 5, 15, 17]) assert.throws(() => ipFromBytes(new Uint8Array(length)), /4 or 16 bytes/);
});

test('places after an address', () => {
  const rows: [base: string, offset: number, sum: string][] = [
    ['10.0.0.0', 0, '10.0.0.0'],
    ['10.0.0.255', 1, '10.0.1.0'],
    ['0.0.0.0', 2 ** 32 - 1, '255.255.255.255'],
    ['fd00::ffff:ffff', 1, 'fd00::1:0:0'],
    ['fd00::', 2 ** 32 - 1, 'fd00::ffff:ffff'],
  ];
  for (const [base, offset, sum] of rows) {
    assert.equal(formatIp(addressAt(ip(base), offset)), sum);
    assert.equal(offsetOf(ip(base), ip(sum)), offset);
  }
  for (const last of ['255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']) {
    assert.throws(() => addressAt(ip(last), 1), /beyond the last address/);
  }
});

test('no place: before the base, too far behind it, of the other family', () => {
  const rows: [base: string, address: string][] = [
    ['10.0.0.1', '10.0.0.0'],
    ['fd00::', 'fd00::1:0:0'],
    ['::', '0.0.0.1'],
    ['0.0.0.0', '::1'],
  ];
  for (const [base, address] of rows) assert.equal(offsetOf(ip(base), ip(address)), undefined, `${base} to ${address}`);
});

test('the IPv4 address inside a mapped one', () => {
  const rows: [address: string, unmapped: string][] = [
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::fffe:10.0.0.1', '::fffe:a00:1'],
    ['1::ffff:10.0.0.1', '1::ffff:a00:1'],
    ['10.0.0.1', '10.0.0.1'],
  ];
  for (const [address, unmapped] of rows) assert.equal(formatIp(unmapIp(ip(address))), unmapped);
  assert.deepEqual([addressBits(4), addressBits(6)], [32, 128]);
});
