import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../lib/bytes.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { ip } from '../net/ip.ts';
import { encodeEndOfRib } from './export/update-writer.ts';
import { announce, openFrom, restartCapability, ScriptedWorld } from './scripted-peer.suite.ts';
import { config, peer } from './virtual-net.suite.ts';
import { encodeMessage, KEEPALIVE, MESSAGE_TYPE } from './wire/message.ts';

const PEER = '10.0.0.2';
const LOW = '1.0.0.1';
const OURS = '10.0.0.100';
const HIGH = '200.0.0.1';
const PREFIX = '172.17.9.0/24';
const OPEN = openFrom(LOW);

function world(more: Parameters<typeof peer>[1] = { passive: true }): ScriptedWorld {
  return new ScriptedWorld(config(OURS, [peer(PEER, more)]), ['172.17.8.0/24']);
}

test('RFC 4724 section 4.2: with graceful restart a new connection replaces the Established one, and no route is lost', () => {
  const scripted = world();
  const first = scripted.establish(PEER, openFrom(LOW, restartCapability()));
  scripted.receive(first, announce(ip(PEER), [PREFIX]));
  const second = scripted.establish(PEER, openFrom(LOW, restartCapability(true, true)));
  assert.match(scripted.said(first), /KEEPALIVE( UPDATE)* closed$/);
  assert.equal(scripted.speaker.peers(scripted.now)[0]?.stale, true);
  scripted.receive(second, announce(ip(PEER), [PREFIX]), encodeEndOfRib(4), encodeEndOfRib(6));
  assert.equal(scripted.speaker.peers(scripted.now)[0]?.stale, false);
  assert.deepEqual(scripted.kernel(), [PREFIX]);
  assert.equal(scripted.outputs.filter((output) => output.kind === 'best').length, 1);
});

const FORGOTTEN: [title: string, open: Uint8Array][] = [
  ['no F bit', openFrom(LOW, restartCapability(false))],
  ['no graceful restart', openFrom(LOW)],
];
for (const [title, open] of FORGOTTEN) {
  test(`RFC 4724 section 4.2: stale routes go when the new OPEN has ${title}`, () => {
    const scripted = world();
    const first = scripted.establish(PEER, openFrom(LOW, restartCapability()));
    scripted.receive(first, announce(ip(PEER), [PREFIX]));
    scripted.tell({ kind: 'closed', connection: first, reason: 'lost' });
    assert.deepEqual(scripted.kernel(), [PREFIX]);
    scripted.establish(PEER, open);
    assert.deepEqual(scripted.kernel(), []);
  });
}

test('RFC 4724 section 4.2: stale routes go in the end when End-of-RIB never comes', () => {
  const scripted = world();
  const first = scripted.establish(PEER, openFrom(LOW, restartCapability()));
  scripted.receive(first, announce(ip(PEER), [PREFIX]));
  scripted.tell({ kind: 'closed', connection: first, reason: 'lost' });
  const second = scripted.establish(PEER, openFrom(LOW, restartCapability()));
  for (let seconds = 0; seconds < 115; seconds += 5) {
    scripted.run(5_000);
    scripted.receive(second, KEEPALIVE);
  }
  assert.deepEqual(scripted.kernel(), [PREFIX]);
  scripted.run(6_000);
  assert.deepEqual(scripted.kernel(), []);
  assert.equal(scripted.state(PEER), 'Established');
});

test('RFC 4486: stale routes of a peer go at once when it is no longer configured', () => {
  const scripted = world();
  const first = scripted.establish(PEER, openFrom(LOW, restartCapability()));
  scripted.receive(first, announce(ip(PEER), [PREFIX]));
  scripted.tell({ kind: 'closed', connection: first, reason: 'lost' });
  scripted.tell({ kind: 'configure', config: config(OURS, []) });
  assert.deepEqual(scripted.kernel(), []);
});

test('RFC 4724 section 3: the R bit stands in the OPEN of the first session after a start, within the restart time', () => {
  const scripted = world();
  const isRestarting = (connection: Parameters<ScriptedWorld['openOn']>[0]): boolean | undefined =>
    scripted.openOn(connection).capabilities.gracefulRestart?.restarting;
  const first = scripted.establish(PEER, openFrom(LOW));
  assert.equal(isRestarting(first), true);
  scripted.tell({ kind: 'closed', connection: first, reason: 'lost' });
  assert.equal(isRestarting(scripted.accept(PEER)), false);
  const late = world();
  late.run(121_000);
  assert.equal(late.openOn(late.accept(PEER)).capabilities.gracefulRestart?.restarting, false);
});

test('RFC 4486 section 4: more prefixes than the limit end the session, and all of them go', () => {
  const scripted = world({ passive: true, prefixesMax: 1_000 });
  const connection = scripted.establish(PEER, OPEN);
  const prefixes = Array.from({ length: 1_001 }, (_, index) => `11.0.${index >> 8}.${index & 255}/32`);
  scripted.receive(connection, announce(ip(PEER), prefixes.slice(0, 1_000)));
  assert.equal(scripted.state(PEER), 'Established');
  scripted.receive(connection, announce(ip(PEER), prefixes.slice(1_000)));
  assert.match(scripted.said(connection), /6\/1 closed$/);
  const sent = scripted.outputs.findLast((output) => output.kind === 'send');
  assert.ok(sent?.kind === 'send');
  assert.equal(toHex(sent.bytes.subarray(19)), '060100010100' + '0003e8');
  assert.equal(scripted.kernel().length, 0);
});

test('a peer whose every UPDATE is malformed does not fill the log', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  const notices = (): number => scripted.outputs.filter((output) => output.kind === 'notice').length;
  const bad = encodeMessage(MESSAGE_TYPE.update, Uint8Array.of(0, 0, 0, 0, 24, 172, 17, 9));
  for (let index = 0; index < 100; index++) scripted.receive(connection, bad);
  assert.equal(notices(), 20);
  scripted.run(60_000);
  scripted.receive(connection, bad);
  assert.equal(notices(), 21);
});

test('RFC 4724 section 4.1: a peer without graceful restart is waited for some seconds after it has come up', () => {
  const scripted = world();
  const hasConverged = (): boolean => scripted.outputs.some((output) => output.kind === 'initialConvergence');
  scripted.run(10_000);
  scripted.establish(PEER, OPEN);
  scripted.run(4_900);
  assert.equal(hasConverged(), false);
  scripted.run(200);
  assert.equal(hasConverged(), true);
});

test('RFC 4724 section 4.1: who passes routes on says End-of-RIB once it has them, and does not wait for the restarting', () => {
  const other = '10.0.0.3';
  for (const restarting of [true, false]) {
    const peers = [peer(PEER, { passive: true }), peer(other, { passive: true, asn: asn(65000) })];
    const scripted = new ScriptedWorld(config(OURS, peers), ['172.17.8.0/24']);
    const first = scripted.establish(PEER, openFrom(LOW, restartCapability(true, false)));
    const second = scripted.establish(other, openFrom(HIGH, restartCapability(true, restarting), 65000));
    assert.equal(scripted.said(first), 'OPEN KEEPALIVE UPDATE');
    scripted.receive(first, encodeEndOfRib(4), encodeEndOfRib(6));
    const ends = restarting ? ' UPDATE UPDATE' : '';
    assert.equal(scripted.said(first), `OPEN KEEPALIVE UPDATE${ends}`);
    assert.equal(scripted.said(second), `OPEN KEEPALIVE UPDATE${ends}`);
  }
});

test('RFC 4271 section 9.1.2: a route through an address that becomes our own is not used any more', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  scripted.receive(connection, announce(ip('10.0.0.9'), [PREFIX]));
  assert.deepEqual(scripted.kernel(), [PREFIX]);
  const moved = config(OURS, [peer(PEER, { passive: true })], { nextHops: { 4: ip('10.0.0.9') } });
  scripted.tell({ kind: 'configure', config: moved });
  assert.deepEqual(scripted.kernel(), []);
  assert.equal(scripted.state(PEER), 'Established');
});

test('RFC 4486: another identifier of ours resets all sessions', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  const renamed = config(OURS, [peer(PEER, { passive: true })], { routerId: routerIdFromIp(ip('10.0.0.101')) });
  scripted.tell({ kind: 'configure', config: renamed });
  assert.match(scripted.said(connection), /6\/6 closed$/);
});

test('RFC 4271 section 5.1.3: an external peer is told when our address has changed, also of what we only pass on', () => {
  const other = '10.0.0.3';
  const peers = [peer(PEER, { passive: true }), peer(other, { passive: true, asn: asn(65000) })];
  const scripted = new ScriptedWorld(config(OURS, peers));
  const first = scripted.establish(PEER, OPEN);
  const second = scripted.establish(other, openFrom(HIGH, {}, 65000));
  scripted.receive(first, announce(ip(PEER), [PREFIX]));
  assert.equal(scripted.said(second), 'OPEN KEEPALIVE UPDATE');
  scripted.tell({ kind: 'configure', config: config(OURS, peers, { nextHops: { 4: ip('10.0.0.77') } }) });
  assert.equal(scripted.said(second), 'OPEN KEEPALIVE UPDATE UPDATE');
});
