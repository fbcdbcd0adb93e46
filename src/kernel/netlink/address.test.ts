import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../lib/bytes.ts';
import { formatIp, ip, ipFromBytes } from '../../net/ip.ts';
import { ifIndex } from '../../net/kernel-objects.ts';
import { decodeAddress, encodeAddressAdd, encodeAddressesDump, encodeAddressRemove } from './address.ts';
import { checkBears, checkSameAs, KERNEL_SAYS, messageOf } from './golden.suite.ts';

it('an address is added as iproute2 adds it', () => {
  const { type, flags, body } = encodeAddressAdd(ifIndex(3), ip('10.0.0.5'), 24);
  assert.deepEqual([type, flags], [20, 0x600]);
  const theirs = '28000000 14000506 558b036b 00000000 0218000003000000 080002000a000005 080001000a000005'.replaceAll(
    ' ',
    '',
  );
  checkSameAs(body, 8, theirs);
});

it('an IPv6 address is added without duplicate address detection', () => {
  const { body } = encodeAddressAdd(ifIndex(3), ip('fd00::1'), 64);
  assert.equal(toHex(body.subarray(0, 8)), '0a40020003000000');
});

it('an address is removed by what it was added with', () => {
  const { type, flags, body } = encodeAddressRemove(ifIndex(3), ip('10.0.0.5'), 24);
  assert.deepEqual([type, flags], [21, 0]);
  assert.equal(toHex(body), '0218000003000000080002000a000005080001000a000005');
});

it('a dump asks for both families', () => {
  assert.deepEqual(encodeAddressesDump(), { type: 22, flags: 0x300, body: new Uint8Array(8) });
});

it('addresses as the kernel describes them', () => {
  for (const [hex, expected] of [
    [KERNEL_SAYS.address4, '10.0.0.1/24 on 3'],
    [KERNEL_SAYS.address6, 'fd00::1/64 on 3'],
  ] as const) {
    const decoded = decodeAddress(messageOf(hex));
    assert.ok(decoded !== undefined);
    assert.equal(`${formatIp(decoded.address)}/${decoded.prefixLength} on ${decoded.index}`, expected);
  }
});

it('the own address of a point-to-point device counts, not the other end’s', () => {
  const body = Uint8Array.from([2, 32, 0, 0, 3, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 2, 8, 0, 2, 0, 10, 0, 0, 1]);
  const decoded = decodeAddress({ type: 20, flags: 0, sequence: 1, portId: 1, body });
  assert.deepEqual(decoded?.address, ip('10.0.0.1'));
});

it('what is written is read back', () => {
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  fc.assert(
    fc.property(address, fc.nat({ max: 0x7fffffff }), fc.nat({ max: 32 }), (bytes, index, prefixLength) => {
      const { body } = encodeAddressAdd(ifIndex(index), ipFromBytes(bytes), prefixLength);
      const decoded = decodeAddress({ type: 20, flags: 0, sequence: 1, portId: 1, body });
      assert.deepEqual(decoded, { index, address: ipFromBytes(bytes), prefixLength });
    }),
  );
});

it('cut off or changed anywhere, reading does not throw', () => checkBears(decodeAddress));
