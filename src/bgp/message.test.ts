import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../lib/bytes.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { ip } from '../net/ip.ts';
import { type Capabilities, NO_CAPABILITIES } from './capabilities.ts';
import { describeNotification, isBgpError, shutdownData } from './errors.ts';
import { decodeNotification, encodeNotification, type Frame, KEEPALIVE, MessageFramer } from './message.ts';
import { decodeOpen, encodeOpen, type Open } from './open.ts';
import { hex, MARKER } from './wire.suite.ts';

const OPEN_HEX = `${MARKER} 003d 01 04 fc00 005a 0a000001 20
  02 1e 01 04 0001 00 01  01 04 0002 00 01  40 0a 8078 0001 01 80 0002 01 80  41 04 0000fc00`;

const OPEN: Open = {
  asn: asn(64512),
  holdTimeSeconds: 90,
  routerId: routerIdFromIp(ip('10.0.0.1')),
  capabilities: {
    families: [4, 6],
    fourOctetAsn: 64512,
    gracefulRestart: {
      restarting: true,
      restartTimeSeconds: 120,
      families: [
        { family: 4, forwardingPreserved: true },
        { family: 6, forwardingPreserved: true },
      ],
    },
    routeRefresh: false,
  },
};

test('RFC 4271 4.2: OPEN is written and read as these bytes', () => {
  assert.equal(toHex(encodeOpen(OPEN)), toHex(hex(OPEN_HEX)));
  assert.deepEqual(decodeOpen(hex(OPEN_HEX).subarray(19)), OPEN);
});

test('RFC 6793 4.2.2: an AS number of 32 bits stands as AS_TRANS in the old field', () => {
  const big = { ...OPEN, asn: 4200000000, capabilities: { ...NO_CAPABILITIES, fourOctetAsn: 4200000000 } };
  const bytes = encodeOpen(big);
  assert.equal(toHex(bytes.subarray(20, 22)), '5ba0');
  assert.deepEqual(decodeOpen(bytes.subarray(19)), big);
});

/** The body of an OPEN of AS 64512, hold time 90, with these optional parameters. */
const openBody = (parameters: string, fixed = '04 fc00 005a 0a000001'): Uint8Array => hex(`${fixed} ${parameters}`);

const CAPABILITY_ROWS: [title: string, parameters: string, expected: Partial<Capabilities>][] = [
  ['none at all', '00', {}],
  ['RFC 5492 4: two parameters', '0a 02 02 02 00  02 04 41 02 0000', { routeRefresh: true }],
  [
    'RFC 5492 4: many in one, unknown ignored',
    '0c 02 0a 02 00 c7 00 01 04 0002 00 01',
    { routeRefresh: true, families: [6] },
  ],
  ['RFC 4760 8: the same family twice', '0e 02 0c 01 04 0001 00 01 01 04 0001 00 01', { families: [4] }],
  ['RFC 4760 8: a foreign family', '08 02 06 01 04 0001 00 80', { families: [] }],
  ['RFC 9072 2: extended parameters', 'ff ff 0007 02 0004 02 00 c7 00', { routeRefresh: true }],
  ['RFC 9072 2: length 1 is enough', '01 ff 0007 02 0004 02 00 c7 00', { routeRefresh: true }],
  [
    'RFC 4724 3: no families',
    '06 02 04 40 02 0078',
    { gracefulRestart: { restarting: false, restartTimeSeconds: 120, families: [] } },
  ],
  ['RFC 4724 3: malformed is as unsaid', '07 02 05 40 03 007800', {}],
];
for (const [title, parameters, expected] of CAPABILITY_ROWS) {
  test(`capabilities, ${title}`, () => {
    const open = decodeOpen(openBody(parameters));
    assert.ok(!isBgpError(open), 'is an error');
    assert.deepEqual(open.capabilities, { ...NO_CAPABILITIES, ...expected });
  });
}

const BAD_OPENS: [title: string, body: Uint8Array, code: string, data: string][] = [
  ['RFC 4271 6.2: version 3', openBody('00', '03 fc00 005a 0a000001'), '2/1', '0004'],
  ['RFC 7607: AS 0', openBody('00', '04 0000 005a 0a000001'), '2/2', ''],
  ['RFC 6793: AS 0 in the capability', openBody('08 02 06 41 04 00000000'), '2/2', ''],
  ['RFC 6286: identifier 0', openBody('00', '04 fc00 005a 00000000'), '2/3', ''],
  ['RFC 4271 4.2: hold time 1', openBody('00', '04 fc00 0001 0a000001'), '2/6', ''],
  ['RFC 4271 4.2: hold time 2', openBody('00', '04 fc00 0002 0a000001'), '2/6', ''],
  ['RFC 4271 6.2: unknown parameter', openBody('02 01 00'), '2/4', ''],
  ['RFC 4271 6.2: parameters shorter than said', openBody('05 02 00'), '2/0', ''],
  ['RFC 5492: a capability that overruns', openBody('04 02 02 41 04'), '2/0', ''],
  ['RFC 9072: wrong extended length', openBody('ff ff 0009 02 0004 02 00 c7 00'), '2/0', ''],
];
for (const [title, body, code, data] of BAD_OPENS) {
  test(`OPEN refused, ${title}`, () => {
    const error = decodeOpen(body);
    assert.ok(isBgpError(error), 'was taken');
    assert.equal(`${error.code}/${error.subcode}`, code);
    assert.equal(toHex(error.data), data);
  });
}

const STREAM = new Uint8Array([...hex(OPEN_HEX), ...KEEPALIVE, ...hex(`${MARKER} 0017 02 0000 0000`), ...KEEPALIVE]);
const show = (frame: Frame): string => `${frame.type}:${toHex(frame.body)}`;

test('RFC 4271 4.1: every split of a stream gives the same messages', () => {
  const whole = new MessageFramer().push(STREAM).frames.map(show);
  assert.equal(whole.length, 4);
  for (let first = 0; first <= STREAM.length; first++) {
    for (let second = first; second <= STREAM.length; second += 7) {
      const framer = new MessageFramer();
      const cuts = [STREAM.subarray(0, first), STREAM.subarray(first, second), STREAM.subarray(second)];
      const frames = cuts.flatMap((piece) => {
        const { frames: found, error } = framer.push(piece.slice());
        assert.equal(error, undefined);
        return found.map(show);
      });
      assert.deepEqual(frames, whole, `cut at ${first} and ${second}`);
    }
  }
  const framer = new MessageFramer();
  assert.deepEqual(Array.from(STREAM, (byte) => framer.push(Uint8Array.of(byte)).frames.map(show)).flat(), whole);
});

const BAD_HEADERS: [title: string, header: string, code: string, data: string][] = [
  ['marker', `${'ff'.repeat(15)}fe 0013 04`, '1/1', ''],
  ['length 18', `${MARKER} 0012 04`, '1/2', '0012'],
  ['length 4097', `${MARKER} 1001 02`, '1/2', '1001'],
  ['OPEN of 28 bytes', `${MARKER} 001c 01`, '1/2', '001c'],
  ['UPDATE of 22 bytes', `${MARKER} 0016 02`, '1/2', '0016'],
  ['NOTIFICATION of 20 bytes', `${MARKER} 0014 03`, '1/2', '0014'],
  ['KEEPALIVE of 20 bytes', `${MARKER} 0014 04`, '1/2', '0014'],
  ['type 6', `${MARKER} 0013 06`, '1/3', '06'],
  ['type 0', `${MARKER} 0013 00`, '1/3', '00'],
];
for (const [title, header, code, data] of BAD_HEADERS) {
  test(`RFC 4271 6.1: a header is refused for its ${title}, after what came before it`, () => {
    const { frames, error } = new MessageFramer().push(new Uint8Array([...KEEPALIVE, ...hex(header)]));
    assert.equal(frames.length, 1);
    assert.equal(`${error?.code}/${error?.subcode}`, code);
    assert.equal(toHex(error?.data ?? new Uint8Array(0)), data);
  });
}

test('RFC 4271 4.5: NOTIFICATION is written and read', () => {
  const bytes = encodeNotification({ code: 2, subcode: 1, data: hex('0004') });
  assert.equal(toHex(bytes), `${MARKER}00170302010004`);
  assert.deepEqual(decodeNotification(bytes.subarray(19)), { code: 2, subcode: 1, data: hex('0004') });
  assert.equal(encodeNotification({ code: 2, subcode: 1, data: new Uint8Array(5000) }).length, 4096);
});

const IN_WORDS: [code: number, subcode: number, data: Uint8Array, text: string][] = [
  [4, 0, hex(''), 'hold timer expired (4/0)'],
  [6, 2, shutdownData('moving\nracks'), 'cease: administrative shutdown (6/2): moving racks'],
  [6, 2, hex('ff 41'), 'cease: administrative shutdown (6/2): data ff41'],
  [6, 3, hex(''), 'cease: peer de-configured (6/3)'],
  [2, 1, hex('0004'), 'OPEN message error: unsupported version number (2/1): data 0004'],
  [9, 9, hex(''), 'unknown error (9/9)'],
];
for (const [code, subcode, data, text] of IN_WORDS) {
  test(`RFC 4271 4.5, 9003: in words: ${text}`, () => assert.equal(describeNotification(code, subcode, data), text));
}

test('RFC 9003 2: a shutdown text is cut to 255 bytes between characters', () => {
  const data = shutdownData('ä'.repeat(200));
  assert.equal(data.length, 255);
  assert.equal(data[0], 254);
});
