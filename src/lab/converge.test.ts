import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerView } from '../bgp/observe/views.ts';
import { missingFromSessions, missingFromSync } from './converge.ts';

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
