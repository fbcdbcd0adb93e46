import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerName } from '../bgp/contract.ts';
import type { PeerConfig } from '../bgp/peer-config.ts';
import { formatCidr } from '../net/cidr.ts';
import { formatIp } from '../net/ip.ts';
import { fieldName, PEER_SETTINGS } from './bgp/peer-settings.ts';
import type { StandaloneConfiguration } from './standalone-configuration.ts';
import { parseStandalone } from './standalone-configuration.ts';

const SELF = 'asNumber: 65000\nrouterId: 10.0.0.1\n';
const secretOf = (path: string) =>
  path === 'tor.key' ? { secret: 'geheim' } : { problem: `there is no file ${path}` };

function parse(text: string) {
  return parseStandalone(text, 'x.yaml', secretOf);
}

function right(text: string): StandaloneConfiguration {
  const parsed = parse(SELF + text);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.configuration;
}

describe('the file of a speaker alone', () => {
  it('needs only who we are', () => {
    const { speaker, listen, kernel, originations } = right('');
    assert.deepEqual([speaker.asn, speaker.peers, speaker.installs, originations], [65000, [], false, []]);
    assert.deepEqual(listen, { addresses: [], port: 179 });
    assert.deepEqual(kernel, { install: false, table: 254, metric: 179, keepOnExit: false });
  });

  it('says where to listen and whom to announce as next hop', () => {
    const { listen, speaker } = right('listen: [{address: 10.0.0.1, port: 1790}, {address: "fd00::1", port: 1790}]\n');
    assert.deepEqual([listen.addresses.map(formatIp), listen.port], [['10.0.0.1', 'fd00::1'], 1790]);
    assert.deepEqual(
      [speaker.nextHops[4], speaker.nextHops[6]].map((each) => each && formatIp(each)),
      ['10.0.0.1', 'fd00::1'],
    );
    assert.deepEqual(right('listen: [{address: 127.0.0.1}, {address: "::1"}]').speaker.nextHops, {});
    assert.deepEqual(right('listen: [{port: 1790}]').listen, { addresses: [], port: 1790 });
  });

  it('announces prefixes with communities', () => {
    const { originations, speaker } = right(`nextHops: {ipv4: 10.0.0.1}
announce: [10.1.0.0/16, {prefix: 10.2.0.0/16, communities: ["65000:1", "65000:1:2"], localPreference: 200}]
aggregates: [10.0.0.0/8, {prefix: 10.128.0.0/9, summaryOnly: true}]
`);
    assert.deepEqual(
      originations.map(({ prefix, communities, largeCommunities, localPreference }) => {
        return [formatCidr(prefix), communities, largeCommunities, localPreference];
      }),
      [
        ['10.1.0.0/16', [], [], undefined],
        ['10.2.0.0/16', [65000 * 0x10000 + 1], [[65000, 1, 2]], 200],
      ],
    );
    assert.deepEqual(
      speaker.aggregates.map(({ summaryOnly }) => summaryOnly),
      [false, true],
    );
  });

  it('has ranges and unnumbered neighbours', () => {
    const { speaker, unnumbered } =
      right(`ranges: [{prefix: 10.0.0.0/24, asNumber: 65000, reflectorClient: true, peersMax: 7}]
neighbors: [{interface: eth1, asNumber: 65001, import: all}, {interface: eth2}]
`);
    const [range] = speaker.listenRanges;
    assert.deepEqual([range?.peersMax, range?.peer.reflectorClient, range?.peer.passive], [7, true, true]);
    assert.deepEqual(
      unnumbered.map(({ device, asn, peer }) => [device, asn, peer.device]),
      [
        ['eth1', 65001, 'eth1'],
        ['eth2', undefined, 'eth2'],
      ],
    );
    assert.deepEqual(speaker.peers, []);
  });

  it('gives equal values for equal files, so that reading it again touches nothing', () => {
    const text =
      'filters: {f: {importV4: [{action: Reject}]}}\nneighbors: [{address: 10.0.0.2, asNumber: 65000, filters: [f]}]\n';
    assert.deepEqual(right(text), right(text));
  });
});

describe('a neighbour', () => {
  const neighbor = (fields: string): PeerConfig => {
    const text = `filters: {f: {importV4: [{action: Reject}]}}\nneighbors: [{address: 10.0.0.2, ${fields}}]\n`;
    const [first] = right(text).speaker.peers;
    assert.ok(first);
    return first;
  };
  const policies: [string, 'accept' | 'reject' | undefined, 'accept' | 'reject' | undefined][] = [
    ['asNumber: 65000', undefined, undefined],
    ['asNumber: 65001', undefined, undefined],
    ['asNumber: 65001, import: all', 'accept', undefined],
    ['asNumber: 65001, import: all, export: none', 'accept', 'reject'],
    ['asNumber: 65001, filters: [f]', 'reject', 'reject'],
    ['asNumber: 65001, filters: [f], export: all', 'reject', 'accept'],
    ['asNumber: 65000, filters: [f]', 'accept', 'accept'],
    ['asNumber: 65001, localAsNumber: 65001, filters: [f]', 'accept', 'accept'],
  ];
  for (const [fields, imports, exports] of policies) {
    it(`with ${fields} takes in ${imports ?? 'by RFC 8212'}, sends ${exports ?? 'by RFC 8212'}`, () => {
      const { importPolicy, exportPolicy } = neighbor(fields);
      assert.deepEqual([importPolicy?.otherwise, exportPolicy?.otherwise], [imports, exports]);
      if (fields.includes('filters')) assert.equal(importPolicy?.rules.length, 1);
      assert.equal(exportPolicy?.rules.length ?? 0, 0);
    });
  }

  const rows: [string, Partial<Record<keyof PeerConfig, unknown>>][] = [
    ['families: [ipv6]', { families: [6] }],
    ['families: ipv4', { families: [4] }],
    ['passive: true', { passive: true }],
    ['holdTime: 30s', { holdTimeSeconds: 30 }],
    ['holdTime: 0', { holdTimeSeconds: 0 }],
    ['keepaliveTime: 1m', { keepaliveSeconds: 60 }],
    ['connectRetry: 2s', { connectRetrySeconds: 2 }],
    ['delayOpen: 3s', { delayOpenSeconds: 3 }],
    ['shutdown: moving', { shutdown: 'moving' }],
    ['bfd: 300ms*3', { bfd: { intervalMs: 300, multiplier: 3, multihop: false } }],
    ['bfd: off', { bfd: undefined }],
    ['gracefulRestart: helper', { gracefulRestart: 'helper' }],
    ['restartTime: 4m', { restartTimeSeconds: 240 }],
    ['longLivedStaleTime: 24h', { longLivedStaleSeconds: 86400 }],
    ['addPathSend: 4, addPathReceive: true', { addPath: { sendMax: 4, receive: true } }],
    ['extendedMessages: false', { extendedMessages: false }],
    ['role: peer, strictRole: true', { role: 'peer', strictRole: true }],
    ['reflectorClient: true', { reflectorClient: true }],
    ['nextHop: self', { nextHop: 'self' }],
    ['allowedOwnAsNumbers: 2', { allowedOwnAsns: 2 }],
    ['asOverride: true', { asOverride: true }],
    ['enforceFirstAs: false', { enforceFirstAs: false }],
    ['ttlSecurityHops: 1', { ttlSecurityHops: 1 }],
    ['prefixesMax: 100', { prefixesMax: 100 }],
    ['password: geheim', { password: 'geheim' }],
    ['passwordFile: tor.key', { password: 'geheim' }],
    ['description: uplink', { description: 'uplink' }],
    ['port: 1790', { port: 1790 }],
  ];
  for (const [fields, expected] of rows) {
    it(`may have ${fields}`, () => {
      const found = neighbor(`asNumber: 65000, ${fields}`);
      for (const [field, value] of Object.entries(expected)) assert.deepEqual(found[field as keyof PeerConfig], value);
    });
  }

  it('has a row above for each setting that there is', () => {
    const tried = rows.map(([fields]) => fields).join();
    const others = ['routeServerClient', 'interface']; // below: they do not go with this address and AS
    const missing = Object.keys(PEER_SETTINGS)
      .map(fieldName)
      .filter((field) => !tried.includes(`${field}:`));
    assert.deepEqual(missing.toSorted(), others.toSorted());
    assert.equal(
      right('neighbors: [{address: 10.0.0.2, asNumber: 65001, routeServerClient: true}]').speaker.peers[0]
        ?.routeServerClient,
      true,
    );
    assert.equal(
      peerName(
        right('neighbors: [{address: "fe80::2", interface: eth1, asNumber: 65001}]').speaker.peers[0] as PeerConfig,
      ),
      'fe80::2%eth1',
    );
  });
});

describe('a mistake is told with its line and what would be right', () => {
  const rows: [string, RegExp][] = [
    ['', /^x\.yaml:1:1: is empty; asNumber and routerId are needed$/],
    ['routerId: 10.0.0.1\n', /^x\.yaml:1:1: asNumber: must be an AS number: 64512/],
    [`${SELF}asNumer: 1\n`, /^x\.yaml:3:1: asNumer: unknown field; did you mean asNumber\?$/],
    ['asNumber: [', /^x\.yaml:1:\d+: /],
    [
      `${SELF}neighbors: [{asNumber: 65001}]\n`,
      /^x\.yaml:3:\d+: neighbors\[0\]: names no peer; set address, or interface/,
    ],
    [`${SELF}neighbors: [{address: 10.0.0.2}]\n`, /neighbors\[0\]\.asNumber: is required with address/],
    [
      `${SELF}neighbors:\n  - {address: 10.0.0.2, asNumber: 1}\n  - {address: 10.0.0.2, asNumber: 1}\n`,
      /^x\.yaml:5:15: .*10\.0\.0\.2 is already neighbors\[0\]/,
    ],
    [`${SELF}neighbors: [{address: "fe80::1", asNumber: 1}]\n`, /address: is link-local: say on which interface/],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, interface: eth0, asNumber: 1}]\n`,
      /interface: is only for link-local addresses; remove it/,
    ],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, filters: [x]}]\n`,
      /^x\.yaml:3:\d+: neighbors\[0\]\.filters\[0\]: there is no filter "x"; filters has none$/,
    ],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, holdTime: 2s}]\n`,
      /holdTime: must be 0 \(never\) or at least 3s/,
    ],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, bfd: fast}]\n`,
      /bfd: "fast" is not a rate of BFD; write 300ms\*3/,
    ],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, role: costumer}]\n`,
      /role: "costumer" is not one of .*did you mean customer\?/,
    ],
    [`${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, passwordFile: y}]\n`, /passwordFile: there is no file y/],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, passwordFile: tor.key, password: x}]\n`,
      /passwordFile: excludes password/,
    ],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, reflectorClient: true}]\n`,
      /reflectorClient: is for peers of our own AS/,
    ],
    [
      `${SELF}neighbors: [{address: 10.0.0.2, asNumber: 65000, routeServerClient: true}]\n`,
      /routeServerClient: is for peers of other ASes/,
    ],
    [
      `${SELF}filters: {f: {importV4: [{cidr: 10.0.0.0/8, action: Accept}]}}\n`,
      /filters\.f\.importV4\[0\]\.matchOperator: is required with cidr/,
    ],
    [`${SELF}announce: [10.1.0.0/16]\n`, /announce\[0\]: 10\.1\.0\.0\/16 has no next hop; set nextHops\.ipv4/],
    [`${SELF}announce: [10.1.0.1/16]\n`, /host bits set; write 10\.1\.0\.0\/16/],
    [`${SELF}listen: [{port: 179}, {port: 180}]\n`, /listen\[1\]\.port: all must be the first one's, 179/],
    [`${SELF}holdTime: 1s\n`, /^x\.yaml:3:11: holdTime: "1s" is not a time in whole seconds: 0s, or 3s to 65535s$/],
    [`${SELF}---\na: 1\n`, /holds several documents/],
  ];
  for (const [text, says] of rows) {
    it(JSON.stringify(text.replace(SELF, '')), () => {
      const parsed = parse(text);
      assert.ok(!parsed.ok);
      assert.match(parsed.problems.join('\n'), says);
    });
  }

  it('never quotes a password', () => {
    const parsed = parse(`${SELF}neighbors: [{address: 10.0.0.2, asNumber: 1, password: "${'geheim'.repeat(20)}"}]\n`);
    assert.ok(!parsed.ok);
    assert.match(parsed.problems.join(), /password: has more than 80 bytes/);
    assert.doesNotMatch(parsed.problems.join(), /geheim/);
  });
});
