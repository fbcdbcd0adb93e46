import assert from 'node:assert/strict';
import { it } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { ifIndex } from '../../net/kernel-objects.ts';
import { WORKLOAD_HOST_MAC } from '../../net/mac.ts';
import { checkBears, KERNEL_SAYS, messageOf } from './golden.suite.ts';
import {
  decodeLink,
  encodeBridgeAdd,
  encodeLinkGet,
  encodeLinkMaster,
  encodeLinkMtu,
  encodeLinkRemove,
  encodeLinksDump,
  encodeLinkUp,
  encodeVethAdd,
} from './link.ts';
import type { NetlinkRequest } from './message.ts';

const ANY = '0000 0000 00000000 00000000 00000000';
const SEVEN = '0000 0000 07000000 00000000 00000000';
const seven = ifIndex(7);
const veth = { name: 'cali1', mac: WORKLOAD_HOST_MAC, mtu: 1400, peer: { name: 'eth0' } };
const CALI1 = '0a000300 63616c693100 0000 0a000100 eeeeeeeeeeee 0000 08000400 78050000';

// By hand from linux/if_link.h and linux/veth.h.
const rows: [string, NetlinkRequest, number, number, string][] = [
  ['dump', encodeLinksDump(), 18, 0x300, ANY],
  ['get', encodeLinkGet('cali1'), 18, 0, `${ANY} 0a000300 63616c693100 0000`],
  ['up', encodeLinkUp(seven, true), 16, 0, '0000 0000 07000000 01000000 01000000'],
  ['down', encodeLinkUp(seven, false), 16, 0, '0000 0000 07000000 00000000 01000000'],
  ['master', encodeLinkMaster(seven, ifIndex(3)), 16, 0, `${SEVEN} 08000a00 03000000`],
  ['mtu', encodeLinkMtu(seven, 1400), 16, 0, `${SEVEN} 08000400 78050000`],
  ['remove', encodeLinkRemove(seven), 17, 0, SEVEN],
  ['bridge', encodeBridgeAdd('br0'), 16, 0x600, `${ANY} 08000300 62723000 10001200 0b000100 62726964676500 00`],
  [
    'veth here',
    encodeVethAdd({ name: 'cali1', peer: { name: 'eth0' } }, undefined),
    16,
    0x600,
    `${ANY} 0a000300 63616c693100 0000 34001200 09000100 7665746800 000000 24000200 20000100 ${ANY} 09000300 6574683000 000000`,
  ],
  [
    'veth with its far end elsewhere',
    encodeVethAdd(veth, 5),
    16,
    0x600,
    `${ANY} ${CALI1} 44001200 09000100 7665746800 000000 34000200 30000100 ${ANY} 09000300 6574683000 000000 08000400 78050000 08001c00 05000000`,
  ],
];
for (const [name, request, type, flags, body] of rows) {
  it(`a request is written: ${name}`, () => {
    assert.deepEqual([request.type, request.flags], [type, flags]);
    assert.equal(toHex(request.body), body.replaceAll(' ', ''));
  });
}

it('a veth as the kernel describes it', () => {
  assert.deepEqual(decodeLink(messageOf(KERNEL_SAYS.linkVeth)), {
    index: 3,
    name: 'cali1',
    mac: WORKLOAD_HOST_MAC,
    mtu: 1400,
    up: true,
    carrier: true,
    kind: 'veth',
  });
});

it('a device without kind and address, and one that is down', () => {
  const request = encodeLinkGet('tun0');
  const message = { type: 16, flags: 0, sequence: 1, portId: 1, body: request.body };
  const expected = { index: 0, name: 'tun0', mac: undefined, mtu: 0, up: false, carrier: false, kind: undefined };
  assert.deepEqual(decodeLink(message), expected);
  assert.deepEqual(decodeLink({ ...message, type: 17 }), expected, 'the removal of a device shows it as it was');
  assert.equal(decodeLink({ ...message, type: 20 }), undefined);
});

it('a port that leaves its bridge is not a device that goes', () => {
  const body = Uint8Array.from(encodeLinkGet('eth0').body);
  body[0] = 7; // AF_BRIDGE
  for (const type of [16, 17]) {
    assert.equal(decodeLink({ type, flags: 0, sequence: 1, portId: 1, body }), undefined);
  }
});

it('cut off or changed anywhere, reading does not throw', () => checkBears(decodeLink));
