import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { formatIp } from '../../net/ip.ts';
import { isBgpError } from './errors.ts';
import {
  attributesOf,
  body,
  decode,
  EMPTY_PATH,
  INTERNAL,
  MANDATORY,
  MANDATORY_EXTERNAL,
  mpReach,
  ORIGIN,
  outcome,
  PREFIX,
  REACH6,
} from './update.suite.ts';
import { type Update, type UpdateContext, UpdateDecoder } from './update.ts';
import { hex } from './wire.suite.ts';

const TAKEN = '+172.17.9.0/24';
const WITHDRAWN = '-172.17.9.0/24 !';
const BOTH = `${TAKEN} +fd17:9::/64`;
const GLOBAL = 'fd000000000000000000000000000002';
const LINK_LOCAL = 'fe800000000000000000000000000002';
const REACHED = '40fd17000900000000';
const OVER_IPV6 = { ...INTERNAL, ipv4OverIpv6: true };
const ONLY_IPV4 = { ...INTERNAL, families: [4] } as const;
const reach = (nextHop: string, prefixes = REACHED): Uint8Array =>
  body(`${mpReach(6, nextHop, prefixes)} ${ORIGIN} ${EMPTY_PATH}`);

const ROWS: [title: string, bytes: Uint8Array, expected: string, context?: UpdateContext][] = [
  ['4271 4.3: one prefix', body(MANDATORY, PREFIX), TAKEN],
  [
    '4271 4.3: prefixes of all lengths',
    body(MANDATORY, '00 08 0a 20 0a000001 01 80'),
    '+0.0.0.0/0 +10.0.0.0/8 +10.0.0.1/32 +128.0.0.0/1',
  ],
  ['4271 4.3: bits beyond the length', body(MANDATORY, '17 ac1109 04 ff'), '+172.17.8.0/23 +240.0.0.0/4'],
  ['4271 4.3: withdrawal', body('', '', `${PREFIX} 00`), '-172.17.9.0/24 -0.0.0.0/0'],
  ['4271 4.3: withdrawal and announcement', body(MANDATORY, PREFIX, '08 0a'), `${TAKEN} -10.0.0.0/8`],
  ['7606 5.3: IPv4 prefix of 33 bits', body(MANDATORY, '21 ac11090000'), 'reset 3/10'],
  ['7606 5.3: IPv4 prefix that overruns', body(MANDATORY, '18 ac11'), 'reset 3/10'],
  ['7606 5.3: a good prefix and a stray length', body(MANDATORY, `${PREFIX} 08`), 'reset 3/10'],
  ['7606 5.3: withdrawn prefix of 33 bits', body('', '', '21 ac11090000'), 'reset 3/10'],
  ['7606 5.3: withdrawn prefix that overruns', body(MANDATORY, PREFIX, '18 ac11'), 'reset 3/10'],
  ['7606 3 b: attributes beyond the message', hex('0000 0009 400101'), 'reset 3/1'],
  ['7606 3 b: withdrawn routes beyond the message', hex('0009 0000'), 'reset 3/1'],
  ['7606 3 b: no room for the length of the attributes', hex('0001 00'), 'reset 3/1'],
  ['7606 3 b: an empty body', hex(''), 'reset 3/1'],
  ['7606 3 g: MP_REACH_NLRI twice', body(`${MANDATORY} ${REACH6} ${REACH6}`, PREFIX), 'reset 3/1'],
  ['7606 3 g: MP_UNREACH_NLRI twice', body('80 0f 03 0002 01 80 0f 03 0002 01'), 'reset 3/1'],

  ['7606 5.2: wrong attributes and no prefixes', body(MANDATORY.replace(ORIGIN, '40 01 01 07')), 'reset 3/1'],
  ['7606 5.2: the same with withdrawals', body(MANDATORY.replace(ORIGIN, '40 01 01 07'), '', PREFIX), 'reset 3/1'],
  ['7606 5.2: a truncated attribute may hide prefixes', body(`${MANDATORY} 80 0e 1e 0002`), 'reset 3/1'],
  ['7606 5.2: so may one that has lost its type', body(`${MANDATORY} 80`), 'reset 3/1'],
  [
    '7606 5.2: MP_REACH_NLRI without prefixes is none',
    body(`80 0e 15 0002 01 10 ${GLOBAL} 00 40 01 01 07`),
    'reset 3/1',
  ],
  ['7606 5.2: a malformed NEXT_HOP and no prefixes', body(`${ORIGIN} ${EMPTY_PATH} 40 03 01 00`), 'reset 3/1'],
  ['7606 5.2: attributes to discard and no prefixes', body(`${MANDATORY} 40 06 01 00`), ''],
  ['7606 5.2: good attributes and no prefixes', body(MANDATORY), ''],
  ['7606 5.2: attributes are missing, but nothing needs them', body(`${ORIGIN}`, '', PREFIX), '-172.17.9.0/24'],
  ['7606 3 j: MP_REACH_NLRI beyond the attributes', body(`${MANDATORY} 80 0e 1e 0002`, PREFIX), 'reset 3/1'],
  ['7606 3 j: MP_UNREACH_NLRI beyond the attributes', body(`${MANDATORY} 80 0f 1e 0002`, PREFIX), 'reset 3/1'],
  ['7606 4: truncated behind MP_REACH_NLRI', body(`${REACH6} ${ORIGIN} ${EMPTY_PATH} c0 08 09`), '-fd17:9::/64 !'],

  ['4760 3: both families in one message', body(`${MANDATORY} ${REACH6}`, PREFIX), BOTH],
  [
    '4760 3: NEXT_HOP says nothing about MP_REACH_NLRI',
    body(`${REACH6} ${ORIGIN} ${EMPTY_PATH} 40 03 04 00000000`),
    '+fd17:9::/64',
  ],
  [
    '4760 4: withdrawal before announcement',
    body(`80 0f 04 0002 01 00 ${ORIGIN} ${REACH6} ${EMPTY_PATH}`),
    '+fd17:9::/64 -::/0',
  ],
  [
    '7606 7.3: a malformed NEXT_HOP withdraws all',
    body(`${REACH6} ${ORIGIN} ${EMPTY_PATH} 40 03 01 00`, PREFIX),
    '-172.17.9.0/24 -fd17:9::/64 !',
  ],
  [
    '4760 3: but the classic prefixes need it',
    body(`${REACH6} ${ORIGIN} ${EMPTY_PATH}`, PREFIX),
    `+fd17:9::/64 ${WITHDRAWN}`,
  ],
  ['4760 3: IPv4 in MP_REACH_NLRI', body(`${mpReach(4, '0a000002', '18ac1109')} ${ORIGIN} ${EMPTY_PATH}`), TAKEN],
  ['4760 4: withdrawal', body('80 0f 0c 0002 01 40 fd17000900000000'), '-fd17:9::/64'],
  [
    '4760 4: announcement and withdrawal',
    body(`${REACH6} 80 0f 04 0002 01 00 ${ORIGIN} ${EMPTY_PATH}`),
    '+fd17:9::/64 -::/0',
  ],
  ['4760 5: IPv6 prefix of 129 bits', reach(GLOBAL, '81'.padEnd(36, '0')), 'reset 3/9'],
  ['4760 5: IPv6 prefix that overruns', reach(GLOBAL, '40fd'), 'reset 3/9'],
  ['4760 5: withdrawn IPv6 prefix of 129 bits', body('80 0f 04 0002 01 81'), 'reset 3/9'],
  ['4760 7: a family that was not agreed on', body(`${MANDATORY} ${REACH6}`, PREFIX), TAKEN, ONLY_IPV4],
  ['4760 7: its withdrawal', body('80 0f 0c 0002 01 40 fd17000900000000'), '', ONLY_IPV4],
  [
    '4760 7: classic prefixes where IPv4 was not agreed on',
    body(MANDATORY, PREFIX, '08 0a'),
    '',
    { ...INTERNAL, families: [6] },
  ],
  ['4760 7: a family that we do not know', body(`${MANDATORY} 80 0e 0a 0019 46 04 0a000002 00 ff`, PREFIX), TAKEN],
  ['4760 7: its withdrawal, with prefixes that mean nothing to us', body('80 0f 04 0019 46 ff'), ''],
  ['7606 7.11: MP_REACH_NLRI too short for its head', body(`${ORIGIN} ${EMPTY_PATH} 80 0e 03 0002 01`), 'reset 3/9'],
  ['7606 7.11: no room for the next hop', body(`${MANDATORY} 80 0e 06 0002 01 10 fd00`, PREFIX), 'reset 3/9'],
  ['7606 7.11: no room for the reserved byte', body(`${MANDATORY} 80 0e 14 0002 01 10 ${GLOBAL}`, PREFIX), 'reset 3/9'],
  [
    '7606 7.11: the same in a family that we do not know',
    body(`${MANDATORY} 80 0e 05 0019 46 04 0a`, PREFIX),
    'reset 3/9',
  ],
  ['7606 7.11: next hop of 5 bytes', reach('0000000000'), 'reset 3/9'],
  ['7606 7.11: IPv6 next hop of 4 bytes', reach('0a000002'), 'reset 3/9'],
  ['7606 7.11: IPv6 next hop of 24 bytes', reach(`${'00'.repeat(8)}${GLOBAL}`), 'reset 3/9'],
  ['7606 7.12: MP_UNREACH_NLRI too short', body('80 0f 02 0002'), 'reset 3/9'],
  ['7606 3 c: MP_REACH_NLRI transitive', body(`c0${REACH6.slice(2)} ${ORIGIN} ${EMPTY_PATH}`), '-fd17:9::/64 !'],
  [
    '7606 3 c: what else is announced goes with it',
    body(`c0${REACH6.slice(2)} ${MANDATORY}`, PREFIX),
    '-172.17.9.0/24 -fd17:9::/64 !',
  ],
  ['7606 3 c: MP_UNREACH_NLRI transitive', body('c0 0f 0c 0002 01 40 fd17000900000000'), '-fd17:9::/64 !'],
  ['4271 6.3: IPv6 next hop ::', reach('00'.repeat(16)), '-fd17:9::/64 !'],
  ['4271 6.3: IPv6 next hop ::1', reach(`${'00'.repeat(15)}01`), '-fd17:9::/64 !'],
  ['4271 6.3: IPv6 next hop ff02::1', reach(`ff02${'00'.repeat(13)}01`), '-fd17:9::/64 !'],

  [
    '8950 4: IPv4 by an IPv6 next hop',
    body(`${mpReach(4, GLOBAL, '18ac1109')} ${ORIGIN} ${EMPTY_PATH}`),
    TAKEN,
    OVER_IPV6,
  ],
  [
    '8950 4: by a pair',
    body(`${mpReach(4, GLOBAL + LINK_LOCAL, '18ac1109')} ${ORIGIN} ${EMPTY_PATH}`),
    TAKEN,
    OVER_IPV6,
  ],
  [
    '8950 4: by IPv4 all the same',
    body(`${mpReach(4, '0a000002', '18ac1109')} ${ORIGIN} ${EMPTY_PATH}`),
    TAKEN,
    OVER_IPV6,
  ],
  [
    '8950 4: not where it was not agreed on',
    body(`${mpReach(4, GLOBAL, '18ac1109')} ${ORIGIN} ${EMPTY_PATH}`),
    'reset 3/9',
  ],
];
for (const [title, bytes, expected, context = INTERNAL] of ROWS) {
  test(`RFC ${title}`, () => assert.equal(outcome(bytes, context), expected));
}

/** RFC 2545 3: what MP_REACH_NLRI has, the next hop, and the link-local one beside it. */
const NEXT_HOPS: [title: string, bytes: string, nextHop: string, linkLocal?: string][] = [
  ['global', GLOBAL, 'fd00::2'],
  ['global and link-local', GLOBAL + LINK_LOCAL, 'fd00::2', 'fe80::2'],
  ['link-local alone', LINK_LOCAL, 'fe80::2'],
  ['link-local behind zeros', '00'.repeat(16) + LINK_LOCAL, 'fe80::2'],
  ['link-local twice', LINK_LOCAL + LINK_LOCAL, 'fe80::2'],
  ['a second one that is not link-local', GLOBAL + GLOBAL, 'fd00::2'],
  ['a second one of zeros', GLOBAL + '00'.repeat(16), 'fd00::2'],
];
for (const [title, bytes, nextHop, linkLocal] of NEXT_HOPS) {
  test(`RFC 2545 3: ${title}`, () => {
    const attributes = attributesOf(reach(bytes));
    assert.equal(formatIp(attributes.nextHop!), nextHop);
    assert.equal(attributes.linkLocalNextHop && formatIp(attributes.linkLocalNextHop), linkLocal);
  });
}

const ADD_PATH = { ...INTERNAL, addPathReceive: [4, 6] } as const;
const PATHS: [title: string, bytes: Uint8Array, expected: string, context?: UpdateContext][] = [
  ['announced', body(MANDATORY, `00000007 ${PREFIX} ffffffff 00`), '+172.17.9.0/24#7 +0.0.0.0/0#4294967295'],
  ['withdrawn', body('', '', `00000007 ${PREFIX}`), '-172.17.9.0/24#7'],
  ['treated as withdrawn', body(ORIGIN, `00000007 ${PREFIX}`), '-172.17.9.0/24#7 !'],
  ['in MP_REACH_NLRI', reach(GLOBAL, `00000001${REACHED}00000002${REACHED}`), '+fd17:9::/64#1 +fd17:9::/64#2'],
  ['in MP_UNREACH_NLRI', body(`80 0f 10 0002 01 00000009${REACHED}`), '-fd17:9::/64#9'],
  [
    'in one family only',
    body(`${MANDATORY} ${REACH6}`, `00000007 ${PREFIX}`),
    '+172.17.9.0/24#7 +fd17:9::/64',
    { ...ADD_PATH, addPathReceive: [4] },
  ],
  ['no room for the identifier', body(MANDATORY, '000000'), 'reset 3/10'],
  ['an identifier without prefix', body(MANDATORY, '00000007'), 'reset 3/10'],
  ['a prefix without identifier', body(MANDATORY, PREFIX), 'reset 3/10'],
  ['not where it was not agreed on', body(MANDATORY, '00000000 00'), '+0.0.0.0/0 '.repeat(5).trim(), INTERNAL],
];
for (const [title, bytes, expected, context = ADD_PATH] of PATHS) {
  test(`RFC 7911 3: path identifiers: ${title}`, () => assert.equal(outcome(bytes, context), expected));
}

const ENDS: [title: string, bytes: Uint8Array, expected: Update['endOfRib'], context?: UpdateContext][] = [
  ['IPv4', body(''), 4],
  ['IPv6', body('80 0f 03 0002 01'), 6],
  ['IPv6 with an extended length', body('90 0f 0003 0002 01'), 6],
  ['IPv4 in MP_UNREACH_NLRI', body('80 0f 03 0001 01'), 4],
  ['not of a family that was not agreed on', body('80 0f 03 0002 01'), undefined, ONLY_IPV4],
  ['not of a family that we do not know', body('80 0f 03 0019 46'), undefined],
  ['not with withdrawals', body('', '', PREFIX), undefined],
  ['not with withdrawals of the other family', body('80 0f 03 0002 01', '', PREFIX), undefined],
  ['not with announcements', body(MANDATORY, PREFIX), undefined],
  ['not with attributes', body(`80 0f 03 0002 01 ${ORIGIN}`), undefined],
];
for (const [title, bytes, expected, context] of ENDS) {
  test(`RFC 4724 2: End-of-RIB: ${title}`, () => assert.equal(decode(bytes, context).endOfRib, expected));
}

test('the same bytes give the same attributes, which makes a flood cheap', () => {
  const decoder = new UpdateDecoder(INTERNAL);
  const attributes = (bytes: Uint8Array): unknown => {
    const update = decoder.decode(bytes);
    return isBgpError(update) ? undefined : update.announced[0]?.attributes;
  };
  const first = attributes(body(MANDATORY, PREFIX));
  assert.ok(first !== undefined);
  assert.equal(attributes(body(MANDATORY, '08 0a 08 0b')), first);
  const other = attributes(body(`${MANDATORY} 80 04 04 00000007`, PREFIX));
  assert.notEqual(other, first);
  assert.equal(attributes(body(MANDATORY, PREFIX)), first, 'not only right after itself');
  assert.equal(attributes(body(`${MANDATORY} 80 04 04 00000007`, PREFIX)), other);
  const six = attributes(reach(GLOBAL));
  assert.equal(attributes(reach(GLOBAL, `${REACHED}00`)), six, 'prefixes are no part of it');
  assert.equal(attributes(body(`${ORIGIN} ${EMPTY_PATH} ${REACH6}`)), six, 'nor is where MP_REACH_NLRI stands');
  assert.notEqual(attributes(reach(GLOBAL + LINK_LOCAL)), six);
  assert.notEqual(attributes(reach(LINK_LOCAL)), six);
});

test('RFC 4760 3: a NEXT_HOP that did not count once may count the next time', () => {
  const decoder = new UpdateDecoder(INTERNAL);
  const attributes = `${REACH6} ${ORIGIN} ${EMPTY_PATH} 40 03 01 00`;
  const announced = (bytes: Uint8Array): number => {
    const update = decoder.decode(bytes);
    return isBgpError(update) ? -1 : update.announced.length;
  };
  assert.equal(announced(body(attributes)), 1);
  assert.equal(announced(body(attributes, PREFIX)), 0);
});

test('attributes do not change when the buffer that they came in is used again', () => {
  const decoder = new UpdateDecoder(INTERNAL);
  const bytes = body(`${MANDATORY} c0 63 04 deadbeef`, PREFIX);
  const update = decoder.decode(bytes);
  assert.ok(!isBgpError(update));
  bytes.fill(0);
  assert.equal(toHex(update.announced[0]!.attributes.unknown[0]!.value), 'deadbeef');
  assert.equal(formatIp(update.announced[0]!.attributes.nextHop!), '10.0.0.2');
});

test('RFC 8654: a message of 65535 bytes', () => {
  const communities = `d0 08 7d00 ${'fc000064'.repeat(8000)}`;
  const prefixes = PREFIX.repeat((65535 - 19 - 4 - 32004 - 25) >> 2);
  const bytes = body(`${MANDATORY} ${communities}`, prefixes);
  assert.ok(bytes.length > 65500 && bytes.length <= 65535 - 19, `${bytes.length}`);
  const { announced } = decode(bytes);
  assert.equal(announced[0]?.attributes.communities.length, 8000);
  assert.equal(announced[0]?.range.end, bytes.length);
});

test('every truncation of a good UPDATE is an error, unless whole prefixes are cut off', () => {
  const whole = body(`${REACH6} ${MANDATORY_EXTERNAL} c0 08 04 fc000064`, `${PREFIX} 08 0a`, '10 0b0b');
  const accepted: number[] = [];
  for (let length = 0; length < whole.length; length++) {
    const update = new UpdateDecoder(INTERNAL).decode(whole.subarray(0, length));
    if (isBgpError(update)) assert.equal(update.code, 3);
    else accepted.push(whole.length - length);
  }
  assert.deepEqual(accepted, [6, 2]);
});
