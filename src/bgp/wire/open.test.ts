import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { seededRandom } from '../../lib/prng.ts';
import { asn, routerIdFromIp } from '../../net/asn.ts';
import { ip } from '../../net/ip.ts';
import { type Capabilities, capabilityNames, NO_CAPABILITIES } from './capabilities.ts';
import { isBgpError } from './errors.ts';
import { decodeOpen, encodeOpen, type Open } from './open.ts';
import { hex, MARKER } from './wire.suite.ts';

const PLAIN: Open = {
  asn: asn(64512),
  holdTimeSeconds: 90,
  routerId: routerIdFromIp(ip('10.0.0.1')),
  capabilities: NO_CAPABILITIES,
};
const with_ = (capabilities: Partial<Capabilities>): Open => ({
  ...PLAIN,
  capabilities: { ...NO_CAPABILITIES, ...capabilities },
});

const OPEN_HEX = `${MARKER} 003d 01 04 fc00 005a 0a000001 20
  02 1e 01 04 0001 00 01  01 04 0002 00 01  40 0a 8078 0001 01 80 0002 01 80  41 04 0000fc00`;
const OPEN = with_({
  families: [4, 6],
  fourOctetAsn: 64512,
  gracefulRestart: {
    restarting: true,
    notification: false,
    restartTimeSeconds: 120,
    families: [
      { family: 4, forwardingPreserved: true },
      { family: 6, forwardingPreserved: true },
    ],
  },
});

test('RFC 4271 section 4.2: OPEN is written and read as these bytes', () => {
  assert.equal(toHex(encodeOpen(OPEN)), toHex(hex(OPEN_HEX)));
  assert.deepEqual(decodeOpen(hex(OPEN_HEX).subarray(19)), OPEN);
});

test('RFC 6793 section 4.2.2: an AS number of 32 bits stands as AS_TRANS in the old field', () => {
  const big = { ...with_({ fourOctetAsn: 4200000000 }), asn: 4200000000 };
  const bytes = encodeOpen(big);
  assert.equal(toHex(bytes.subarray(20, 22)), '5ba0');
  assert.deepEqual(decodeOpen(bytes.subarray(19)), big);
});

/** The capabilities as bytes: code, length, value. */
const WIRE: [title: string, capabilities: Partial<Capabilities>, bytes: string, name: string][] = [
  ['RFC 4760 section 8', { families: [6] }, '01 04 0002 00 01', 'multiprotocol'],
  ['RFC 2918 section 2', { routeRefresh: true }, '02 00', 'route refresh'],
  ['RFC 8950 section 4', { ipv4OverIpv6: true }, '05 06 0001 0001 0002', 'extended next hop'],
  ['RFC 8654 section 3', { extendedMessages: true }, '06 00', 'extended messages'],
  ['RFC 9234 section 4.1', { role: 'provider' }, '09 01 00', 'role'],
  ['RFC 9234 section 4.1', { role: 'route-server' }, '09 01 01', 'role'],
  ['RFC 9234 section 4.1', { role: 'route-server-client' }, '09 01 02', 'role'],
  ['RFC 9234 section 4.1', { role: 'customer' }, '09 01 03', 'role'],
  ['RFC 9234 section 4.1', { role: 'peer' }, '09 01 04', 'role'],
  [
    'RFC 8538 section 2, the N bit',
    {
      gracefulRestart: {
        restarting: false,
        notification: true,
        restartTimeSeconds: 4095,
        families: [{ family: 6, forwardingPreserved: false }],
      },
    },
    '40 06 4fff 0002 01 00',
    'graceful restart',
  ],
  ['RFC 6793 section 3', { fourOctetAsn: 64512 }, '41 04 0000fc00', 'four-octet AS'],
  [
    'RFC 7911 section 4',
    {
      addPath: [
        { family: 4, send: true, receive: true },
        { family: 6, send: false, receive: true },
      ],
    },
    '45 08 0001 01 03 0002 01 01',
    'add-path',
  ],
  ['RFC 7911 section 4', { addPath: [{ family: 4, send: true, receive: false }] }, '45 04 0001 01 02', 'add-path'],
  ['RFC 7313 section 3.1', { enhancedRouteRefresh: true }, '46 00', 'enhanced route refresh'],
  [
    'RFC 9494 section 3.1',
    { longLived: [{ family: 4, forwardingPreserved: true, staleSeconds: 0x123456 }] },
    '47 07 0001 01 80 123456',
    'long-lived graceful restart',
  ],
  ['RFC 9494 section 3.1, a helper', { longLived: [] }, '47 00', 'long-lived graceful restart'],
];
for (const [title, capabilities, bytes, name] of WIRE) {
  test(`${title}: ${name} is written and read as ${bytes}`, () => {
    const written = encodeOpen(with_(capabilities));
    assert.equal(toHex(written.subarray(31)), toHex(hex(bytes)));
    assert.deepEqual(decodeOpen(written.subarray(19)), with_(capabilities));
    assert.deepEqual(capabilityNames(with_(capabilities).capabilities), [name]);
  });
}

/** The body of an OPEN of AS 64512, hold time 90, with these optional parameters. */
const openBody = (parameters: string, fixed = '04 fc00 005a 0a000001'): Uint8Array => hex(`${fixed} ${parameters}`);
/** One parameter with capabilities, whose lengths are counted here. */
const capable = (bytes: string): string => {
  const { length } = hex(bytes);
  return toHex(Uint8Array.of(length + 2, 2, length)) + bytes;
};

const READ: [title: string, parameters: string, expected: Partial<Capabilities>][] = [
  ['none at all', '00', {}],
  ['RFC 5492 section 4: two parameters', '0a 02 02 02 00  02 04 41 02 0000', { routeRefresh: true }],
  [
    'RFC 5492 section 4: many in one, unknown ignored',
    '10 02 0e c8 00 02 00 c7 00 01 04 0002 00 01 c8 00',
    { routeRefresh: true, families: [6], unknown: [199, 200] },
  ],
  ['RFC 2918: the old code', capable('80 00'), { routeRefresh: true }],
  ['RFC 4760 section 8: the same family twice', '0e 02 0c 01 04 0001 00 01 01 04 0001 00 01', { families: [4] }],
  ['RFC 4760 section 8: a foreign family', '08 02 06 01 04 0001 00 80', { families: [] }],
  ['RFC 9072 section 2: extended parameters', 'ff ff 0007 02 0004 02 00 c7 00', { routeRefresh: true, unknown: [199] }],
  ['RFC 9072 section 2: length 1 is enough', '01 ff 0007 02 0004 02 00 c7 00', { routeRefresh: true, unknown: [199] }],
  [
    'RFC 4724 section 3: no families',
    '06 02 04 40 02 0078',
    { gracefulRestart: { restarting: false, notification: false, restartTimeSeconds: 120, families: [] } },
  ],
  ['RFC 4724 section 3: malformed is as unsaid', '07 02 05 40 03 007800', {}],
  ['RFC 8950 section 4: other families', capable('05 06 0001 0004 0002'), {}],
  ['RFC 8950 section 4: among others', capable('05 0c 0001 0004 0002 0001 0001 0002'), { ipv4OverIpv6: true }],
  ['RFC 8950 section 4: malformed', capable('05 05 0001 0001 00'), {}],
  ['RFC 7911 section 4: another mode', capable('45 08 0001 01 01 0002 01 04'), {}],
  ['RFC 7911 section 4: mode 0', capable('45 04 0001 01 00'), {}],
  ['RFC 7911 section 4: malformed', capable('45 03 0001 01'), {}],
  ['RFC 7911 section 4: foreign families', capable('45 04 0019 46 03'), {}],
  ['RFC 9234 section 4.1: no such role', capable('09 01 05'), { role: 'contradictory' }],
  ['RFC 9234 section 4.2: the same twice', capable('09 01 03 09 01 03'), { role: 'customer' }],
  ['RFC 9234 section 4.2: two', capable('09 01 03 09 01 00 09 01 00'), { role: 'contradictory' }],
  ['RFC 9234 section 4.1: malformed', capable('09 02 0300'), {}],
  ['RFC 9494 section 3.1: malformed', capable('47 06 0001 01 80 1234'), {}],
  ['FQDN: host and domain', capable('49 06 02 6161 02 6262'), { hostName: 'aa.bb' }],
  ['FQDN: host alone', capable('49 04 02 610a 00'), { hostName: 'a ' }],
  ['FQDN: malformed', capable('49 02 09 61'), {}],
];
for (const [title, parameters, expected] of READ) {
  test(`capabilities, ${title}`, () => {
    const open = decodeOpen(openBody(parameters));
    assert.ok(!isBgpError(open), 'is an error');
    assert.deepEqual(open.capabilities, { ...NO_CAPABILITIES, ...expected });
  });
}

test('capabilities have names for people', () => {
  const odd = { ...NO_CAPABILITIES, families: [], hostName: 'host-a', role: 'contradictory', unknown: [199] } as const;
  assert.deepEqual(capabilityNames(odd), ['multiprotocol', 'role (contradictory)', 'FQDN (host-a)', 'unknown 199']);
});

const BAD: [title: string, body: Uint8Array, code: string, data: string][] = [
  ['RFC 4271 section 6.2: version 3', openBody('00', '03 fc00 005a 0a000001'), '2/1', '0004'],
  ['RFC 7607: AS 0', openBody('00', '04 0000 005a 0a000001'), '2/2', ''],
  ['RFC 6793: AS 0 in the capability', openBody('08 02 06 41 04 00000000'), '2/2', ''],
  ['RFC 6286: identifier 0', openBody('00', '04 fc00 005a 00000000'), '2/3', ''],
  ['RFC 4271 section 4.2: hold time 1', openBody('00', '04 fc00 0001 0a000001'), '2/6', ''],
  ['RFC 4271 section 4.2: hold time 2', openBody('00', '04 fc00 0002 0a000001'), '2/6', ''],
  ['RFC 4271 section 6.2: unknown parameter', openBody('02 01 00'), '2/4', ''],
  ['RFC 4271 section 6.2: parameters shorter than said', openBody('05 02 00'), '2/0', ''],
  ['RFC 5492: a capability that overruns', openBody('04 02 02 41 04'), '2/0', ''],
  ['RFC 9072: wrong extended length', openBody('ff ff 0009 02 0004 02 00 c7 00'), '2/0', ''],
];
for (const [title, body, code, data] of BAD) {
  test(`OPEN refused, ${title}`, () => {
    const error = decodeOpen(body);
    assert.ok(isBgpError(error), 'was taken');
    assert.equal(`${error.code}/${error.subcode}`, code);
    assert.equal(toHex(error.data), data);
  });
}

test('random and mutated bytes never make the decoder throw, and what it takes can be shown', () => {
  const random = seededRandom(7);
  const whole = encodeOpen(
    with_(Object.assign({}, OPEN.capabilities, ...WIRE.map(([, capabilities]) => capabilities))),
  );
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    const body = whole.slice(19, round % 3 === 0 ? 19 + Math.floor(random() * whole.length) : undefined);
    for (let count = Math.floor(random() * 4); count > 0; count--) {
      body[10 + Math.floor(random() * (body.length - 10))] = Math.floor(random() * 256);
    }
    const open = decodeOpen(body);
    if (isBgpError(open)) continue;
    taken += 1;
    assert.ok(capabilityNames(open.capabilities).every((name) => name !== ''));
    assert.ok(!isBgpError(decodeOpen(encodeOpen(open).subarray(19))));
  }
  assert.ok(taken > 1_000, `${taken} were taken`);
});
