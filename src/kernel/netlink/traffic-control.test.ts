import assert from 'node:assert/strict';
import { it } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { ip } from '../../net/ip.ts';
import { ifIndex } from '../../net/kernel-objects.ts';
import { checkBears, messageOf } from './golden.suite.ts';
import type { NetlinkRequest } from './message.ts';
import { decodeWaySource, encodeWayGet } from './route-question.ts';
import {
  decodeFilter,
  encodeClsactAdd,
  encodeClsactRemove,
  encodeFilterPut,
  encodeFilterRemove,
  encodeFiltersDump,
} from './traffic-control.ts';

const seven = ifIndex(7);
const place = { index: seven, direction: 'egress', priority: 20_100, handle: 1 } as const;
const CLSACT = '00000000 07000000 0000ffff f1ffffff 00000000';
const FILTER = '00000000 07000000 01000000 f3ffffff 0003844e';
const BPF = '08000100 62706600';

// By hand from linux/rtnetlink.h and linux/pkt_cls.h.
const rows: [string, NetlinkRequest, number, number, string][] = [
  ['clsact', encodeClsactAdd(seven), 36, 0x600, `${CLSACT} 0b000100 636c7361637400 00`],
  ['no clsact', encodeClsactRemove(seven), 37, 0, CLSACT],
  [
    'a program',
    encodeFilterPut(place, 'name', 9),
    44,
    0x400,
    `${FILTER} ${BPF} 20000200 08000600 09000000 09000700 6e616d6500 000000 08000800 01000000`,
  ],
  ['no program', encodeFilterRemove(place), 45, 0, `${FILTER} ${BPF}`],
  ['dump', encodeFiltersDump(seven, 'ingress'), 46, 0x300, '00000000 07000000 00000000 f2ffffff 00000000'],
  ['the way to an address', encodeWayGet(ip('10.0.0.7')), 26, 0, '02200000 00000000 00000000 08000100 0a000007'],
];
for (const [name, request, type, flags, body] of rows) {
  it(`a request is written: ${name}`, () => {
    assert.deepEqual([request.type, request.flags], [type, flags]);
    assert.equal(toHex(request.body), body.replaceAll(' ', ''));
  });
}

/** Of Linux 6.18. */
const KERNEL_SAYS = {
  head: '340000002c0003000100000000000000000000000200000000000000f2ffffff0003844e080001006270660008000b0000000000',
  filter:
    '780000002c0003000100000000000000000000000200000001000000f2ffffff0003844e080001006270660008000b000000000044000200' +
    '1a0007006d75736c696e5f697069705f696e2b636c7361637400000008000b00b60000000c000a0002c5a6885f1f419d0800080001000000' +
    '0800090008000000',
  way:
    '7000000018000100020000000000000002200000fe0000010002000008000f00fe00000008000100c0a8c865080004000200000008000700' +
    'c0a8646408000500c0a86401080019000000000024000c000200000000000000000000000000000000000000000000000000000000000000',
};

it('a filter as the kernel describes it', () => {
  assert.deepEqual(decodeFilter(messageOf(KERNEL_SAYS.filter)), {
    index: 2,
    direction: 'ingress',
    priority: 20_100,
    handle: 1,
    name: 'muslin_ipip_in+clsact',
    program: 182,
  });
});

it('the head of a priority, and an answer about a route, are no filters', () => {
  assert.equal(decodeFilter(messageOf(KERNEL_SAYS.head)), undefined);
  assert.equal(decodeFilter(messageOf(KERNEL_SAYS.way)), undefined);
});

it('the source address of a way is what the kernel would send from', () => {
  assert.deepEqual(decodeWaySource(messageOf(KERNEL_SAYS.way)), ip('192.168.100.100'));
  assert.equal(decodeWaySource(messageOf(KERNEL_SAYS.filter)), undefined);
});

it('cut off or changed anywhere, reading does not throw', () => {
  checkBears(decodeFilter, KERNEL_SAYS);
  checkBears(decodeWaySource, KERNEL_SAYS);
});
