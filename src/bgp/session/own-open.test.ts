import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../../net/asn.ts';
import { ip } from '../../net/ip.ts';
import type { PeerConfig } from '../peer-config.ts';
import { type Capabilities, NO_CAPABILITIES } from '../wire/capabilities.ts';
import { isBgpError } from '../wire/errors.ts';
import { decodeOpen, encodeOpen, type Open } from '../wire/open.ts';
import { type OwnRestart, ownOpenFor, reticentOpen } from './own-open.ts';
import { peerConfig, SPEAKER } from './session-rig.suite.ts';

const NONE_KEPT: OwnRestart = { restarting: true, forwardingKept: [] };
const KEPT: OwnRestart = { restarting: false, forwardingKept: [4] };
const families = (first: boolean, second: boolean): object[] => [
  { family: 4, forwardingPreserved: first },
  { family: 6, forwardingPreserved: second },
];
const full = { restarting: false, notification: true, restartTimeSeconds: 120 };

const CAPABILITY_ROWS: [title: string, config: Partial<PeerConfig>, own: OwnRestart, expected: object][] = [
  ['what is always offered', {}, KEPT, { routeRefresh: true, enhancedRouteRefresh: true, fourOctetAsn: 64512 }],
  ['RFC 4760: families as configured', { families: [6] }, KEPT, { families: [6] }],
  ['RFC 8654: as configured', { extendedMessages: false }, KEPT, { extendedMessages: false }],
  ['RFC 8950: not over IPv4', {}, KEPT, { ipv4OverIpv6: false }],
  ['RFC 8950: over IPv6', { address: ip('fd00::2') }, KEPT, { ipv4OverIpv6: true }],
  ['RFC 8950: not without IPv4', { address: ip('fd00::2'), families: [6] }, KEPT, { ipv4OverIpv6: false }],
  ['RFC 4724 section 3: F bits', {}, KEPT, { gracefulRestart: { ...full, families: families(true, false) } }],
  [
    'RFC 4724 section 3: R bit, and the restart time of the peer',
    { restartTimeSeconds: 9999 },
    NONE_KEPT,
    { gracefulRestart: { ...full, restarting: true, restartTimeSeconds: 4095, families: families(false, false) } },
  ],
  [
    'RFC 4724 section 3: a helper names no family',
    { gracefulRestart: 'helper', longLivedStaleSeconds: 60 },
    KEPT,
    { gracefulRestart: { ...full, restartTimeSeconds: 0, families: [] }, longLived: [] },
  ],
  [
    'RFC 4724 section 3: off, and RFC 9494 section 3.1: not without it',
    { gracefulRestart: 'off', longLivedStaleSeconds: 60 },
    KEPT,
    { gracefulRestart: undefined, longLived: undefined },
  ],
  [
    'RFC 9494 section 3.1: 24 bits',
    { families: [4], longLivedStaleSeconds: 2 ** 30 },
    KEPT,
    { longLived: [{ family: 4, forwardingPreserved: true, staleSeconds: 0xffffff }] },
  ],
  [
    'RFC 7911: send and receive',
    { families: [4], addPath: { sendMax: 2, receive: true } },
    KEPT,
    { addPath: [{ family: 4, send: true, receive: true }] },
  ],
  ['RFC 9234 section 4: not inside an AS', { role: 'peer' }, KEPT, { role: undefined }],
  ['RFC 9234 section 4: to another AS', { role: 'peer', asn: asn(65000) }, KEPT, { role: 'peer' }],
  ['the local AS in place of ours', { localAsn: asn(70000) }, KEPT, { fourOctetAsn: 70000 }],
];
for (const [title, config, own, expected] of CAPABILITY_ROWS) {
  test(`our OPEN, ${title}`, () => {
    const open = ownOpenFor(peerConfig(config), SPEAKER, own);
    const fields = Object.keys(expected) as (keyof Capabilities)[];
    assert.deepEqual(Object.fromEntries(fields.map((field) => [field, open.capabilities[field]])), expected);
    assert.equal(open.asn, open.capabilities.fourOctetAsn);
    const read = decodeOpen(encodeOpen(open).subarray(19)) as Open;
    assert.ok(!isBgpError(read));
    assert.deepEqual(read.capabilities.gracefulRestart, open.capabilities.gracefulRestart);
  });
}

test('RFC 4271 section 4.2: the hold time is the peer’s, else the speaker’s', () => {
  assert.equal(ownOpenFor(peerConfig(), SPEAKER, KEPT).holdTimeSeconds, 90);
  assert.equal(ownOpenFor(peerConfig({ holdTimeSeconds: 0 }), SPEAKER, KEPT).holdTimeSeconds, 0);
});

test('RFC 5492 section 3: an OPEN for a peer that has refused the full one', () => {
  const open = ownOpenFor(peerConfig(), SPEAKER, KEPT);
  assert.equal(reticentOpen(open, 'all'), open);
  assert.deepEqual(reticentOpen(open, 'none').capabilities, NO_CAPABILITIES);
  assert.deepEqual(reticentOpen(open, 'needed').capabilities, {
    ...NO_CAPABILITIES,
    families: [4, 6],
    fourOctetAsn: 64512,
  });
});
