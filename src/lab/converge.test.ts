import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerView } from '../bgp/observe/views.ts';
import { isOutOfReach, missingFromSessions, missingFromSync } from './converge.ts';

function peer(state: PeerView['state'], lastError = ''): PeerView {
  return {
    address: '10.0.0.2',
    asn: 64512,
    description: 'mesh, Node b',
    type: 'internal',
    state,
    forMs: 0,
    lastError,
    prefixesReceived: 0,
    prefixesAccepted: 0,
    prefixesSent: 0,
    holdTimeSeconds: undefined,
    routerId: undefined,
    stale: false,
  };
}

test('an agent is there when it is in sync, and tells why when it is not', () => {
  assert.deepEqual(missingFromSync({ ready: true, reasons: [] }), []);
  assert.deepEqual(missingFromSync({ ready: false, reasons: [] }), ['not in sync']);
  assert.deepEqual(missingFromSync({ ready: false, reasons: ['the store has not been read'] }), [
    'the store has not been read',
  ]);
});

test('sessions are there when BGP runs and each peer is established', () => {
  const missing = (...peers: PeerView[]) => missingFromSessions({ problem: '', peers });
  assert.deepEqual(missing(peer('Established')), []);
  assert.deepEqual(missing(peer('Established'), peer('Active', 'connection refused')), [
    'BGP with 10.0.0.2 (mesh, Node b) is Active: connection refused',
  ]);
  assert.deepEqual(missingFromSessions({ problem: 'the port is taken', peers: [] }), [
    'BGP does not run: the port is taken',
  ]);
});

test('a gateway in none of the subnets is told from other reasons', () => {
  const rows: readonly [reason: string, expected: boolean][] = [
    ['route 172.17.3.0/24: no device that is up has 10.0.2.3 in its subnet', true],
    ['route fd00::/120: no device that is up has fd01::1 in its subnet', true],
    ['route 172.17.3.0/24: EPERM', false],
    ['the store has not been read yet', false],
  ];
  for (const [reason, expected] of rows) assert.equal(isOutOfReach(reason), expected, reason);
});
