import assert from 'node:assert/strict';
import { it } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { ip } from '../../net/ip.ts';
import { ifIndex } from '../../net/kernel-objects.ts';
import { WORKLOAD_HOST_MAC } from '../../net/mac.ts';
import { checkBears, KERNEL_SAYS, messageOf } from './golden.suite.ts';
import {
  decodeLink,
  encodeBridgeAdd,
  encodeIpipAdd,
  encodeLinkArp,
  encodeLinkGet,
  encodeLinkMac,
  encodeLinkMaster,
  encodeLinkMtu,
  encodeLinkRemove,
  encodeLinksDump,
  encodeLinkUp,
  encodeVethAdd,
  encodeVxlanAdd,
} from './link.ts';
import type { NetlinkRequest } from './message.ts';

const ANY = '0000 0000 00000000 00000000 00000000';
const SEVEN = '0000 0000 07000000 00000000 00000000';
const seven = ifIndex(7);
const veth = { name: 'cali1', mac: WORKLOAD_HOST_MAC, mtu: 1400, peer: { name: 'eth0' } };
const vxlan = {
  name: 'vxlan0',
  vni: 4096,
  port: 4789,
  local: ip('10.0.0.1'),
  parent: seven,
  mac: WORKLOAD_HOST_MAC,
  mtu: 1450,
};
const CALI1 = '0a000300 63616c693100 0000 0a000100 eeeeeeeeeeee 0000 08000400 78050000';

// By hand from linux/if_link.h and linux/veth.h.
const rows: [string, NetlinkRequest, number, number, string][] = [
  ['dump', encodeLinksDump(), 18, 0x300, ANY],
  ['get', encodeLinkGet('cali1'), 18, 0, `${ANY} 0a000300 63616c693100 0000`],
  ['up', encodeLinkUp(seven, true), 16, 0, '0000 0000 07000000 01000000 01000000'],
  ['down', encodeLinkUp(seven, false), 16, 0, '0000 0000 07000000 00000000 01000000'],
  ['master', encodeLinkMaster(seven, ifIndex(3)), 16, 0, `${SEVEN} 08000a00 03000000`],
  ['mtu', encodeLinkMtu(seven, 1400), 16, 0, `${SEVEN} 08000400 78050000`],
  ['MAC address', encodeLinkMac(seven, WORKLOAD_HOST_MAC), 16, 0, `${SEVEN} 0a000100 eeeeeeeeeeee 0000`],
  ['no ARP', encodeLinkArp(seven, false), 16, 0, '0000 0000 07000000 80000000 80000000'],
  ['ARP', encodeLinkArp(seven, true), 16, 0, '0000 0000 07000000 00000000 80000000'],
  ['remove', encodeLinkRemove(seven), 17, 0, SEVEN],
  ['bridge', encodeBridgeAdd('br0'), 16, 0x600, `${ANY} 08000300 62723000 10001200 0b000100 62726964676500 00`],
  [
    'VXLAN',
    encodeVxlanAdd(vxlan),
    16,
    0x600,
    `${ANY} 0b000300 7678 6c616e3000 00 0a000100 eeeeeeeeeeee 0000 08000400 aa050000 3c001200 0a000100 7678 6c616e00 0000 2c000200 08000100 00100000 08000300 07000000 08000400 0a000001 05000700 00000000 06000f00 12b50000`,
  ],
  [
    'IPIP',
    encodeIpipAdd('tunl0', 1480),
    16,
    0x600,
    `${ANY} 0a000300 74756e6c3000 0000 08000400 c8050000 24001200 09000100 6970697000 000000 14000200 05000400 00000000 05000a00 00000000`,
  ],
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

it('a VXLAN device, in the form in which it is asked for', () => {
  for (const local of [ip('10.0.0.1'), ip('fd00::1')]) {
    const { type, flags, body } = encodeVxlanAdd({ ...vxlan, local });
    const read = decodeLink({ type, flags, sequence: 1, portId: 1, body });
    assert.deepEqual(read?.vxlan, { vni: 4096, port: 4789, local, parent: 7, learning: false });
  }
});

it('a port that leaves its bridge is not a device that goes', () => {
  const body = Uint8Array.from(encodeLinkGet('eth0').body);
  body[0] = 7; // AF_BRIDGE
  for (const type of [16, 17]) {
    assert.equal(decodeLink({ type, flags: 0, sequence: 1, portId: 1, body }), undefined);
  }
});

it('cut off or changed anywhere, reading does not throw', () => checkBears(decodeLink));
