import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../lib/bytes.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { type Cidr, cidr, formatCidr } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import { encodeAttributes, type PathAttributes } from './attributes.ts';
import { isBgpError } from './errors.ts';
import { originate } from './export.ts';
import { MessageFramer } from './message.ts';
import { encodeEndOfRib, packUpdates } from './pack-updates.ts';
import { type Update, type UpdateContext, UpdateDecoder } from './update.ts';
import { hex, MARKER } from './wire.suite.ts';

const INTERNAL: UpdateContext = { asnBytes: 4, external: false, families: [4, 6], peerAsn: 64512 };
const EXTERNAL: UpdateContext = { ...INTERNAL, external: true, peerAsn: 65001 };

const ORIGIN = '40 01 01 00';
const EMPTY_PATH = '40 02 00';
const PATH_65001 = '40 02 06 02 01 0000fde9';
const NEXT_HOP = '40 03 04 0a000002';
const LOCAL_PREF = '40 05 04 00000064';
const MANDATORY = `${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP} ${LOCAL_PREF}`;
const REACH6 = '80 0e 1e 0002 01 10 fd000000000000000000000000000002 00 40 fd17000900000000';
const PREFIX = '18 ac1109';

/** The body of an UPDATE from its three fields. */
function body(attributes: string, announced = '', withdrawn = ''): Uint8Array {
  const length = (bytes: Uint8Array): number[] => [bytes.length >> 8, bytes.length & 255];
  const [gone, block] = [hex(withdrawn), hex(attributes)];
  return Uint8Array.from([...length(gone), ...gone, ...length(block), ...block, ...hex(announced)]);
}

function decode(bytes: Uint8Array, context: UpdateContext = INTERNAL): Update {
  const update = new UpdateDecoder(context).decode(bytes);
  assert.ok(!isBgpError(update), `reset: ${isBgpError(update) && update.why}`);
  return update;
}

const texts = (prefixes: readonly Cidr[]): string[] => prefixes.map(formatCidr);

/** One line that says what became of an UPDATE. */
function outcome(bytes: Uint8Array, context: UpdateContext): string {
  const update = new UpdateDecoder(context).decode(bytes);
  if (isBgpError(update)) return `reset ${update.code}/${update.subcode}`;
  const announced = update.announced.flatMap(({ prefixes }) => texts(prefixes)).map((prefix) => `+${prefix}`);
  const withdrawn = texts(update.withdrawn).map((prefix) => `-${prefix}`);
  return [...announced, ...withdrawn].join(' ') + (update.problems.length > 0 ? ' !' : '');
}

const TAKEN = '+172.17.9.0/24';
const DISCARDED = `${TAKEN} !`;
const WITHDRAWN = '-172.17.9.0/24 !';

const ROWS: [title: string, attributes: string, expected: string, context?: UpdateContext][] = [
  ['4271 4.3: well-formed', MANDATORY, TAKEN],
  ['7606 3 g: an attribute twice', `${MANDATORY} ${ORIGIN}`, DISCARDED],
  ['7606 3 g: MP_REACH_NLRI twice', `${MANDATORY} ${REACH6} ${REACH6}`, 'reset 3/1'],
  ['7606 3 c: wrong flags', MANDATORY.replace('40 01', '80 01'), WITHDRAWN],
  ['7606 3 c: well known and Partial', MANDATORY.replace('40 01', '60 01'), TAKEN],
  ['7606 3 d: no ORIGIN', `${EMPTY_PATH} ${NEXT_HOP} ${LOCAL_PREF}`, WITHDRAWN],
  ['7606 3 d: no AS_PATH', `${ORIGIN} ${NEXT_HOP} ${LOCAL_PREF}`, WITHDRAWN],
  ['7606 3 d: no NEXT_HOP', `${ORIGIN} ${EMPTY_PATH} ${LOCAL_PREF}`, WITHDRAWN],
  ['7606 4: an attribute longer than the attributes', `${MANDATORY} c0 08 09 fc000064`, WITHDRAWN],
  ['7606 4: stray bytes', `${MANDATORY} c0`, WITHDRAWN],
  ['7606 7.1: ORIGIN 3', MANDATORY.replace(ORIGIN, '40 01 01 03'), WITHDRAWN],
  ['7606 7.1: ORIGIN of 2 bytes', MANDATORY.replace(ORIGIN, '40 01 02 0000'), WITHDRAWN],
  ['7606 7.2: segment type 9', MANDATORY.replace(EMPTY_PATH, '40 02 06 09 01 0000fde9'), WITHDRAWN],
  ['9774: AS_SET', MANDATORY.replace(EMPTY_PATH, '40 02 06 01 01 0000fde9'), WITHDRAWN],
  ['7606 7.2: segment of no AS', MANDATORY.replace(EMPTY_PATH, '40 02 02 02 00'), WITHDRAWN],
  ['7606 7.2: segment that overruns', MANDATORY.replace(EMPTY_PATH, '40 02 06 02 02 0000fde9'), WITHDRAWN],
  ['7607: AS 0', MANDATORY.replace(EMPTY_PATH, '40 02 06 02 01 00000000'), WITHDRAWN],
  ['7606 7.3: NEXT_HOP of 5 bytes', MANDATORY.replace(NEXT_HOP, '40 03 05 0a00000200'), WITHDRAWN],
  ['7606 7.4: MED of 3 bytes', `${MANDATORY} 80 04 03 000007`, WITHDRAWN],
  ['7606 7.5: LOCAL_PREF of 3 bytes', MANDATORY.replace(LOCAL_PREF, '40 05 03 000064'), WITHDRAWN],
  ['7606 7.6: ATOMIC_AGGREGATE of 1 byte', `${MANDATORY} 40 06 01 00`, DISCARDED],
  ['7606 7.7: AGGREGATOR of 6 bytes', `${MANDATORY} c0 07 06 fde9 0a000001`, DISCARDED],
  ['7606 7.8: COMMUNITIES of 5 bytes', `${MANDATORY} c0 08 05 fc00006400`, WITHDRAWN],
  ['7606 7.8: COMMUNITIES of none', `${MANDATORY} c0 08 00`, WITHDRAWN],
  ['7606 7.9: ORIGINATOR_ID of 3 bytes', `${MANDATORY} 80 09 03 0a0000`, WITHDRAWN],
  ['7606 7.10: CLUSTER_LIST of 3 bytes', `${MANDATORY} 80 0a 03 0a0000`, WITHDRAWN],
  ['8092 6: LARGE_COMMUNITY of 11 bytes', `${MANDATORY} c0 20 0b ${'00'.repeat(11)}`, WITHDRAWN],
  ['6793 6: AS4_PATH from a 4-octet peer', `${MANDATORY} c0 11 06 02 01 0000fde9`, DISCARDED],
  ['4271 5: unknown well-known attribute', `${MANDATORY} 40 63 00`, WITHDRAWN],
  ['4271 5: unknown optional attribute', `${MANDATORY} 80 63 00`, TAKEN],
  ['7606 7.5: LOCAL_PREF from outside', `${ORIGIN} ${PATH_65001} ${NEXT_HOP} ${LOCAL_PREF}`, DISCARDED, EXTERNAL],
  ['7606 7.9: bad ORIGINATOR_ID from outside', `${ORIGIN} ${PATH_65001} ${NEXT_HOP} 80 09 01 00`, DISCARDED, EXTERNAL],
  ['4271 6.3: first AS is not the neighbour', `${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP}`, WITHDRAWN, EXTERNAL],
];
for (const [title, attributes, expected, context = INTERNAL] of ROWS) {
  test(`RFC ${title}`, () => assert.equal(outcome(body(attributes, PREFIX), context), expected));
}

const FRAMES: [title: string, bytes: Uint8Array, expected: string, context?: UpdateContext][] = [
  ['7606 5.3: IPv4 prefix of 33 bits', body(MANDATORY, '21 ac11090000'), 'reset 3/10'],
  ['7606 5.3: IPv4 prefix that overruns', body(MANDATORY, '18 ac11'), 'reset 3/10'],
  ['7606 5.3: withdrawn prefix of 33 bits', body('', '', '21 ac11090000'), 'reset 3/10'],
  ['7606 3 b: attributes beyond the message', hex('0000 0009 400101'), 'reset 3/1'],
  ['7606 3 b: withdrawn routes beyond the message', hex('0009 0000'), 'reset 3/1'],
  ['7606 3 j: a truncated attribute may hide prefixes', body(`${MANDATORY} 80 0e 1e 0002`), 'reset 3/1'],
  ['7606 7.11: next hop of 5 bytes', body(`${ORIGIN} ${EMPTY_PATH} 80 0e 0a 0002 01 05 0000000000 00`), 'reset 3/9'],
  ['7606 7.11: MP_REACH_NLRI too short', body(`${ORIGIN} ${EMPTY_PATH} 80 0e 03 0002 01`), 'reset 3/9'],
  ['7606 7.12: MP_UNREACH_NLRI too short', body('80 0f 02 0002'), 'reset 3/9'],
  ['4760 5: IPv6 prefix of 129 bits', body('80 0f 04 0002 01 81'), 'reset 3/9'],
  [
    '4760 7: a family that was not agreed on',
    body(`${MANDATORY} ${REACH6}`, PREFIX),
    TAKEN,
    { ...INTERNAL, families: [4] },
  ],
  ['4760 3: both families in one message', body(`${MANDATORY} ${REACH6}`, PREFIX), `${TAKEN} +fd17:9::/64`],
  ['4271 4.3: bits beyond the length', body(MANDATORY, '17 ac1109'), '+172.17.8.0/23'],
  ['4271 4.3: withdrawal', body('', '', `${PREFIX} 00`), '-172.17.9.0/24 -0.0.0.0/0'],
  ['4760 4: withdrawal', body('80 0f 0c 0002 01 40 fd17000900000000'), '-fd17:9::/64'],
];
for (const [title, bytes, expected, context = INTERNAL] of FRAMES) {
  test(`RFC ${title}`, () => assert.equal(outcome(bytes, context), expected));
}

const FULL: PathAttributes = {
  origin: 2,
  asPath: [64512, 4200000000],
  nextHop: ip('10.0.0.2'),
  med: 7,
  localPreference: 200,
  atomicAggregate: true,
  aggregator: { asn: asn(4200000000), address: ip('10.0.0.9') },
  communities: [0xfc000064, 0xffffff01],
  largeCommunities: [[64512, 1, 2]],
  originatorId: routerIdFromIp(ip('10.0.0.7')),
  clusterList: [0x0a000008],
  unknown: [{ type: 99, flags: 0xe0, value: hex('0102') }],
};
const FULL_HEX = `40 01 01 02  40 02 0a 02 02 0000fc00 fa56ea00  40 03 04 0a000002  80 04 04 00000007  40 05 04 000000c8
  40 06 00  c0 07 08 fa56ea00 0a000009  c0 08 08 fc000064 ffffff01  80 09 04 0a000007  80 0a 04 0a000008
  c0 20 0c 0000fc00 00000001 00000002  e0 63 02 0102`;

test('RFC 4271 4.3: all attributes are written and read as these bytes, ascending by type', () => {
  assert.equal(toHex(encodeAttributes(FULL, INTERNAL)), toHex(hex(FULL_HEX)));
  assert.deepEqual(decode(body(FULL_HEX, PREFIX)).announced[0]?.attributes, FULL);
});

test('RFC 6793 4.2: a 2-octet peer gets AS_TRANS and AS4_PATH, and its path is put together again', () => {
  const context = { ...INTERNAL, asnBytes: 2 } as const;
  const bytes = encodeAttributes(FULL, context);
  assert.match(toHex(bytes), /4002060202fc005ba0/);
  assert.deepEqual(decode(body(toHex(bytes), PREFIX), context).announced[0]?.attributes, FULL);
  const longer = body(`${ORIGIN} 40 02 08 02 03 0001 5ba0 5ba0 ${NEXT_HOP} c0 11 0a 02 02 00010000 00010001`, PREFIX);
  assert.deepEqual(decode(longer, context).announced[0]?.attributes.asPath, [1, 65536, 65537]);
});

test('RFC 4724 2: End-of-RIB of both families', () => {
  assert.equal(toHex(encodeEndOfRib(4)), `${MARKER}00170200000000`);
  assert.equal(toHex(encodeEndOfRib(6)), `${MARKER}001d0200000006800f03000201`);
  for (const family of [4, 6] as const) assert.equal(decode(encodeEndOfRib(family).subarray(19)).endOfRib, family);
  assert.equal(decode(body('', '', PREFIX)).endOfRib, undefined);
  assert.equal(decode(body(MANDATORY, PREFIX)).endOfRib, undefined);
});

test('the same bytes give the same attributes, which makes a flood cheap', () => {
  const decoder = new UpdateDecoder(INTERNAL);
  const attributesOf = (attributes: string): PathAttributes | undefined => {
    const update = decoder.decode(body(attributes, PREFIX));
    return isBgpError(update) ? undefined : update.announced[0]?.attributes;
  };
  assert.ok(attributesOf(MANDATORY) !== undefined);
  assert.equal(attributesOf(MANDATORY), attributesOf(MANDATORY));
  assert.notEqual(attributesOf(MANDATORY), attributesOf(`${MANDATORY} 80 04 04 00000007`));
});

test('RFC 4760 3: two next hops in MP_REACH_NLRI are two attribute sets', () => {
  const decoder = new UpdateDecoder(INTERNAL);
  const nextHopOf = (reach: string): string | undefined => {
    const update = decoder.decode(body(`${ORIGIN} ${EMPTY_PATH} ${reach}`));
    const nextHop = isBgpError(update) ? undefined : update.announced[0]?.attributes.nextHop;
    return nextHop && formatIp(nextHop);
  };
  assert.equal(nextHopOf(REACH6), 'fd00::2');
  assert.equal(nextHopOf(REACH6.replace('02 00 40', '03 00 40')), 'fd00::3');
});

test('RFC 4271 4.3: routes with the same attributes share messages of at most 4096 bytes', () => {
  const set = (nextHop: string) => {
    const attributes = originate(ip(nextHop));
    return { bytes: encodeAttributes(attributes, INTERNAL), nextHop: ip(nextHop) };
  };
  const [v4, v6] = [set('10.0.0.1'), set('fd00::1')];
  const prefixes4 = Array.from({ length: 2_500 }, (_, index) => cidr(`10.${index >> 8}.${index & 255}.0/24`));
  const prefixes6 = Array.from({ length: 1_000 }, (_, index) => cidr(`fd17:${index.toString(16)}::/64`));
  const gone = Array.from({ length: 1_500 }, (_, index) => cidr(`11.${index >> 8}.${index & 255}.0/24`));
  const changes = [
    ...prefixes4.map((prefix) => ({ prefix, set: v4 })),
    ...prefixes6.map((prefix) => ({ prefix, set: v6 })),
    ...[...gone, ...prefixes6].map((prefix) => ({ prefix, set: undefined })),
  ];
  const { frames, error } = new MessageFramer().push(packUpdates(changes));
  assert.equal(error, undefined);
  const updates = frames.map((frame) => decode(frame.body));
  assert.ok(updates.every((update) => update.problems.length === 0 && update.endOfRib === undefined));
  assert.deepEqual(texts(updates.flatMap((update) => update.withdrawn)), texts([...gone, ...prefixes6]));
  const announced = updates.flatMap((update) => update.announced);
  assert.deepEqual(texts(announced.flatMap(({ prefixes }) => [...prefixes])), texts([...prefixes4, ...prefixes6]));
  assert.deepEqual(announced[0]?.attributes, originate(ip('10.0.0.1')));
  assert.deepEqual(announced.at(-1)?.attributes, originate(ip('fd00::1')));
  assert.equal(frames.length, 2 + 3 + 3 + 3);
});
