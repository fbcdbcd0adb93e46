/**
 * Two and more speakers on a virtual wire: sessions come up, routes travel, failures are noticed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../net/asn.ts';
import { formatIp, ip } from '../net/ip.ts';
import type { SpeakerOutput } from './contract.ts';
import { config, everyRoute, type Host, peer, VirtualNet } from './virtual-net.suite.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const C = '10.0.0.3';

const states = (host: Host): string[] =>
  host.outputs.flatMap((output) => (output.kind === 'session' ? [`${output.from}→${output.to}`] : []));
const count = (host: Host, kind: SpeakerOutput['kind']): number =>
  host.outputs.filter((output) => output.kind === kind).length;
const lastError = (net: VirtualNet, host: Host): string => host.speaker?.peers(net.now)[0]?.lastError ?? '';

test('RFC 4271 8.2.2: two speakers pass through all states and exchange IPv4 and IPv6', () => {
  const net = new VirtualNet(1);
  const a = net.host(config(A, [peer(B)]), ['172.17.8.0/24', 'fd17:8::/64']);
  const b = net.host(config(B, [peer(A, { passive: true })]), ['172.17.9.0/24', 'fd17:9::/64']);
  net.run(2_000);
  assert.deepEqual(states(a), [
    'Idle→Active',
    'Active→Connect',
    'Connect→OpenSent',
    'OpenSent→OpenConfirm',
    'OpenConfirm→Established',
  ]);
  assert.deepEqual(Object.fromEntries(a.kernel), { '172.17.9.0/24': B, 'fd17:9::/64': 'fd00::2' });
  assert.deepEqual(Object.fromEntries(b.kernel), { '172.17.8.0/24': A, 'fd17:8::/64': 'fd00::1' });
  const view = a.speaker?.peers(net.now)[0];
  assert.equal(view?.prefixesReceived, 2);
  assert.equal(view?.prefixesSent, 2);
  assert.equal(view?.holdTimeSeconds, 90);
  assert.equal(view?.routerId, B);
  const route = everyRoute(a.speaker).find((candidate) => candidate.prefix === '172.17.9.0/24');
  assert.deepEqual(route, {
    prefix: '172.17.9.0/24',
    from: B,
    pathId: undefined,
    nextHop: B,
    best: true,
    multipath: false,
    stale: false,
    asPath: '',
    localPreference: 100,
    origin: 'igp',
    med: undefined,
    communities: [],
    originatorId: undefined,
    clusterList: [],
  });
});

test('RFC 4271 9.1.4: a withdrawn prefix goes, its neighbours stay, and nothing is sent twice', () => {
  const net = new VirtualNet(2);
  const a = net.host(config(A, [peer(B)]), []);
  const b = net.host(config(B, [peer(A, { passive: true })]), ['172.17.9.0/24', '172.17.10.0/24', 'fd17:9::/64']);
  net.run(2_000);
  b.outputs.length = 0;
  net.announce(b, ['172.17.10.0/24', 'fd17:9::/64']);
  net.announce(b, ['172.17.10.0/24', 'fd17:9::/64']);
  net.run(10);
  assert.equal(count(b, 'send'), 1);
  assert.deepEqual([...a.kernel.keys()].sort(), ['172.17.10.0/24', 'fd17:9::/64']);
  net.announce(b, []);
  net.run(10);
  assert.deepEqual([...a.kernel.keys()], []);
});

test('RFC 4271 6.5: a peer that vanishes without a FIN is given up when the hold timer expires, not before', () => {
  const net = new VirtualNet(3);
  const a = net.host(config(A, [peer(B, { gracefulRestart: 'off' })], { holdTimeSeconds: 9 }), []);
  net.host(config(B, [peer(A, { passive: true })]), ['172.17.9.0/24']);
  net.run(60_000);
  assert.equal(net.state(a, B), 'Established', 'keepalives hold the session');
  net.silenced.add(B);
  net.run(5_900);
  assert.equal(net.state(a, B), 'Established');
  net.run(3_200);
  assert.notEqual(net.state(a, B), 'Established');
  const expired = a.outputs.some(
    (output) => output.kind === 'close' && /hold timer expired \(4\/0\)/.test(output.reason),
  );
  assert.ok(expired, lastError(net, a));
  assert.deepEqual([...a.kernel.keys()], []);
});

test('RFC 4271 4.2: a hold time of 0 means neither keepalives nor expiry', () => {
  const net = new VirtualNet(4);
  const a = net.host(config(A, [peer(B)], { holdTimeSeconds: 0 }), []);
  net.host(config(B, [peer(A, { passive: true })]), []);
  net.run(2_000);
  a.outputs.length = 0;
  net.run(3_600_000);
  assert.equal(net.state(a, B), 'Established');
  assert.equal(count(a, 'send'), 0);
});

test('RFC 4271 6.8: when both dial, one connection remains, for any timing', () => {
  for (let seed = 0; seed < 300; seed++) {
    const net = new VirtualNet(seed, 1 + (seed % 3) * 100); // slow wires, so that both have dialled before either knows
    const a = net.host(config(A, [peer(B)]), ['172.17.8.0/24']);
    const b = net.host(config(B, [peer(A)]), ['172.17.9.0/24']);
    net.run(20_000);
    assert.equal(net.state(a, B), 'Established', `seed ${seed}`);
    assert.equal(net.state(b, A), 'Established', `seed ${seed}`);
    a.outputs.length = 0;
    net.run(300_000);
    assert.deepEqual(states(a), [], `seed ${seed}`);
    assert.equal(a.kernel.get('172.17.9.0/24'), B);
    assert.equal(b.kernel.get('172.17.8.0/24'), A);
  }
});

test('RFC 4271 8: a passive peer never dials, a refused one is dialled again with growing waits', () => {
  const net = new VirtualNet(5);
  const a = net.host(config(A, [peer(B), peer(C, { passive: true })]), []);
  net.run(60_000);
  const dials = a.outputs.flatMap((output) => (output.kind === 'connect' ? [formatIp(output.peer.address)] : []));
  assert.ok(dials.length >= 12 && dials.length <= 24, `${dials.length} dials in a minute`);
  assert.ok(dials.every((address) => address === B));
  assert.match(lastError(net, a), /connecting failed: ECONNREFUSED/);
});

test('RFC 4271 8: a dial that gets no answer at all is given up and repeated', () => {
  const net = new VirtualNet(6);
  net.silenced.add(B);
  const a = net.host(config(A, [peer(B)]), []);
  net.run(20_000);
  assert.ok(count(a, 'close') >= 2);
  assert.match(lastError(net, a), /connecting timed out/);
});

test('RFC 4271 6.2: a peer in another AS is refused in words on both sides', () => {
  const net = new VirtualNet(7);
  const a = net.host(config(A, [peer(B)]), []);
  const b = net.host(config(B, [peer(A, { passive: true })], { asn: asn(65000) }), []);
  net.run(3_000);
  assert.match(
    lastError(net, a) + lastError(net, b),
    /bad peer AS \(2\/2\).*the peer is in AS (65000|64512), configured is AS 64512/,
  );
  assert.equal(net.state(a, B), 'Idle');
});

test('RFC 4486: reconfiguration touches only the sessions that it concerns', () => {
  const net = new VirtualNet(8);
  const a = net.host(config(A, [peer(B), peer(C)]), ['172.17.8.0/24']);
  const b = net.host(config(B, [peer(A, { passive: true })]), ['172.17.9.0/24']);
  net.host(config(C, [peer(A, { passive: true })]), ['172.17.10.0/24']);
  net.run(3_000);
  assert.equal(a.kernel.size, 2);
  a.outputs.length = 0;
  net.configure(a, config(A, [peer(B, { description: 'renamed' })], { holdTimeSeconds: 30 }));
  net.run(1_000);
  assert.equal(a.speaker?.peers(net.now)[0]?.description, 'renamed');
  assert.deepEqual(Object.fromEntries(a.kernel), { '172.17.9.0/24': B });
  assert.deepEqual(
    states(a).filter((line) => line.startsWith('Established')),
    ['Established→Idle'],
  );
  assert.equal(net.state(a, B), 'Established');
  net.configure(a, config(A, [peer(B)], { nextHops: { 4: ip('10.0.0.9'), 6: ip('fd00::1') } }));
  net.run(10);
  assert.equal(net.state(a, B), 'Established');
  assert.equal(b.kernel.get('172.17.8.0/24'), '10.0.0.9');
  net.configure(a, config(A, [peer(B, { families: [4] })]));
  net.run(10_000);
  assert.match(lastError(net, b), /other configuration change \(6\/6\)/);
  assert.equal(net.state(a, B), 'Established');
});

test('an unknown address is turned away with a notice and without bytes', () => {
  const net = new VirtualNet(9);
  const a = net.host(config(A, []), []);
  net.host(config(B, [peer(A)]), []);
  net.run(1_000);
  assert.equal(count(a, 'send'), 0);
  assert.ok(a.outputs.some((output) => output.kind === 'notice' && /10\.0\.0\.2 refused/.test(output.message)));
});

test('more peers than the limit are left out with a notice', () => {
  const net = new VirtualNet(15);
  const peers = Array.from({ length: 10_001 }, (_, index) =>
    peer(`10.1.${index >> 8}.${index & 255}`, { passive: true }),
  );
  const a = net.host(config(A, peers), []);
  assert.equal(a.speaker?.peers(net.now).length, 10_000);
  assert.ok(a.outputs.some((output) => output.kind === 'notice' && /10001 peers are configured/.test(output.message)));
});

test('RFC 4271 9.2.1: what comes from an internal peer is not passed on to another', () => {
  const net = new VirtualNet(10);
  net.host(config(A, [peer(B)]), ['172.17.8.0/24']);
  net.host(config(B, [peer(A, { passive: true }), peer(C, { passive: true })]), []);
  const c = net.host(config(C, [peer(B)]), []);
  net.run(3_000);
  assert.deepEqual([...c.kernel.keys()], []);
});

test('RFC 4271 5.1: between ASes our AS is put in front, we are the next hop, and LOCAL_PREF stays home', () => {
  const net = new VirtualNet(11);
  net.host(config(A, [peer(B, { asn: asn(65001) })]), ['172.17.8.0/24']);
  const middle = [peer(A, { passive: true }), peer(C, { passive: true, asn: asn(65002) })];
  net.host(config(B, middle, { asn: asn(65001) }), []);
  const c = net.host(config(C, [peer(B, { asn: asn(65001) })], { asn: asn(65002) }), []);
  net.run(3_000);
  const route = everyRoute(c.speaker)[0];
  assert.equal(route?.asPath, '65001 64512');
  assert.equal(route?.nextHop, B);
  assert.equal(route?.localPreference, undefined);
});

test('RFC 4271 9.1.2: a route that has passed through our AS is not used', () => {
  const net = new VirtualNet(12);
  const external = { asn: asn(65001) };
  net.host(config(A, [peer(B, external)]), ['172.17.8.0/24']);
  net.host(config(B, [peer(A, { passive: true }), peer(C, { passive: true })], external), []);
  const c = net.host(config(C, [peer(B, external)]), []);
  net.run(3_000);
  assert.equal(everyRoute(c.speaker).length, 1);
  assert.deepEqual([...c.kernel.keys()], []);
});

test('RFC 7938 6.3: two ways that are equally good serve together, and one alone when the other goes', () => {
  const net = new VirtualNet(13);
  const a = net.host(config(A, [peer(B), peer(C)]), []);
  const b = net.host(config(B, [peer(A, { passive: true })]), ['172.30.0.0/16']);
  net.host(config(C, [peer(A, { passive: true })]), ['172.30.0.0/16']);
  net.run(3_000);
  assert.equal(a.kernel.get('172.30.0.0/16'), `${B} ${C}`);
  net.announce(b, []);
  net.run(10);
  assert.equal(a.kernel.get('172.30.0.0/16'), C);
});

test('20,000 prefixes arrive in few messages, a change of one is one message', () => {
  const net = new VirtualNet(14);
  const prefixes = Array.from({ length: 20_000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`);
  const a = net.host(config(A, [peer(B)]), []);
  const b = net.host(config(B, [peer(A, { passive: true })]), prefixes);
  net.run(3_000);
  assert.equal(a.kernel.size, 20_000);
  const bytes = b.outputs.reduce((sum, output) => sum + (output.kind === 'send' ? output.bytes.length : 0), 0);
  assert.ok(bytes < 20_000 * 4.3, `${bytes} bytes`);
});
