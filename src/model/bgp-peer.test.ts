/** BGPPeer: which nodes, which other end, and what goes with what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderTable } from '../lib/table.ts';
import { ip } from '../net/ip.ts';
import { bgpPeerKind, parsePeerAddress } from './bgp-peer.ts';
import type { KindRow } from './kind-rows.suite.ts';
import { checkRows } from './kind-rows.suite.ts';
import type { Resource } from './resource.ts';
import { API_VERSION } from './resource.ts';

const PEER = { peerIP: '192.168.1.1', asNumber: 64567 };
const TAKEN = { ...PEER, sourceAddress: 'UseNodeIP' };

const SECRET = { secretKeyRef: { name: 'bgp-secrets', key: 'rack1' } };

/** Fields that are taken as they stand, on a peer that is otherwise right. */
const PLAIN: readonly object[] = [
  { node: 'rack1-host1' },
  { nodeSelector: "rack == 'rack-1'" },
  { localASNumber: 65001 },
  { numAllowedLocalASNumbers: 0 },
  { numAllowedLocalASNumbers: 2 },
  { sourceAddress: 'None' },
  { nextHopMode: 'Auto' },
  { nextHopMode: 'Self' },
  { nextHopMode: 'Keep', keepOriginalNextHop: false },
  { keepOriginalNextHop: true },
  { password: SECRET },
  { password: { secretKeyRef: { ...SECRET.secretKeyRef, optional: true } } },
  { maxRestartTime: '10s', keepaliveTime: '1m30s' },
  { ttlSecurity: 0 },
  { ttlSecurity: 255 },
  { reachableBy: '192.168.1.254' },
  { filters: ['first', 'second'] },
];

const ROWS: readonly KindRow[] = [
  ['a peer of all nodes', PEER, TAKEN],
  ...PLAIN.map((fields): KindRow => [JSON.stringify(fields), { ...PEER, ...fields }, { ...TAKEN, ...fields }]),
  ['a port', { ...PEER, peerIP: '192.168.1.1:1790' }, { ...TAKEN, peerIP: '192.168.1.1:1790' }],
  ['IPv6', { ...PEER, peerIP: 'FD00:0::1' }, { ...TAKEN, peerIP: 'fd00::1' }],
  ['IPv6 with a port', { ...PEER, peerIP: '[FD00:0::1]:179' }, { ...TAKEN, peerIP: '[fd00::1]:179' }],
  ['a dotted AS number', { ...PEER, asNumber: '1.10' }, { ...TAKEN, asNumber: 65546 }],
  [
    'a gateway of IPv6',
    { ...PEER, peerIP: '[fd00::1]:179', reachableBy: 'FD00::FF' },
    { ...TAKEN, peerIP: '[fd00::1]:179', reachableBy: 'fd00::ff' },
  ],
  [
    'route reflectors',
    { nodeSelector: 'all()', peerSelector: "route-reflector == 'true'" },
    { nodeSelector: 'all()', peerSelector: "route-reflector == 'true'", sourceAddress: 'UseNodeIP' },
  ],
  [
    'one side of reflectors',
    { peerSelector: 'has(rr)', reversePeering: 'Manual' },
    { peerSelector: 'has(rr)', reversePeering: 'Manual', sourceAddress: 'UseNodeIP' },
  ],
  [
    'workloads',
    { localWorkloadSelector: 'has(bgp)', asNumber: 65100 },
    { localWorkloadSelector: 'has(bgp)', asNumber: 65100, sourceAddress: 'UseNodeIP' },
  ],

  ['no spec', undefined, ['spec: is required']],
  ['no peer', {}, ['spec: names no peer; set one of peerIP, peerSelector, localWorkloadSelector']],
  ['no AS number', { peerIP: '192.168.1.1' }, ['spec.asNumber: is required with peerIP']],
  [
    'workloads without AS',
    { localWorkloadSelector: 'all()' },
    ['spec.asNumber: is required with localWorkloadSelector'],
  ],
  [
    'an AS number that the nodes have',
    { peerSelector: 'has(rr)', asNumber: 64512 },
    ['spec.asNumber: comes from the nodes that peerSelector chooses; remove it here'],
  ],
  ['AS 0', { ...PEER, asNumber: 0 }, ['spec.asNumber: 0 is not an AS number; write a number from 1 to 4294967295']],
  [
    'an AS number too large',
    { ...PEER, localASNumber: 4294967296 },
    ['spec.localASNumber: 4294967296 is not an AS number; write a number from 1 to 4294967295'],
  ],
  [
    'node and nodeSelector',
    { ...PEER, node: 'a', nodeSelector: 'all()' },
    ['spec.nodeSelector: excludes node "a"; remove one of the two'],
  ],
  [
    'peerIP and peerSelector',
    { ...PEER, peerSelector: 'all()' },
    ['spec.peerSelector: excludes peerIP; remove one of the two'],
  ],
  [
    'peerIP and workloads',
    { ...PEER, localWorkloadSelector: 'all()' },
    ['spec.localWorkloadSelector: excludes peerIP; remove one of the two'],
  ],
  [
    'peerSelector and workloads',
    { peerSelector: 'all()', localWorkloadSelector: 'all()' },
    ['spec.localWorkloadSelector: excludes peerSelector; remove one of the two'],
  ],
  [
    'both forms of the next hop',
    { ...PEER, nextHopMode: 'Self', keepOriginalNextHop: true },
    [
      'spec.keepOriginalNextHop: is the old form of nextHopMode; remove it, and set nextHopMode to Keep if that is meant',
    ],
  ],
  [
    'a next hop mode that is none',
    { ...PEER, nextHopMode: 'self' },
    ['spec.nextHopMode: "self" is not one of Auto, Self, Keep; did you mean Self?'],
  ],
  [
    'a source that is none',
    { ...PEER, sourceAddress: 'UseNodeIp' },
    ['spec.sourceAddress: "UseNodeIp" is not one of UseNodeIP, None; did you mean UseNodeIP?'],
  ],
  [
    'a gateway of the other family',
    { ...PEER, reachableBy: 'fd00::1' },
    ['spec.reachableBy: "fd00::1" is of another family than peerIP "192.168.1.1"'],
  ],
  [
    'a gateway to nobody',
    { peerSelector: 'all()', reachableBy: '10.0.0.1' },
    ['spec.reachableBy: is the way to peerIP; set that too'],
  ],
  ['a gateway that is none', { ...PEER, reachableBy: 'gw' }, ['spec.reachableBy: "gw" is not an IP address']],
  ...[
    '192.168.1',
    '192.168.1.1:',
    '192.168.1.1:0',
    '192.168.1.1:65536',
    'fd00::1:99999',
    '[192.168.1.1]:179',
    'tor',
    '',
  ].map(
    (peerIP): KindRow => [
      `peerIP ${peerIP}`,
      { ...PEER, peerIP },
      [`spec.peerIP: ${JSON.stringify(peerIP)} is not a peer; write 10.0.0.1, 10.0.0.1:179, fd00::1 or [fd00::1]:179`],
    ],
  ),
  [
    'a time without unit',
    { ...PEER, maxRestartTime: '10' },
    ['spec.maxRestartTime: "10" is not a length of time; write it with units: 120s, 1m30s'],
  ],
  [
    'a time as a number',
    { ...PEER, keepaliveTime: 10 },
    ["spec.keepaliveTime: must be text, not 10; put it in quotes: '10'"],
  ],
  ['more hops than a TTL has', { ...PEER, ttlSecurity: 256 }, ['spec.ttlSecurity: 256 is too big: at most 255']],
  ['negative hops', { ...PEER, ttlSecurity: -1 }, ['spec.ttlSecurity: -1 is too small: at least 0']],
  [
    'a negative count',
    { ...PEER, numAllowedLocalASNumbers: -1 },
    ['spec.numAllowedLocalASNumbers: -1 is too small: at least 0'],
  ],
  [
    'a password without key',
    { ...PEER, password: { secretKeyRef: { name: 'a' } } },
    ['spec.password.secretKeyRef.key: is required'],
  ],
  ['a password in the open', { ...PEER, password: 'x' }, ['spec.password: must be a mapping, not "x"']],
  [
    'a selector that is none',
    { ...PEER, nodeSelector: "rack = 'a'" },
    [
      `spec.nodeSelector: "rack = 'a'" is not a selector: at character 6: expected an operator after the label "rack": ==, !=, in, not in, contains, starts with or ends with; equality is written "=="`,
    ],
  ],
  [
    'a filter whose name is none',
    { ...PEER, filters: ['ok', 'Not-OK'] },
    [
      'spec.filters[1]: "Not-OK" is not a name: lower-case letters, digits, "-" and ".", with a letter or digit at each end; write not-ok',
    ],
  ],
  ['a misspelt field', { ...PEER, peerIp: '10.0.0.1' }, ['spec.peerIp: unknown field; did you mean peerIP?']],
  [
    'a direction that is none',
    { peerSelector: 'all()', reversePeering: 'Off' },
    ['spec.reversePeering: "Off" is not one of Auto, Manual'],
  ],
];

checkRows('BGPPeer', ROWS, 'peer');

test('the address of a peer is read with and without port', () => {
  assert.deepEqual(parsePeerAddress('10.0.0.1'), { address: ip('10.0.0.1') });
  assert.deepEqual(parsePeerAddress('10.0.0.1:1790'), { address: ip('10.0.0.1'), port: 1790 });
  assert.deepEqual(parsePeerAddress('fd00::179'), { address: ip('fd00::179') });
  assert.deepEqual(parsePeerAddress('[fd00::1]:179'), { address: ip('fd00::1'), port: 179 });
});

test('the table says who peers with whom', () => {
  const peers = [
    { ...PEER },
    { ...PEER, node: 'rack1-host1' },
    { ...PEER, nodeSelector: 'has(rack)' },
    { peerSelector: 'has(rr)' },
  ].map(
    (spec, index): Resource<string, object> => ({
      apiVersion: API_VERSION,
      kind: 'BGPPeer',
      metadata: { name: `p${index}` },
      spec,
    }),
  );
  const columns = bgpPeerKind.columns.filter(({ wide }) => wide !== true);
  assert.equal(
    renderTable(columns, peers),
    [
      'NAME   PEERIP        NODE          ASN',
      'p0     192.168.1.1   (global)      64567',
      'p1     192.168.1.1   rack1-host1   64567',
      'p2     192.168.1.1   has(rack)     64567',
      'p3     has(rr)       (global)',
      '',
    ].join('\n'),
  );
});
