/**
 * Graceful restart from both sides, and what is no graceful restart (RFC 4724).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { END_OF_RIB_WAIT_MS, PEER_UP_WAIT_MS } from './initial-convergence.ts';
import { config, everyRoute, type Host, originations, peer, VirtualNet } from './virtual-net.suite.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const PREFIX = '172.17.9.0/24';
const PREFIX6 = 'fd17:9::/64';

function pair(net: VirtualNet, more: Parameters<typeof config>[2] = {}): { a: Host; b: Host } {
  const a = net.host(config(A, [peer(B)]), ['172.17.8.0/24']);
  const b = net.host(config(B, [peer(A, { passive: true })], more), [PREFIX, PREFIX6]);
  net.run(3_000);
  assert.equal(net.state(a, B), 'Established');
  assert.deepEqual([...a.kernel.keys()].sort(), [PREFIX, PREFIX6]);
  a.outputs.length = 0;
  return { a, b };
}

const withdrawals = (host: Host): string[] =>
  host.outputs.flatMap((output) =>
    output.kind === 'best' && output.gateways.length === 0 ? [formatCidr(output.prefix)] : [],
  );
const isStale = (net: VirtualNet, host: Host): boolean | undefined => host.speaker?.peers(net.now)[0]?.stale;

test('RFC 4724 4.2: the helper never withdraws a route while the restarter returns', () => {
  for (const fin of [true, false]) {
    const net = new VirtualNet(1);
    const { a, b } = pair(net);
    net.kill(b, { fin });
    net.run(10_000);
    if (fin) assert.equal(isStale(net, a), true);
    b.config = config(B, [peer(A)]);
    net.start(b);
    net.run(10_000);
    assert.equal(net.state(a, B), 'Established');
    assert.equal(net.state(b, A), 'Established');
    assert.equal(isStale(net, a), false);
    assert.deepEqual(withdrawals(a), [], `with fin ${fin}`);
    assert.equal(a.kernel.get(PREFIX), B);
  }
});

test('RFC 4724 4.1: the restarter takes up its own routes without a change, and converges once', () => {
  const net = new VirtualNet(2);
  const { a, b } = pair(net);
  net.kill(b, { fin: true });
  b.outputs.length = 0;
  net.run(2_000);
  net.start(b);
  net.run(10_000);
  assert.equal(b.kernel.get('172.17.8.0/24'), A);
  assert.equal(b.outputs.filter((output) => output.kind === 'initialConvergence').length, 1);
  const kinds = b.outputs
    .map((output) => output.kind)
    .filter((kind) => kind === 'best' || kind === 'initialConvergence');
  assert.deepEqual(kinds, ['best', 'initialConvergence']);
  assert.equal(net.state(a, B), 'Established');
});

test('RFC 4724 4.2: what the restarter no longer announces goes at its End-of-RIB', () => {
  const net = new VirtualNet(3);
  const { a, b } = pair(net);
  net.kill(b, { fin: true });
  b.announced = originations([PREFIX6]);
  net.run(1_000);
  net.start(b);
  net.run(10_000);
  assert.deepEqual(withdrawals(a), [PREFIX]);
  assert.deepEqual([...a.kernel.keys()], [PREFIX6]);
});

test('RFC 4724 4.1: End-of-RIB waits until we know what we announce ourselves', () => {
  const net = new VirtualNet(4);
  const { a, b } = pair(net);
  net.kill(b, { fin: true });
  net.run(1_000);
  net.startUntold(b);
  net.run(20_000);
  assert.equal(net.state(a, B), 'Established');
  assert.equal(isStale(net, a), true);
  net.announce(b, [PREFIX, PREFIX6]);
  net.run(10);
  assert.equal(isStale(net, a), false);
  assert.deepEqual(withdrawals(a), []);
});

test('RFC 4724 4.1: a speaker that is never told what to announce says End-of-RIB in the end', () => {
  const net = new VirtualNet(10);
  const { a, b } = pair(net);
  net.kill(b, { fin: true });
  net.startUntold(b);
  net.run(END_OF_RIB_WAIT_MS - 1_000);
  assert.deepEqual(withdrawals(a), []);
  net.run(2_000);
  assert.deepEqual(withdrawals(a).sort(), [PREFIX, PREFIX6]);
});

test('RFC 4724 4.2: a second restart before End-of-RIB drops what was stale', () => {
  const net = new VirtualNet(11);
  const { a, b } = pair(net);
  net.kill(b, { fin: true });
  net.startUntold(b);
  net.run(10_000);
  assert.equal(net.state(a, B), 'Established');
  assert.deepEqual(withdrawals(a), []);
  net.kill(b, { fin: true });
  net.run(10);
  assert.deepEqual(withdrawals(a).sort(), [PREFIX, PREFIX6]);
});

test('RFC 4724 4.2: routes of a peer that does not return go when its restart time is over', () => {
  const net = new VirtualNet(5);
  const { a, b } = pair(net, { restartTimeSeconds: 20 });
  net.kill(b, { fin: true });
  net.run(19_000);
  assert.deepEqual(withdrawals(a), []);
  net.run(2_000);
  assert.deepEqual(withdrawals(a).sort(), [PREFIX, PREFIX6]);
  assert.equal(isStale(net, a), false);
});

test('RFC 4724 4.2: without a restart time routes go with the connection', () => {
  const net = new VirtualNet(6);
  const { a, b } = pair(net, { restartTimeSeconds: 0 });
  net.kill(b, { fin: true });
  net.run(10);
  assert.deepEqual(withdrawals(a).sort(), [PREFIX, PREFIX6]);
});

test('RFC 4724 4: a NOTIFICATION is no restart, and ends all patience', () => {
  const net = new VirtualNet(7);
  const { a, b } = pair(net);
  net.configure(b, config(B, []));
  net.run(10);
  assert.deepEqual(withdrawals(a).sort(), [PREFIX, PREFIX6]);
  assert.match(a.speaker?.peers(net.now)[0]?.lastError ?? '', /peer de-configured \(6\/3\)/);
});

test('RFC 4724 4.1: convergence waits for a peer that is down only so long', () => {
  const net = new VirtualNet(8);
  const a = net.host(config(A, [peer(B)]), []);
  const converged = (): boolean => a.outputs.some((output) => output.kind === 'initialConvergence');
  net.run(PEER_UP_WAIT_MS - 1);
  assert.equal(converged(), false);
  net.run(2);
  assert.equal(converged(), true);
});

test('RFC 4724 4.1: convergence and our End-of-RIB wait for peers whose address is yet to be heard', () => {
  const net = new VirtualNet(8);
  const clients = [peer(B, { reflectorClient: true })];
  const a = net.host(config(A, clients, { peersToCome: 1 }), []);
  const b = net.host(config(B, [peer(A, { passive: true })]), [PREFIX]);
  const converged = (): boolean => a.outputs.some((output) => output.kind === 'initialConvergence');
  const isToldAll = (): boolean => b.outputs.some((output) => output.kind === 'initialConvergence');
  net.run(10_000);
  assert.deepEqual([net.state(a, B), converged(), isToldAll()], ['Established', false, false]);
  net.configure(a, config(A, clients));
  net.run(10);
  assert.deepEqual([converged(), isToldAll()], [true, true]);
});

test('RFC 4724 4.1: without peers convergence comes with the first configuration', () => {
  const net = new VirtualNet(9);
  const a = net.host(config(A, []), []);
  assert.deepEqual(
    a.outputs.map((output) => output.kind),
    ['initialConvergence'],
  );
});

test('own address and own prefixes never come out as best', () => {
  const net = new VirtualNet(12);
  const a = net.host(config(A, [peer(B)]), [PREFIX]);
  net.host(config(B, [peer(A, { passive: true })], { nextHops: { 4: ip(B), 6: ip('fd00::1') } }), [PREFIX, PREFIX6]);
  net.run(3_000);
  assert.equal(everyRoute(a.speaker).length, 3);
  assert.deepEqual([...a.kernel.keys()], []);
});
