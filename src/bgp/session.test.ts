import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../lib/bytes.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { ip } from '../net/ip.ts';
import { encodeMessage, encodeNotification, KEEPALIVE, MESSAGE_TYPE } from './message.ts';
import { encodeEndOfRib } from './pack-updates.ts';
import { announce, openFrom, restartCapability, ScriptedWorld } from './scripted-peer.suite.ts';
import { config, peer } from './virtual-net.suite.ts';

const PEER = '10.0.0.2';
const LOW = '1.0.0.1';
const OURS = '10.0.0.100';
const HIGH = '200.0.0.1';
const PREFIX = '172.17.9.0/24';

function world(more: Parameters<typeof peer>[1] = { passive: true }): ScriptedWorld {
  return new ScriptedWorld(config(OURS, [peer(PEER, more)]), ['172.17.8.0/24']);
}

const lastError = (scripted: ScriptedWorld): string => scripted.speaker.peers(scripted.now)[0]?.lastError ?? '';

/** Each row: the peer's identifier and AS, and whether the connection that we dialled is the one to be kept. */
const COLLISIONS: [title: string, id: string, peerAsn: number, keepsOurs: boolean][] = [
  ['RFC 4271 6.8: ours is higher', LOW, 64512, true],
  ['RFC 4271 6.8: theirs is higher', HIGH, 64512, false],
  ['RFC 6286 2.3: the same, our AS is higher', OURS, 64000, true],
  ['RFC 6286 2.3: the same, their AS is higher', OURS, 65000, false],
];
for (const [title, id, peerAsn, keepsOurs] of COLLISIONS) {
  for (const [phase, first] of [
    ['OpenConfirm', []],
    ['Established', [KEEPALIVE]],
  ] as const) {
    for (const firstIsOurs of [true, false]) {
      const which = firstIsOurs ? 'ours' : 'theirs';
      test(`collision, identifiers, ${title}; ${which} came first and is in ${phase}`, () => {
        const scripted = world({ asn: asn(peerAsn) });
        scripted.run(500);
        const ours = scripted.dialled();
        assert.ok(ours !== undefined);
        scripted.tell({ kind: 'connected', connection: ours, localAddress: ip(OURS) });
        const theirs = scripted.accept(PEER);
        const open = openFrom(id, restartCapability(), peerAsn);
        const [early, late] = firstIsOurs ? [ours, theirs] : [theirs, ours];
        scripted.receive(early, open, ...first);
        assert.equal(scripted.state(PEER), phase);
        scripted.receive(late, open);
        const [kept, lost] = keepsOurs ? [ours, theirs] : [theirs, ours];
        assert.match(scripted.said(lost), /6\/7 closed$/);
        assert.doesNotMatch(scripted.said(kept), /closed/);
        scripted.receive(kept, KEEPALIVE);
        assert.equal(scripted.state(PEER), 'Established');
      });
    }
  }
}

test('RFC 4271 6.8: an OPEN ends our own dialling', () => {
  const scripted = world({});
  scripted.run(500);
  const ours = scripted.dialled();
  assert.ok(ours !== undefined);
  scripted.receive(scripted.accept(PEER), openFrom(HIGH));
  assert.equal(scripted.said(ours), 'closed');
});

test('RFC 4271 6.8: without graceful restart a new connection does not disturb the Established one', () => {
  const scripted = world();
  const first = scripted.establish(PEER, openFrom(HIGH));
  const second = scripted.accept(PEER);
  scripted.receive(second, openFrom(HIGH));
  assert.equal(scripted.said(second), 'OPEN 6/7 closed');
  assert.doesNotMatch(scripted.said(first), /closed/);
  assert.equal(scripted.state(PEER), 'Established');
});

test('RFC 4724 4.2: with graceful restart a new connection replaces the Established one, and no route is lost', () => {
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
  test(`RFC 4724 4.2: stale routes go when the new OPEN has ${title}`, () => {
    const scripted = world();
    const first = scripted.establish(PEER, openFrom(LOW, restartCapability()));
    scripted.receive(first, announce(ip(PEER), [PREFIX]));
    scripted.tell({ kind: 'closed', connection: first, reason: 'lost' });
    assert.deepEqual(scripted.kernel(), [PREFIX]);
    scripted.establish(PEER, open);
    assert.deepEqual(scripted.kernel(), []);
  });
}

test('RFC 4724 4.2: stale routes go in the end when End-of-RIB never comes', () => {
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

test('RFC 4724 3: the R bit stands in the OPEN of the first session after a start, within the restart time', () => {
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

const REFUSED: [title: string, open: Uint8Array, notification: RegExp][] = [
  ['RFC 6286 2.2: our own identifier in our AS', openFrom(OURS), /2\/3 closed$/],
  ['RFC 4271 6.2: another AS', openFrom(LOW, {}, 65000), /2\/2 closed$/],
];
for (const [title, open, notification] of REFUSED) {
  test(`OPEN is refused, ${title}`, () => {
    const scripted = world();
    const connection = scripted.accept(PEER);
    scripted.receive(connection, open);
    assert.match(scripted.said(connection), notification);
    assert.equal(scripted.state(PEER), 'Idle');
  });
}

test('RFC 5492 3: the refusal of a peer without our family names the capability', () => {
  const scripted = world({ passive: true, families: [6] });
  const connection = scripted.accept(PEER);
  scripted.receive(connection, openFrom(LOW, { families: undefined }));
  const sent = scripted.outputs.findLast((output) => output.kind === 'send');
  assert.ok(sent?.kind === 'send');
  assert.equal(toHex(sent.bytes.subarray(18)), '030207010400020001');
});

const UPDATE = announce(ip(PEER), [PREFIX]);
const OPEN = openFrom(LOW);
const UNEXPECTED: [title: string, messages: Uint8Array[], said: RegExp][] = [
  ['KEEPALIVE in OpenSent', [KEEPALIVE], /5\/1 closed$/],
  ['UPDATE in OpenConfirm', [OPEN, UPDATE], /5\/2 closed$/],
  ['OPEN in OpenConfirm', [OPEN, OPEN], /5\/2 closed$/],
  ['OPEN in Established', [OPEN, KEEPALIVE, OPEN], /5\/3 closed$/],
];
for (const [title, messages, said] of UNEXPECTED) {
  test(`RFC 6608 3: unexpected ${title}`, () => {
    const scripted = world();
    const connection = scripted.accept(PEER);
    scripted.receive(connection, ...messages);
    assert.match(scripted.said(connection), said);
  });
}

test('RFC 2918 4: a route refresh that we never offered is passed over', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  scripted.receive(connection, encodeMessage(MESSAGE_TYPE.routeRefresh, Uint8Array.of(0, 1, 0, 1)));
  assert.equal(scripted.state(PEER), 'Established');
});

test('RFC 4271 6.3: after a fatal UPDATE nothing more of the same bytes counts', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  const bad = encodeMessage(MESSAGE_TYPE.update, Uint8Array.of(0, 0, 0, 0, 33, 1, 2, 3, 4));
  scripted.receive(connection, UPDATE, bad, UPDATE, KEEPALIVE);
  assert.match(scripted.said(connection), /3\/10 closed$/);
  assert.deepEqual(scripted.kernel(), []);
  assert.equal(scripted.speaker.routes().filter((route) => route.from === PEER).length, 0);
});

test('RFC 4271 6.4: what the peer says last is kept in words, and nothing is answered', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  scripted.receive(connection, encodeNotification({ code: 6, subcode: 2, data: Uint8Array.of(2, 104, 105) }), UPDATE);
  assert.match(scripted.said(connection), /[A-Z] closed$/);
  assert.equal(lastError(scripted), 'the peer says: cease: administrative shutdown (6/2): hi');
});

test('RFC 4271 8.2.2: the OPEN is waited for four minutes', () => {
  const scripted = world();
  const connection = scripted.accept(PEER);
  scripted.run(239_000);
  assert.equal(scripted.said(connection), 'OPEN');
  scripted.run(2_000);
  assert.equal(scripted.said(connection), 'OPEN 4/0 closed');
});

test('RFC 4271 4.4: a keepalive each third of the hold time, unless an UPDATE has just gone out', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  scripted.outputs.length = 0;
  scripted.run(80_000);
  assert.equal(scripted.said(connection), 'KEEPALIVE KEEPALIVE KEEPALIVE');
  scripted.outputs.length = 0;
  for (let index = 0; index < 8; index++) {
    scripted.receive(connection, KEEPALIVE);
    scripted.tell({ kind: 'announce', prefixes: index % 2 === 0 ? [] : [{ address: ip('172.17.8.0'), length: 24 }] });
    scripted.run(20_000);
  }
  assert.equal(scripted.said(connection), 'UPDATE '.repeat(8).trim());
});

test('RFC 4271 8.1: a passive side never dials, not even after a loss', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  scripted.tell({ kind: 'closed', connection, reason: 'lost' });
  scripted.run(600_000);
  assert.equal(scripted.dialled(), undefined);
});

test('waits between dials are forgotten once a session was up', () => {
  const scripted = world({});
  for (let seconds = 0; seconds < 60; seconds++) {
    const connection = scripted.dialled();
    if (connection !== undefined) scripted.tell({ kind: 'connectFailed', connection, reason: 'ECONNREFUSED' });
    scripted.run(1_000);
  }
  const connection = scripted.establish(PEER, OPEN);
  scripted.outputs.length = 0;
  scripted.tell({ kind: 'closed', connection, reason: 'lost' });
  scripted.run(500);
  assert.notEqual(scripted.dialled(), undefined);
});

test('a peer that opens ever more connections loses the oldest', () => {
  const scripted = world();
  const connections = Array.from({ length: 6 }, () => scripted.accept(PEER));
  assert.deepEqual(
    connections.map((connection) => scripted.said(connection)),
    ['OPEN closed', 'OPEN closed', 'OPEN', 'OPEN', 'OPEN', 'OPEN'],
  );
});

test('RFC 4486 4: more prefixes than the limit end the session, and all of them go', () => {
  const scripted = world();
  const connection = scripted.establish(PEER, OPEN);
  const prefixes = Array.from(
    { length: 100_001 },
    (_, index) => `11.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32`,
  );
  scripted.receive(connection, announce(ip(PEER), prefixes.slice(0, 100_000)));
  assert.equal(scripted.state(PEER), 'Established');
  scripted.receive(connection, announce(ip(PEER), prefixes.slice(100_000)));
  assert.match(scripted.said(connection), /6\/1 closed$/);
  const sent = scripted.outputs.findLast((output) => output.kind === 'send');
  assert.ok(sent?.kind === 'send');
  assert.equal(toHex(sent.bytes.subarray(19)), '060100010100' + '0186a0');
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

test('RFC 4724 4.1: a peer without graceful restart is waited for some seconds after it has come up', () => {
  const scripted = world();
  const hasConverged = (): boolean => scripted.outputs.some((output) => output.kind === 'initialConvergence');
  scripted.run(10_000);
  scripted.establish(PEER, OPEN);
  scripted.run(4_900);
  assert.equal(hasConverged(), false);
  scripted.run(200);
  assert.equal(hasConverged(), true);
});

test('RFC 4724 4.1: who passes routes on says End-of-RIB once it has them, and does not wait for the restarting', () => {
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

test('RFC 4271 9.1.2: a route through an address that becomes our own is not used any more', () => {
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

test('RFC 4271 5.1.3: an external peer is told when our address has changed, also of what we only pass on', () => {
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
