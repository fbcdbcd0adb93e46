import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { asn } from '../../net/asn.ts';
import { ip } from '../../net/ip.ts';
import type { PeerConfig, Role } from '../peer-config.ts';
import type { Capabilities } from '../wire/capabilities.ts';
import { isBgpError } from '../wire/errors.ts';
import { AS_TRANS, type Open } from '../wire/open.ts';
import { negotiate } from './negotiate.ts';
import type { Negotiated } from './negotiated.ts';
import { ownOpenFor } from './own-open.ts';
import { HIGH, LOW, OURS, openFrom, peerConfig, restart, SPEAKER } from './session-rig.suite.ts';

const BOTH = { restarting: false, forwardingKept: [4, 6] } as const;

function outcome(config: PeerConfig, theirs: Open): ReturnType<typeof negotiate> {
  return negotiate(ownOpenFor(config, SPEAKER, BOTH), theirs, config, ip(OURS));
}

const EBGP = { asn: asn(65001) };
const fromEbgp = (more: Partial<Capabilities> = {}, id = HIGH): Open => openFrom(id, more, 65001);
const addPath = (send: boolean, receive: boolean): Partial<Capabilities> => ({
  addPath: [{ family: 4, send, receive }],
});
const sendAndReceive = { addPath: { sendMax: 4, receive: true } };
const N = { gracefulRestart: restart({ notification: true }) };
const KEEP = { longLivedStaleSeconds: 3600 };
const LONG = { longLived: [{ family: 4, forwardingPreserved: true, staleSeconds: 600 }] as const };
const LONGER = { longLived: [{ family: 4, forwardingPreserved: true, staleSeconds: 7200 }] as const };
const NO_TIME = { longLived: [{ family: 4, forwardingPreserved: true, staleSeconds: 0 }] as const };

const AGREED: [title: string, config: Partial<PeerConfig>, theirs: Open, expected: Partial<Negotiated>][] = [
  ['RFC 4271 section 4.2: the smaller hold time, theirs', {}, openFrom(LOW, {}, 64512, 30), { holdTimeSeconds: 30 }],
  ['RFC 4271 section 4.2: the smaller hold time, ours', { holdTimeSeconds: 9 }, openFrom(LOW), { holdTimeSeconds: 9 }],
  ['RFC 4271 section 4.2: 0 of either is none', { holdTimeSeconds: 0 }, openFrom(LOW), { holdTimeSeconds: 0 }],
  ['RFC 4760 section 8: both families', {}, openFrom(LOW), { families: [4, 6] }],
  ['RFC 4760 section 8: only theirs', {}, openFrom(LOW, { families: [6] }), { families: [6] }],
  ['RFC 4760 section 8: only ours', { families: [4] }, openFrom(LOW), { families: [4] }],
  ['RFC 4760 section 8: without the capability IPv4', {}, openFrom(LOW, { families: undefined }), { families: [4] }],
  ['RFC 6793 section 4.1: both know four octets', {}, openFrom(LOW), { asnBytes: 4 }],
  ['RFC 6793 section 4.1: the peer knows two', {}, openFrom(LOW, { fourOctetAsn: undefined }), { asnBytes: 2 }],
  ['RFC 6286 section 2.2: our identifier in another AS is fine', EBGP, fromEbgp({}, OURS), { families: [4, 6] }],
  ['RFC 8654 section 4: both', {}, openFrom(LOW, { extendedMessages: true }), { messageBytesMax: 65535 }],
  ['RFC 8654 section 4: the peer does not', {}, openFrom(LOW), { messageBytesMax: 4096 }],
  [
    'RFC 8654 section 4: we do not',
    { extendedMessages: false },
    openFrom(LOW, { extendedMessages: true }),
    { messageBytesMax: 4096 },
  ],
  ['RFC 2918: the peer does not', {}, openFrom(LOW, { routeRefresh: false }), { routeRefresh: false }],
  ['RFC 7313: both', {}, openFrom(LOW, { enhancedRouteRefresh: true }), { enhancedRouteRefresh: true }],
  [
    'RFC 7911: both ways',
    sendAndReceive,
    openFrom(LOW, addPath(true, true)),
    { addPathSend: [4], addPathReceive: [4] },
  ],
  ['RFC 7911: it sends', sendAndReceive, openFrom(LOW, addPath(true, false)), { addPathSend: [], addPathReceive: [4] }],
  ['RFC 7911: it takes', sendAndReceive, openFrom(LOW, addPath(false, true)), { addPathSend: [4], addPathReceive: [] }],
  ['RFC 7911: not ours', {}, openFrom(LOW, addPath(true, true)), { addPathSend: [], addPathReceive: [] }],
  [
    'RFC 7911: not in a family that is not spoken',
    { ...sendAndReceive, families: [6] },
    openFrom(LOW, addPath(true, true)),
    { addPathSend: [], addPathReceive: [] },
  ],
  ['RFC 8950: over IPv6', { address: ip('fe80::1') }, openFrom(LOW, { ipv4OverIpv6: true }), { ipv4OverIpv6: true }],
  [
    'RFC 8950: not without IPv4',
    { address: ip('fe80::1') },
    openFrom(LOW, { ipv4OverIpv6: true, families: [6] }),
    { ipv4OverIpv6: false },
  ],
  ['RFC 8950: not offered over IPv4', {}, openFrom(LOW, { ipv4OverIpv6: true }), { ipv4OverIpv6: false }],
  ['RFC 8538 section 2: both N bits', {}, openFrom(LOW, N), { restartsAfterNotification: true }],
  [
    'RFC 8538 section 2: one N bit',
    {},
    openFrom(LOW, { gracefulRestart: restart() }),
    { restartsAfterNotification: false },
  ],
  ['RFC 8538 section 2: not ours', { gracefulRestart: 'off' }, openFrom(LOW, N), { restartsAfterNotification: false }],
  ['RFC 9494: as long as the peer asks', KEEP, openFrom(LOW, { ...N, ...LONG }), { longLivedStaleSeconds: { 4: 600 } }],
  ['RFC 9494: not longer than ours', KEEP, openFrom(LOW, { ...N, ...LONGER }), { longLivedStaleSeconds: { 4: 3600 } }],
  [
    'RFC 9494: not in a family that is not spoken',
    { ...KEEP, families: [6] },
    openFrom(LOW, { ...N, ...LONG }),
    { longLivedStaleSeconds: {} },
  ],
  ['RFC 9494: not for no time', KEEP, openFrom(LOW, { ...N, ...NO_TIME }), { longLivedStaleSeconds: {} }],
  ['RFC 9494: not without graceful restart', KEEP, openFrom(LOW, LONG), { longLivedStaleSeconds: {} }],
  ['RFC 9494: not where we do not', {}, openFrom(LOW, { ...N, ...LONG }), { longLivedStaleSeconds: {} }],
  ['RFC 9234 section 4.2: the peer says none', { ...EBGP, role: 'provider' }, fromEbgp(), { role: 'provider' }],
  ['RFC 9234 section 4.2: we say none', EBGP, fromEbgp({ role: 'peer' }), { role: undefined }],
  [
    'RFC 9234 section 4: no roles inside an AS',
    { role: 'peer' },
    openFrom(LOW, { role: 'customer' }),
    { role: undefined },
  ],
  ['the local AS is what the peer is shown', { localAsn: asn(65009), ...EBGP }, fromEbgp(), { families: [4, 6] }],
];
for (const [title, config, theirs, expected] of AGREED) {
  test(`agreed, ${title}`, () => {
    const negotiated = outcome(peerConfig(config), theirs);
    assert.ok(!isBgpError(negotiated), 'refused');
    const fields = Object.keys(expected) as (keyof Negotiated)[];
    assert.deepEqual(Object.fromEntries(fields.map((field) => [field, negotiated[field]])), expected);
  });
}

const ROLES: readonly Role[] = ['provider', 'customer', 'peer', 'route-server', 'route-server-client'];
const PAIRS = ['provider customer', 'customer provider', 'peer peer', 'route-server route-server-client'];
test('RFC 9234 section 4.2: of all pairs of roles only those of table 2 are agreed on', () => {
  const agreed: string[] = [];
  for (const role of ROLES) {
    for (const theirs of ROLES) {
      const negotiated = outcome(peerConfig({ ...EBGP, role }), fromEbgp({ role: theirs }));
      if (!isBgpError(negotiated)) agreed.push(`${role} ${theirs}`);
      else assert.equal(`${negotiated.code}/${negotiated.subcode}`, '2/11');
    }
  }
  assert.deepEqual(agreed.sort(), [...PAIRS, 'route-server-client route-server'].sort());
});

const twoOctets = { ...openFrom(HIGH, { fourOctetAsn: undefined }), asn: AS_TRANS };
const REFUSED: [title: string, config: Partial<PeerConfig>, theirs: Open, code: string, data: string][] = [
  ['RFC 4271 section 6.2: another AS', EBGP, openFrom(LOW), '2/2', ''],
  ['RFC 6793 section 4.2.3: AS_TRANS stands for no AS', { asn: asn(70000) }, twoOctets, '2/2', ''],
  ['RFC 6286 section 2.2: our identifier in our AS', {}, openFrom(OURS), '2/3', ''],
  ['RFC 5492 section 5: no common family', { families: [6] }, openFrom(LOW, { families: [4] }), '2/7', '010400020001'],
  ['RFC 5492 section 5: foreign families only', {}, openFrom(LOW, { families: [] }), '2/7', '010400010001010400020001'],
  ['RFC 9234 section 4.2: strict', { ...EBGP, role: 'provider', strictRole: true }, fromEbgp(), '2/11', ''],
  ['RFC 9234 section 4.2: contradictory', { ...EBGP, role: 'peer' }, fromEbgp({ role: 'contradictory' }), '2/11', ''],
];
for (const [title, config, theirs, code, data] of REFUSED) {
  test(`refused, ${title}`, () => {
    const error = outcome(peerConfig(config), theirs);
    assert.ok(isBgpError(error), 'agreed');
    assert.equal(`${error.code}/${error.subcode}`, code);
    assert.equal(toHex(error.data), data);
  });
}
