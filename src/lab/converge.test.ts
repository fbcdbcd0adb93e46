import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerView } from '../bgp/observe/views.ts';
import type { AgentStatus } from '../node/control-api.ts';
import { missingFromStatus } from './converge.ts';

const IN_SYNC: AgentStatus = {
  node: 'host-a',
  version: '0',
  pid: 1,
  startedAt: '',
  store: '',
  felix: {
    inSync: true,
    reasons: [],
    endpoints: 0,
    routes: 0,
    unsettled: [],
    tunnels: [],
    withoutDevice: [],
    filter: { title: 'nftables', why: '' },
  },
  warnings: [],
  bgp: { problem: '', problems: [], asn: 64512, routerId: '1.1.1.1', peers: [], announced: 0, learned: 0 },
};

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
  const felix = (more: Partial<AgentStatus['felix']>) =>
    missingFromStatus({ ...IN_SYNC, felix: { ...IN_SYNC.felix, inSync: false, ...more } }, 'inSync');
  assert.deepEqual(missingFromStatus(IN_SYNC, 'inSync'), []);
  assert.deepEqual(felix({}), ['not in sync']);
  assert.deepEqual(felix({ reasons: ['the store has not been read'] }), ['the store has not been read']);
});

test('sessions are there when each peer is established, and are no question of being in sync', () => {
  const status = (peers: PeerView[]) => ({ ...IN_SYNC, bgp: { ...IN_SYNC.bgp, peers } });
  assert.deepEqual(missingFromStatus(status([peer('Established')]), 'sessions'), []);
  assert.deepEqual(missingFromStatus(status([peer('Active', 'connection refused')]), 'sessions'), [
    'BGP with 10.0.0.2 (mesh, Node b) is Active: connection refused',
  ]);
  assert.deepEqual(missingFromStatus(status([peer('Idle')]), 'inSync'), []);
  const silent = { ...IN_SYNC, bgp: { ...IN_SYNC.bgp, problem: 'the port is taken' } };
  assert.deepEqual(missingFromStatus(silent, 'sessions'), ['BGP does not run: the port is taken']);
});
