import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { asn, routerIdFromIp } from '../../net/asn.ts';
import { formatIp, ip } from '../../net/ip.ts';
import type { Role } from '../peer-config.ts';
import { encodeAttributes, type PathAttributes } from './attributes.ts';
import {
  attributesOf,
  body,
  decode,
  EMPTY_PATH,
  EXTERNAL,
  INTERNAL,
  LOCAL_PREF,
  MANDATORY,
  MANDATORY_EXTERNAL,
  NEXT_HOP,
  ORIGIN,
  outcome,
  PATH_65001,
  PREFIX,
} from './update.suite.ts';
import type { UpdateContext } from './update.ts';
import { hex } from './wire.suite.ts';

const TAKEN = '+172.17.9.0/24';
const DISCARDED = `${TAKEN} !`;
const WITHDRAWN = '-172.17.9.0/24 !';

const ROWS: [title: string, attributes: string, expected: string, context?: UpdateContext][] = [
  ['4271 4.3: well-formed', MANDATORY, TAKEN],
  ['4271 4.3: well-formed, from outside', MANDATORY_EXTERNAL, TAKEN, EXTERNAL],
  ['4271 5: in any order', `${LOCAL_PREF} ${NEXT_HOP} ${EMPTY_PATH} ${ORIGIN}`, TAKEN],
  ['7606 3 g: an attribute twice', `${MANDATORY} ${ORIGIN}`, DISCARDED],
  ['7606 3 g: the second is not even looked at', `${MANDATORY} 40 01 01 07`, DISCARDED],
  ['7606 3 g: an unknown one twice', `${MANDATORY} c0 63 00 c0 63 00`, DISCARDED],
  ['7606 3 d: no ORIGIN', `${EMPTY_PATH} ${NEXT_HOP} ${LOCAL_PREF}`, WITHDRAWN],
  ['7606 3 d: no AS_PATH', `${ORIGIN} ${NEXT_HOP} ${LOCAL_PREF}`, WITHDRAWN],
  ['7606 3 d: no NEXT_HOP', `${ORIGIN} ${EMPTY_PATH} ${LOCAL_PREF}`, WITHDRAWN],
  ['7606 3 d: nothing at all', '', WITHDRAWN],
  ['7606 3 e: none of LOCAL_PREF is mandatory to us', `${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP}`, TAKEN],
  ['7606 3 h: discard and withdraw: withdraw', `${MANDATORY} 40 06 01 00 80 04 00`, WITHDRAWN],
  ['7606 4: an attribute longer than the attributes', `${MANDATORY} c0 08 09 fc000064`, WITHDRAWN],
  ['7606 4: no room for the length', `${MANDATORY} c0 08`, WITHDRAWN],
  ['7606 4: no room for the extended length', `${MANDATORY} d0 08 00`, WITHDRAWN],
  ['7606 4: a stray byte', `${MANDATORY} c0`, WITHDRAWN],
  ['4271 6.3: first AS is not the neighbour', `${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP}`, WITHDRAWN, EXTERNAL],
  [
    '4271 6.3: first AS is another',
    MANDATORY_EXTERNAL.replace('fde9', 'fdea'),
    WITHDRAWN,
    { ...EXTERNAL, enforceFirstAs: true },
  ],
  [
    '7947 2.2.2.1: a route server is not in the path',
    MANDATORY_EXTERNAL.replace('fde9', 'fdea'),
    TAKEN,
    { ...EXTERNAL, enforceFirstAs: false },
  ],
];
for (const [title, attributes, expected, context = INTERNAL] of ROWS) {
  test(`RFC ${title}`, () => assert.equal(outcome(body(attributes, PREFIX), context), expected));
}

test('RFC 7606 3 g: of an attribute that stands twice the first counts', () => {
  assert.equal(attributesOf(body(`${MANDATORY} 80 04 04 00000001 80 04 04 00000002`, PREFIX)).med, 1);
  const first = `40 01 01 02 ${EMPTY_PATH} ${NEXT_HOP} ${ORIGIN}`;
  assert.equal(attributesOf(body(first, PREFIX)).origin, 2);
  assert.equal(outcome(body(`40 01 01 07 ${EMPTY_PATH} ${NEXT_HOP} ${ORIGIN}`, PREFIX)), WITHDRAWN);
});

test('RFC 7606 8: problems tell what was wrong, what was done, and quote the bytes', () => {
  const update = decode(body(`${MANDATORY} 40 06 01 7f 80 04 03 000007 c0 63 00 c0 63 00`, PREFIX));
  assert.deepEqual(update.problems, [
    'malformed ATOMIC_AGGREGATE: 1 bytes, 0 would be right (7f) was discarded',
    'malformed MULTI_EXIT_DISC: 3 bytes, 4 would be right (000007)',
    'attribute 99 stands twice, the first one counts',
  ]);
  assert.ok(update.treatedAsWithdraw && update.attributesDiscarded);
  const long = decode(body(`${MANDATORY} c0 08 fd ${'ab'.repeat(253)}`, PREFIX)).problems[0]!;
  assert.ok(long.length < 200, `${long.length} characters`);
});

test('RFC 4271 5: unknown attributes are passed on with the Partial bit, known ones as they came', () => {
  const { unknown } = attributesOf(body(`${MANDATORY} c0 63 02 0102 df fe 0001 09 c0 17 04 0007 0000`, PREFIX));
  assert.deepEqual(unknown, [
    { type: 23, flags: 0xc0, value: hex('0007 0000') },
    { type: 99, flags: 0xe0, value: hex('0102') },
    { type: 254, flags: 0xe0, value: hex('09') },
  ]);
});

test('RFC 8092 3: large communities that stand twice are taken once', () => {
  const value = '0000fc00 00000001 00000002';
  const attributes = attributesOf(body(`${MANDATORY} c0 20 24 ${value} 00000000 00000001 00000002 ${value}`, PREFIX));
  assert.deepEqual(attributes.largeCommunities, [
    [64512, 1, 2],
    [0, 1, 2],
  ]);
});

const FULL: PathAttributes = {
  origin: 2,
  asPath: [64512, 4200000000],
  nextHop: ip('10.0.0.2'),
  linkLocalNextHop: undefined,
  med: 7,
  localPreference: 200,
  atomicAggregate: true,
  aggregator: { asn: asn(4200000000), address: ip('10.0.0.9') },
  communities: [0xfc000064, 0xffffff01],
  extendedCommunities: [[0x0002fc00, 0xfffffffe]],
  largeCommunities: [[64512, 1, 4294967295]],
  originatorId: routerIdFromIp(ip('10.0.0.7')),
  clusterList: [0x0a000008],
  onlyToCustomer: 4200000001,
  unknown: [
    { type: 23, flags: 0xe0, value: hex('0007 0000') },
    { type: 99, flags: 0xe0, value: hex('0102') },
  ],
};
const FULL_HEX = `40 01 01 02  40 02 0a 02 02 0000fc00 fa56ea00  40 03 04 0a000002  80 04 04 00000007  40 05 04 000000c8
  40 06 00  c0 07 08 fa56ea00 0a000009  c0 08 08 fc000064 ffffff01  80 09 04 0a000007  80 0a 04 0a000008
  c0 10 08 0002fc00 fffffffe  e0 17 04 0007 0000  c0 20 0c 0000fc00 00000001 ffffffff  c0 23 04 fa56ea01  e0 63 02 0102`;

test('RFC 4271 4.3: all attributes are written and read as these bytes, ascending by type', () => {
  assert.equal(toHex(encodeAttributes(FULL, INTERNAL)), toHex(hex(FULL_HEX)));
  assert.deepEqual(attributesOf(body(FULL_HEX, PREFIX)), FULL);
});

test('RFC 4271 4.3: an attribute of more than 255 bytes has an extended length', () => {
  const attributes = { ...FULL, communities: Array.from({ length: 64 }, (_, index) => index) };
  const bytes = encodeAttributes(attributes, INTERNAL);
  assert.match(toHex(bytes), /d008010000000000/);
  assert.deepEqual(attributesOf(body(bytes, PREFIX)), attributes);
});

test('RFC 4760 3: an IPv6 next hop is not among the attributes', () => {
  assert.ok(!toHex(encodeAttributes({ ...FULL, nextHop: ip('fd00::2') }, INTERNAL)).includes('4003'));
});

const NARROW = { ...INTERNAL, asnBytes: 2 } as const;

test('RFC 6793 4.2.2: a peer of 16 bits gets AS_TRANS and AS4_PATH, and its path is put together again', () => {
  const bytes = encodeAttributes(FULL, NARROW);
  assert.match(toHex(bytes), /4002060202fc005ba0/);
  assert.match(toHex(bytes), /c007065ba00a000009/);
  assert.deepEqual(attributesOf(body(bytes, PREFIX), NARROW), FULL);
  const small = { ...FULL, asPath: [64512, 65535], aggregator: { asn: 65535, address: ip('10.0.0.9') } };
  const { length } = encodeAttributes(small, NARROW);
  assert.equal(length, encodeAttributes(small, INTERNAL).length - 4 - 2, 'no AS4 attribute where there is no need');
});

const path = (text: string): string => `40 02 ${text}`;
const AS4_PATH = 'c0 11 0a 02 02 00010000 00010001';
const AS4_AGGREGATOR = 'c0 12 08 00010000 0a000009';
const AGGREGATOR_TRANS = 'c0 07 06 5ba0 0a000008';

/** RFC 6793 4.2.3: the path, and the AS and address of the aggregator, that come out. */
const HALVES: [title: string, attributes: string, asPath: number[], aggregator?: string][] = [
  ['the same length', `${path('06 02 02 5ba0 5ba0')} ${AS4_PATH}`, [65536, 65537]],
  ['a head that AS4_PATH does not know', `${path('08 02 03 0001 5ba0 5ba0')} ${AS4_PATH}`, [1, 65536, 65537]],
  ['AS4_PATH longer: ignored', `${path('04 02 01 5ba0')} ${AS4_PATH}`, [23456]],
  ['AS4_PATH first', `${AS4_PATH} ${path('06 02 02 5ba0 5ba0')}`, [65536, 65537]],
  [
    'a confederation segment is no part of AS4_PATH',
    `${path('08 02 03 0001 5ba0 5ba0')} c0 11 10 03 01 00000009 02 02 00010000 00010001`,
    [1, 65536, 65537],
  ],
  [
    'both aggregators',
    `${path('06 02 02 5ba0 5ba0')} ${AS4_PATH} ${AGGREGATOR_TRANS} ${AS4_AGGREGATOR}`,
    [65536, 65537],
    '65536 10.0.0.9',
  ],
  [
    'AS4_AGGREGATOR before AGGREGATOR',
    `${AS4_AGGREGATOR} ${AGGREGATOR_TRANS} ${path('04 02 01 0001')}`,
    [1],
    '65536 10.0.0.9',
  ],
  [
    'an aggregator of 16 bits makes both AS4 attributes void',
    `${path('06 02 02 5ba0 5ba0')} ${AS4_PATH} c0 07 06 0007 0a000008 ${AS4_AGGREGATOR}`,
    [23456, 23456],
    '7 10.0.0.8',
  ],
  [
    'an aggregator of 16 bits without AS4_AGGREGATOR says nothing about AS4_PATH',
    `${path('06 02 02 5ba0 5ba0')} ${AS4_PATH} c0 07 06 0007 0a000008`,
    [65536, 65537],
    '7 10.0.0.8',
  ],
  ['AS4_AGGREGATOR alone', `${path('04 02 01 0001')} ${AS4_AGGREGATOR}`, [1]],
  ['AS_TRANS alone', `${path('04 02 01 0001')} ${AGGREGATOR_TRANS}`, [1], '23456 10.0.0.8'],
];
for (const [title, attributes, asPath, aggregator] of HALVES) {
  test(`RFC 6793 4.2.3: ${title}`, () => {
    const found = attributesOf(body(`${ORIGIN} ${NEXT_HOP} ${attributes}`, PREFIX), NARROW);
    assert.deepEqual(found.asPath, asPath);
    assert.equal(found.aggregator && `${found.aggregator.asn} ${formatIp(found.aggregator.address)}`, aggregator);
  });
}

test('RFC 6793 4.2.3: the first AS is that of the whole path', () => {
  const context = { ...EXTERNAL, asnBytes: 2, peerAsn: 65536 } as const;
  const attributes = `${ORIGIN} ${NEXT_HOP} ${path('06 02 02 5ba0 5ba0')}`;
  assert.equal(outcome(body(`${attributes} ${AS4_PATH}`, PREFIX), context), TAKEN);
  assert.equal(outcome(body(attributes, PREFIX), context), WITHDRAWN);
});

/** RFC 9234 5: by our own role, the OTC that comes (the peer is AS 65001), and the OTC that the route then has. */
const ROLES: [role: Role | undefined, sent: number | undefined, taken: number | 'leak' | undefined][] = [
  ['provider', undefined, undefined],
  ['provider', 65001, 'leak'],
  ['provider', 7, 'leak'],
  ['route-server', undefined, undefined],
  ['route-server', 65001, 'leak'],
  ['peer', undefined, 65001],
  ['peer', 65001, 65001],
  ['peer', 7, 'leak'],
  ['customer', undefined, 65001],
  ['customer', 7, 7],
  ['route-server-client', undefined, 65001],
  ['route-server-client', 7, 7],
  [undefined, undefined, undefined],
  [undefined, 7, 7],
];
for (const [role, sent, taken] of ROLES) {
  test(`RFC 9234 5: we are ${role ?? 'nothing'}, OTC ${sent ?? 'absent'}: ${taken ?? 'absent'}`, () => {
    const otc = sent === undefined ? '' : `c0 23 04 ${sent.toString(16).padStart(8, '0')}`;
    const update = decode(body(`${ORIGIN} ${PATH_65001} ${NEXT_HOP} ${otc}`, PREFIX), { ...EXTERNAL, role });
    const [first] = update.announced;
    assert.equal(first === undefined ? 'leak' : first.attributes.onlyToCustomer, taken);
    assert.equal(update.problems.length, taken === 'leak' ? 1 : 0);
    // Between internal peers there are no roles.
    const inside = decode(body(`${MANDATORY} ${otc}`, PREFIX), { ...INTERNAL, role });
    assert.equal(inside.announced[0]?.attributes.onlyToCustomer, sent);
  });
}
