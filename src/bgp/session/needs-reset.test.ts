import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../../net/asn.ts';
import { ip } from '../../net/ip.ts';
import type { PeerConfig } from '../peer-config.ts';
import { ACCEPT_ALL } from '../policy/policy-rules.ts';
import { needsReset } from './needs-reset.ts';
import { peerConfig } from './session-rig.suite.ts';

const RESETTING: Partial<PeerConfig> = {
  address: ip('10.0.0.9'),
  device: 'eth9',
  port: 1179,
  asn: asn(65009),
  localAsn: asn(65008),
  families: [6],
  sourceAddress: ip('10.0.0.8'),
  password: 'secret',
  ttlSecurityHops: 1,
  holdTimeSeconds: 9,
  gracefulRestart: 'off',
  restartTimeSeconds: 7,
  longLivedStaleSeconds: 60,
  addPath: { sendMax: 2, receive: false },
  extendedMessages: false,
  role: 'peer',
  strictRole: true,
};
const SOFT: Partial<PeerConfig> = {
  description: 'other',
  passive: false,
  keepaliveSeconds: 5,
  connectRetrySeconds: 60,
  delayOpenSeconds: 3,
  shutdown: 'for now',
  bfd: { intervalMs: 300, multiplier: 3, multihop: false },
  reflectorClient: true,
  routeServerClient: true,
  nextHop: 'self',
  localNextHop: true,
  allowedOwnAsns: 1,
  asOverride: true,
  enforceFirstAs: false,
  importPolicy: ACCEPT_ALL,
  exportPolicy: ACCEPT_ALL,
  prefixesMax: 5,
};

test('each field of a configuration either resets the session or does not', () => {
  const known = Object.keys({ ...RESETTING, ...SOFT }).sort();
  assert.deepEqual(known, Object.keys(peerConfig()).sort());
  for (const [field, value] of Object.entries(RESETTING)) {
    assert.equal(needsReset(peerConfig(), peerConfig({ [field]: value })), field);
  }
  for (const [field, value] of Object.entries(SOFT)) {
    assert.equal(needsReset(peerConfig(), peerConfig({ [field]: value })), undefined, field);
  }
});

test('equal values in other words do not reset a session', () => {
  const before = peerConfig({ addPath: { sendMax: 2, receive: true }, sourceAddress: ip('10.0.0.8') });
  const after = peerConfig({
    address: ip('10.0.0.2'),
    families: [6, 4],
    addPath: { sendMax: 8, receive: true },
    sourceAddress: ip('10.0.0.8'),
  });
  assert.equal(needsReset(before, after), undefined);
  assert.equal(needsReset(before, peerConfig({ families: [4], port: 1 })), 'port, sourceAddress, families, addPath');
});
