import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { asn } from '../../net/asn.ts';
import { ip } from '../../net/ip.ts';
import type { PeerConfig } from '../peer-config.ts';
import { type Capabilities, NO_CAPABILITIES } from '../wire/capabilities.ts';
import { bgpError, type ErrorName, shutdownData } from '../wire/errors.ts';
import { encodeMessage, encodeNotification, KEEPALIVE, MESSAGE_TYPE } from '../wire/message.ts';
import type { Open } from '../wire/open.ts';
import { encodeRefresh } from '../wire/route-refresh.ts';
import { HIGH, LOW, OURS, openFrom, peerConfig, restart, SessionRig } from './session-rig.suite.ts';
import { viewSession } from './session-view.ts';

const OPEN = openFrom(LOW);
const UPDATE = encodeMessage(MESSAGE_TYPE.update, Uint8Array.of(0, 0, 0, 0));
const REFRESH = encodeRefresh({ family: 4, kind: 'request' });
const ACTIVE = peerConfig({ passive: false });
const notification = (code: number, subcode: number, data: Uint8Array = new Uint8Array(0)): Uint8Array =>
  encodeNotification({ code, subcode, data });
const rigWith = (more: Partial<PeerConfig> = {}): SessionRig => new SessionRig(peerConfig(more));

test('RFC 4271 section 8.2.2: a dialled session goes through all states, and says so', () => {
  const rig = new SessionRig(ACTIVE);
  const connection = rig.connect();
  rig.receive(connection, OPEN);
  rig.receive(connection, KEEPALIVE);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE');
  const states = rig.outputs.flatMap((output) => (output.kind === 'session' ? [`${output.from} ${output.to}`] : []));
  assert.deepEqual(states, [
    'Idle Active',
    'Active Connect',
    'Connect OpenSent',
    'OpenSent OpenConfirm',
    'OpenConfirm Established',
  ]);
  assert.equal(rig.negotiated?.localAddress, rig.session.negotiated?.localAddress);
});

/** Each row: the peer's identifier and AS, and whether the connection that we dialled is the one to be kept. */
const COLLISIONS: [title: string, id: string, peerAsn: number, keepsOurs: boolean][] = [
  ['RFC 4271 section 6.8: ours is higher', LOW, 64512, true],
  ['RFC 4271 section 6.8: theirs is higher', HIGH, 64512, false],
  ['RFC 6286 section 2.3: the same, our AS is higher', OURS, 64000, true],
  ['RFC 6286 section 2.3: the same, their AS is higher', OURS, 65000, false],
];
for (const [title, id, peerAsn, keepsOurs] of COLLISIONS) {
  for (const [phase, first] of [
    ['OpenConfirm', []],
    ['Established', [KEEPALIVE]],
  ] as const) {
    for (const firstIsOurs of [true, false]) {
      test(`${title}; ${firstIsOurs ? 'ours' : 'theirs'} came first and is in ${phase}`, () => {
        const rig = new SessionRig(peerConfig({ passive: false, asn: asn(peerAsn) }));
        const ours = rig.connect();
        const theirs = rig.accept();
        const open = openFrom(id, { gracefulRestart: restart() }, peerAsn);
        const [early, late] = firstIsOurs ? [ours, theirs] : [theirs, ours];
        rig.receive(early, open, ...first);
        assert.equal(rig.session.state, phase);
        rig.receive(late, open);
        const [kept, lost] = keepsOurs ? [ours, theirs] : [theirs, ours];
        assert.match(rig.said(lost), /6\/7 closed$/);
        assert.doesNotMatch(rig.said(kept), /closed/);
        rig.receive(kept, KEEPALIVE);
        assert.equal(rig.session.state, 'Established');
      });
    }
  }
}

test('RFC 4271 section 6.8: an OPEN ends our own dialling', () => {
  const rig = new SessionRig(ACTIVE);
  rig.run(500);
  assert.equal(rig.dials(), 1);
  const theirs = rig.accept();
  rig.receive(theirs, openFrom(HIGH));
  assert.equal(rig.outputs.find((output) => output.kind === 'close')?.connection, 2);
});

test('RFC 4271 section 6.8: without graceful restart a new connection does not disturb the Established one', () => {
  const rig = rigWith();
  const first = rig.establish(openFrom(HIGH));
  const second = rig.accept();
  rig.receive(second, openFrom(HIGH));
  assert.equal(rig.said(second), 'OPEN 6/7 closed');
  assert.equal(rig.said(first), 'OPEN KEEPALIVE');
  assert.equal(rig.session.state, 'Established');
});

test('RFC 4724 section 4.2: with graceful restart a new connection silently replaces the Established one', () => {
  const rig = rigWith();
  const first = rig.establish(openFrom(LOW, { gracefulRestart: restart() }));
  rig.establish(openFrom(LOW, { gracefulRestart: restart({ restarting: true }) }));
  assert.equal(rig.said(first), 'OPEN KEEPALIVE closed');
  assert.deepEqual(
    rig.downs.map((end) => end.recoverable),
    [true],
  );
  assert.equal(rig.negotiated?.open.capabilities.gracefulRestart?.restarting, true);
});

const UNEXPECTED: [title: string, messages: (Uint8Array | Open)[], said: string][] = [
  ['KEEPALIVE in OpenSent', [KEEPALIVE], 'OPEN 5/1 closed'],
  ['UPDATE in OpenSent', [UPDATE], 'OPEN 5/1 closed'],
  ['ROUTE-REFRESH in OpenSent', [REFRESH], 'OPEN 5/1 closed'],
  ['UPDATE in OpenConfirm', [OPEN, UPDATE], 'OPEN KEEPALIVE 5/2 closed'],
  ['OPEN in OpenConfirm', [OPEN, OPEN], 'OPEN KEEPALIVE 5/2 closed'],
  ['OPEN in Established', [OPEN, KEEPALIVE, OPEN], 'OPEN KEEPALIVE 5/3 closed'],
];
for (const [title, messages, said] of UNEXPECTED) {
  test(`RFC 6608 section 3: unexpected ${title}; the data are its type`, () => {
    const rig = rigWith();
    const connection = rig.accept();
    rig.receive(connection, ...messages, UPDATE);
    assert.equal(rig.said(connection), said);
    const last = messages.at(-1);
    assert.equal(rig.lastBody()[2], last instanceof Uint8Array ? last[18] : MESSAGE_TYPE.open);
    assert.equal(rig.session.state, 'Idle');
  });
}

const DELAY = { delayOpenSeconds: 10 };
const DELAYED: [title: string, messages: (Uint8Array | Open)[], waitMs: number, said: string, state: string][] = [
  ['nothing is sent before', [], 9_900, '', 'Active'],
  ['OPEN is sent when the time is over', [], 10_000, 'OPEN', 'OpenSent'],
  ['an OPEN is answered at once', [OPEN], 0, 'OPEN KEEPALIVE', 'OpenConfirm'],
  ['an OPEN with KEEPALIVE is enough', [OPEN, KEEPALIVE], 0, 'OPEN KEEPALIVE', 'Established'],
  ['another message is an error', [KEEPALIVE], 0, '5/0 closed', 'Idle'],
  ['a cease is obeyed', [notification(6, 2)], 0, 'closed', 'Active'],
];
for (const [title, messages, waitMs, said, state] of DELAYED) {
  test(`RFC 4271 section 8.2.2, DelayOpen: ${title}`, () => {
    const rig = rigWith(DELAY);
    const connection = rig.accept();
    rig.run(waitMs);
    if (messages.length > 0) rig.receive(connection, ...messages);
    assert.equal(rig.said(connection), said);
    assert.equal(rig.session.state, state);
  });
}

test('RFC 4271 section 8.2.2, DelayOpen: a connection that we dialled waits in Connect', () => {
  const rig = new SessionRig(peerConfig({ ...DELAY, passive: false }));
  const connection = rig.connect();
  assert.equal(rig.session.state, 'Connect');
  rig.run(10_000);
  assert.equal(rig.said(connection), 'OPEN');
});

const HOLDS: [title: string, messages: (Uint8Array | Open)[], lastsMs: number, said: string][] = [
  ['section 8.2.2: the OPEN is waited for four minutes', [], 240_000, 'OPEN'],
  ['section 6.5: in OpenConfirm for the hold time', [OPEN], 90_000, 'OPEN KEEPALIVE'],
  ['section 6.5: in Established for the hold time', [OPEN, KEEPALIVE], 90_000, 'OPEN KEEPALIVE'],
  ['section 4.2: the smaller hold time counts', [openFrom(LOW, {}, 64512, 30)], 30_000, 'OPEN KEEPALIVE'],
  ['section 4.2: OpenConfirm ends even without', [openFrom(LOW, {}, 64512, 0)], 240_000, 'OPEN KEEPALIVE'],
];
for (const [title, messages, lastsMs, said] of HOLDS) {
  test(`RFC 4271 hold timer, ${title}`, () => {
    const rig = rigWith();
    const connection = rig.accept();
    if (messages.length > 0) rig.receive(connection, ...messages);
    rig.run(lastsMs - 100);
    assert.doesNotMatch(rig.said(connection), /4\/0/);
    rig.run(200);
    assert.match(rig.said(connection), new RegExp(`^${said}( KEEPALIVE)* 4/0 closed$`));
  });
}

test('RFC 4271 hold timer: the OPEN restarts it, however late it came', () => {
  const rig = rigWith();
  const connection = rig.accept();
  rig.run(200_000);
  rig.receive(connection, OPEN);
  rig.run(80_000);
  assert.equal(rig.session.state, 'OpenConfirm');
});

test('RFC 4271 section 4.4: KEEPALIVE and UPDATE restart the hold timer, ROUTE-REFRESH does not', () => {
  for (const [message, survives] of [
    [KEEPALIVE, true],
    [UPDATE, true],
    [REFRESH, false],
  ] as const) {
    const rig = rigWith();
    const connection = rig.establish();
    rig.run(60_000);
    rig.receive(connection, message);
    rig.run(60_000);
    assert.equal(rig.session.state === 'Established', survives);
  }
});

test('RFC 4271 section 4.2: hold time 0 means neither keepalives nor a hold timer', () => {
  const rig = rigWith({ holdTimeSeconds: 0 });
  const connection = rig.establish();
  rig.run(3_600_000);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE');
  assert.equal(rig.session.nextTimer(), undefined);
  assert.equal(rig.session.state, 'Established');
});

const KEEPALIVES: [title: string, config: Partial<PeerConfig>, random: number, everyMs: number][] = [
  ['each third of the hold time', {}, 1, 30_000],
  ['section 10: with jitter', {}, 0, 22_500],
  ['as configured', { keepaliveSeconds: 4 }, 1, 4_000],
  ['not as configured where the hold time would run out', { keepaliveSeconds: 80 }, 1, 30_000],
  ['never more than one a second', { holdTimeSeconds: 3 }, 0, 1_000],
];
for (const [title, config, random, everyMs] of KEEPALIVES) {
  test(`RFC 4271 section 4.4: keepalives, ${title}`, () => {
    const rig = new SessionRig(peerConfig(config), () => random);
    rig.establish();
    assert.equal(rig.session.nextTimer(), everyMs);
  });
}

test('RFC 4271 section 4.4: an UPDATE sent counts as keepalive', () => {
  const rig = rigWith();
  const connection = rig.establish();
  for (let index = 0; index < 8; index++) {
    rig.run(20_000);
    rig.session.send(rig.now, UPDATE);
    rig.receive(connection, KEEPALIVE);
  }
  assert.equal(rig.said(connection), `OPEN KEEPALIVE${' UPDATE'.repeat(8)}`);
});

const SEND_HOLDS: [holdTimeSeconds: number, lastsMs: number][] = [
  [90, 480_000],
  [3_600, 7_200_000],
  [0, 480_000],
];
for (const [holdTimeSeconds, lastsMs] of SEND_HOLDS) {
  test(`RFC 9687 section 4: a blocked connection with hold time ${holdTimeSeconds} is ended`, () => {
    const rig = rigWith({ holdTimeSeconds });
    const connection = rig.establish(openFrom(LOW, {}, 64512, holdTimeSeconds));
    rig.session.blocked(rig.now, connection);
    rig.run(60_000);
    rig.session.drained(rig.now, connection);
    rig.session.blocked(rig.now, connection);
    const start = rig.now;
    while (rig.session.state === 'Established' && rig.now - start < 10_000_000) {
      rig.receive(connection, KEEPALIVE);
      rig.run(20_000);
    }
    assert.equal(rig.now - start, lastsMs);
    assert.match(rig.said(connection), /8\/0 closed$/);
  });
}

test('RFC 4271 section 8.1: a passive side never dials, not even after a loss or an error', () => {
  const rig = rigWith();
  const connection = rig.establish();
  rig.session.closed(rig.now, connection, 'lost');
  rig.run(600_000);
  rig.receive(rig.accept(), KEEPALIVE);
  assert.equal(rig.session.state, 'Idle');
  rig.run(600_000);
  assert.equal(rig.session.state, 'Active');
  assert.equal(rig.dials(), 0);
});

test('RFC 4271 section 8.1.1: tries to connect follow with growing waits up to what is configured', () => {
  const rig = new SessionRig(peerConfig({ passive: false, connectRetrySeconds: 3 }), () => 1);
  const at: number[] = [];
  for (let tries = 0; tries < 6; tries++) {
    const before = rig.dials();
    while (rig.dials() === before) rig.run(100);
    at.push(rig.now);
    const dialled = rig.outputs.findLast((output) => output.kind === 'connect');
    assert.ok(dialled?.kind === 'connect');
    rig.session.connectFailed(rig.now, dialled.connection, 'ECONNREFUSED');
    assert.equal(rig.session.lastError, 'connecting failed: ECONNREFUSED');
  }
  assert.deepEqual(
    at.slice(1).map((time, index) => time - (at[index] ?? 0)),
    [500, 1_000, 2_000, 3_000, 3_000],
  );
  rig.establish();
  const established = rig.accept();
  rig.session.closed(rig.now, established, 'a stray one');
  rig.session.closed(rig.now, 1 as typeof established, 'lost');
  const before = rig.dials();
  rig.run(500);
  assert.equal(rig.dials(), before + 1, 'waits are forgotten once a session was up');
});

test('RFC 4271 section 8.1.1: a SYN without an answer is given up', () => {
  const rig = new SessionRig(ACTIVE);
  rig.run(5_500);
  assert.equal(rig.outputs.find((output) => output.kind === 'close')?.reason, 'connecting timed out');
  rig.run(1_000);
  assert.equal(rig.dials(), 2);
});

test('a connection of the peer on which nothing comes does not keep us from dialling', () => {
  const rig = new SessionRig(ACTIVE);
  rig.accept();
  const ours = rig.connect();
  rig.session.closed(rig.now, ours, 'lost');
  const again = rig.connect();
  rig.receive(again, OPEN, KEEPALIVE);
  assert.equal(rig.session.state, 'Established');
});

/** How long the session is Idle after each of so many errors in a row, with `upForMs` in Established before each. */
function holds(errors: number, upForMs: number): number[] {
  const rig = new SessionRig(peerConfig(), () => 1);
  return Array.from({ length: errors }, () => {
    while (rig.session.state === 'Idle') rig.run(1_000);
    const connection = rig.establish();
    for (let up = 0; up < upForMs; up += 30_000) {
      rig.receive(connection, KEEPALIVE);
      rig.run(30_000);
    }
    rig.receive(connection, OPEN);
    assert.equal(rig.session.state, 'Idle');
    return (rig.session.nextTimer() ?? 0) - rig.now;
  });
}

test('RFC 4271 section 8.1.1: the idle hold time grows with oscillations, and is small again after a stable time', () => {
  assert.deepEqual(holds(6, 0), [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  assert.deepEqual(holds(3, 270_000), [5_000, 10_000, 20_000]);
  assert.deepEqual(holds(3, 300_000), [5_000, 5_000, 5_000]);
});

test('RFC 4271 section 8.1.1, DampPeerOscillations: a peer that errs on and on is not listened to for a while', () => {
  const rig = rigWith();
  const errs = (): string => {
    const connection = rig.accept();
    rig.receive(connection, KEEPALIVE);
    return rig.said(connection);
  };
  for (let errors = 0; errors < 6; errors++) assert.equal(errs(), 'OPEN 5/1 closed');
  assert.equal(errs(), '6/5 closed');
  assert.match(rig.session.log.entries(rig.now).at(-1)?.text ?? '', /refused: 6 errors in a row/);
  rig.run(60_000);
  assert.equal(errs(), 'OPEN 5/1 closed');
});

const ENDINGS: [title: string, theirs: Partial<Capabilities>, end: (rig: SessionRig) => void, recoverable: boolean][] =
  [
    ['RFC 4724 section 4.2: a lost connection', { gracefulRestart: restart() }, lose, true],
    ['RFC 4724 section 4: a NOTIFICATION', { gracefulRestart: restart() }, told(6, 4), false],
    ['RFC 8538 section 4: a NOTIFICATION', { gracefulRestart: restart({ notification: true }) }, told(6, 4), true],
    ['RFC 8538 section 4: an error', { gracefulRestart: restart({ notification: true }) }, told(3, 1), true],
    ['RFC 8538 section 3.1: a hard reset', { gracefulRestart: restart({ notification: true }) }, told(6, 9), false],
    ['RFC 4724 section 4: hold timer', { gracefulRestart: restart() }, silence, false],
    ['RFC 8538 section 4.1: hold timer', { gracefulRestart: restart({ notification: true }) }, silence, true],
    [
      'RFC 8538 section 4: our error',
      { gracefulRestart: restart({ notification: true }) },
      ours('administrativeReset'),
      true,
    ],
    [
      'RFC 8538 section 5: our shutdown',
      { gracefulRestart: restart({ notification: true }) },
      ours('administrativeShutdown'),
      false,
    ],
    ['RFC 9384 section 2: BFD', { gracefulRestart: restart({ notification: true }) }, ours('bfdDown'), false],
  ];
for (const [title, theirs, end, recoverable] of ENDINGS) {
  test(`${title} ${recoverable ? 'can' : 'cannot'} be bridged`, () => {
    const rig = rigWith();
    rig.establish(openFrom(LOW, theirs));
    end(rig);
    assert.deepEqual(
      rig.downs.map((down) => down.recoverable),
      [recoverable],
    );
  });
}
function lose(rig: SessionRig): void {
  rig.session.closed(rig.now, 1 as Parameters<typeof rig.session.closed>[1], 'lost');
}
function told(code: number, subcode: number): (rig: SessionRig) => void {
  return (rig) => rig.receive(1 as Parameters<typeof rig.receive>[0], notification(code, subcode));
}
function silence(rig: SessionRig): void {
  rig.run(100_000);
}
function ours(name: ErrorName): (rig: SessionRig) => void {
  return (rig) => rig.session.reset(rig.now, bgpError(name, 'test'));
}

const HARD: [name: ErrorName, withN: string, withoutN: string][] = [
  ['administrativeShutdown', '09 0602', '02'],
  ['peerDeconfigured', '09 0603', '03'],
  ['maximumPrefixes', '09 0601', '01'],
  ['bfdDown', '09 060a', '0a'],
  ['administrativeReset', '04', '04'],
  ['configurationChange', '06', '06'],
];
for (const [name, withN, withoutN] of HARD) {
  test(`RFC 8538 section 3.1: ${name} is ${withN.length > 2 ? 'put into a hard reset' : 'sent as it is'}`, () => {
    for (const [notificationBit, body] of [
      [true, withN],
      [false, withoutN],
    ] as const) {
      const rig = rigWith();
      rig.establish(openFrom(LOW, { gracefulRestart: restart({ notification: notificationBit }) }));
      rig.session.reset(rig.now, bgpError(name, 'test'));
      assert.equal(toHex(rig.lastBody()), `06${body.replace(' ', '')}`);
    }
  });
}

test('RFC 4271 section 6.4: what the peer says last is kept in words, nothing is answered, nothing after it counts', () => {
  const rig = rigWith();
  const connection = rig.establish();
  rig.receive(connection, notification(6, 2, shutdownData('hi')), UPDATE);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE closed');
  assert.equal(rig.updates.length, 0);
  assert.equal(rig.session.lastError, 'the peer says: cease: administrative shutdown (6/2): hi');
  const { lastNotification, flaps, state } = viewSession(rig.now, rig.session);
  assert.equal(lastNotification?.text, 'cease: administrative shutdown (6/2): hi');
  assert.equal(lastNotification?.direction, 'received');
  assert.deepEqual([flaps, state], [1, 'Active']);
});

test('RFC 9003: that the peer is shut down is shown on, though dialling it fails, until it speaks again', () => {
  const rows = [
    { body: notification(6, 2, shutdownData('hi')), shown: /administrative shutdown \(6\/2\): hi$/ },
    { body: notification(6, 9, Uint8Array.of(6, 2, 2, 0x68, 0x69)), shown: /administrative shutdown \(6\/2\): hi$/ },
    { body: notification(6, 3), shown: /peer de-configured \(6\/3\)$/ },
    { body: notification(6, 4), shown: /^connecting failed: ECONNRESET/ },
  ];
  for (const { body, shown } of rows) {
    const rig = new SessionRig(ACTIVE);
    const first = rig.connect();
    rig.receive(first, OPEN, KEEPALIVE, body);
    const refused = rig.connect();
    rig.session.connectFailed(rig.now, refused, 'ECONNRESET');
    assert.match(rig.session.lastError, shown);
    const again = rig.connect();
    rig.receive(again, OPEN, KEEPALIVE);
    rig.session.closed(rig.now, again, 'ECONNRESET');
    assert.equal(rig.session.lastError, 'ECONNRESET');
  }
});

test('RFC 4271 section 6.3: after a fatal UPDATE nothing more of the same bytes counts', () => {
  const rig = rigWith();
  const connection = rig.establish();
  rig.updateError = bgpError('invalidNetworkField', 'test');
  rig.receive(connection, UPDATE, UPDATE, KEEPALIVE);
  assert.equal(rig.updates.length, 1);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE 3/10 closed');
});

test('an owner that resets the session while it reads an UPDATE, and then finds an error, ends it once', () => {
  const rig = rigWith();
  const connection = rig.establish();
  rig.update = () => {
    rig.session.reset(rig.now, bgpError('maximumPrefixes', 'test'));
    return bgpError('malformedAttributeList', 'test');
  };
  rig.receive(connection, UPDATE, UPDATE);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE 6/1 closed');
  assert.equal(rig.downs.length, 1);
});

test('RFC 4271 section 6.1: a stream out of step ends the session after what came before', () => {
  const rig = rigWith();
  const connection = rig.establish();
  rig.receive(connection, UPDATE, new Uint8Array(19));
  assert.equal(rig.updates.length, 1);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE 1/1 closed');
});

test('RFC 8654 section 4: a long UPDATE is taken only where both have agreed', () => {
  const long = encodeMessage(MESSAGE_TYPE.update, new Uint8Array(5000));
  for (const extendedMessages of [true, false]) {
    const rig = rigWith();
    const connection = rig.establish(openFrom(LOW, { extendedMessages }));
    rig.receive(connection, long);
    assert.equal(rig.updates.length, extendedMessages ? 1 : 0);
    assert.equal(/1\/2/.test(rig.said(connection)), !extendedMessages);
  }
});

test('RFC 9003: a peer that is shut down is told why, refuses connections and does not dial', () => {
  const rig = new SessionRig(ACTIVE);
  const connection = rig.connect();
  rig.receive(connection, OPEN, KEEPALIVE);
  const shut = peerConfig({ passive: false, shutdown: 'new rack' });
  rig.session.reconfigure(rig.now, shut);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE 6/2 closed');
  assert.equal(toHex(rig.lastBody()), `060208${toHex(new TextEncoder().encode('new rack'))}`);
  const dials = rig.dials();
  rig.run(600_000);
  const refused = rig.accept();
  assert.equal(rig.said(refused), '6/2 closed');
  assert.equal(rig.session.state, 'Idle');
  assert.equal(rig.dials(), dials);
  rig.session.reconfigure(rig.now, ACTIVE);
  rig.receive(rig.connect(), OPEN, KEEPALIVE);
  assert.equal(rig.session.state, 'Established');
  const born = new SessionRig(shut);
  born.run(600_000);
  assert.deepEqual([born.session.state, born.dials()], ['Idle', 0]);
});

test('RFC 4486 section 4: a session that is stopped stays so', () => {
  const rig = new SessionRig(ACTIVE);
  const connection = rig.connect();
  rig.receive(connection, OPEN, KEEPALIVE);
  rig.session.stop(rig.now, bgpError('peerDeconfigured', 'gone'));
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE 6/3 closed');
  assert.equal(rig.session.nextTimer(), undefined);
  assert.equal(rig.session.state, 'Idle');
});

const REFUSED_OFFERS: [title: string, code: string, subcode: number, kept: Partial<Capabilities>][] = [
  ['2/4: no capabilities at all', '2/4', 4, {}],
  ['2/7: only what is needed', '2/7', 7, { families: [4, 6], fourOctetAsn: 64512 }],
];
for (const [title, , subcode, kept] of REFUSED_OFFERS) {
  test(`RFC 5492 section 3: a peer that refuses our OPEN with ${title} the next time, at once, and once`, () => {
    const rig = new SessionRig(ACTIVE, () => 1);
    rig.receive(rig.connect(), notification(2, subcode));
    assert.equal(rig.session.state, 'Active');
    const second = rig.connect();
    assert.ok(rig.now < 2_000);
    assert.deepEqual(rig.openOn(second).capabilities, { ...NO_CAPABILITIES, ...kept });
    rig.receive(second, notification(2, subcode));
    assert.equal(rig.session.state, 'Idle');
    const third = rig.connect();
    assert.equal(rig.openOn(third).capabilities.routeRefresh, true);
  });
}

test('RFC 2918, RFC 7313: refreshes are passed on and sent as agreed', () => {
  const rig = rigWith({ families: [4] });
  const connection = rig.establish(openFrom(LOW, { enhancedRouteRefresh: true }));
  rig.receive(
    connection,
    REFRESH,
    encodeRefresh({ family: 4, kind: 'begin' }),
    encodeRefresh({ family: 6, kind: 'end' }),
  );
  assert.deepEqual(rig.refreshes, [
    { family: 4, kind: 'request' },
    { family: 4, kind: 'begin' },
  ]);
  assert.equal(rig.session.sendRefresh(rig.now, 4, 'request'), true);
  assert.equal(rig.session.sendRefresh(rig.now, 4, 'end'), true);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE ROUTE-REFRESH ROUTE-REFRESH');
  const plain = rigWith();
  plain.establish(openFrom(LOW, { routeRefresh: false }));
  assert.equal(plain.session.sendRefresh(plain.now, 4, 'request'), false);
  assert.equal(plain.session.sendRefresh(plain.now, 4, 'begin'), false);
});

test('RFC 7313 section 5: a refresh of the wrong length ends the session', () => {
  const rig = rigWith();
  const connection = rig.establish(openFrom(LOW, { enhancedRouteRefresh: true }));
  rig.receive(connection, encodeMessage(MESSAGE_TYPE.routeRefresh, Uint8Array.of(0, 1, 1, 1, 0)));
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE 7/1 closed');
});

test('RFC 4486 section 4: a flood of messages other than UPDATE ends the session; a steady stream does not', () => {
  for (const message of [KEEPALIVE, REFRESH]) {
    const rig = rigWith();
    const connection = rig.establish();
    for (let count = 0; count < 400; count++) {
      rig.receive(connection, message, UPDATE, UPDATE, UPDATE);
      rig.run(200);
    }
    assert.equal(rig.session.state, 'Established');
    rig.receive(connection, ...Array.from({ length: 300 }, () => message));
    assert.equal(rig.said(connection), 'OPEN KEEPALIVE KEEPALIVE KEEPALIVE KEEPALIVE 6/8 closed');
    assert.match(rig.session.lastError, /a flood of messages of type/);
  }
});

test('a peer that opens ever more connections loses the oldest', () => {
  const rig = rigWith();
  const connections = Array.from({ length: 6 }, () => rig.accept());
  assert.deepEqual(
    connections.map((connection) => rig.said(connection)),
    ['OPEN closed', 'OPEN closed', 'OPEN', 'OPEN', 'OPEN', 'OPEN'],
  );
});

test('a changed configuration is taken over softly, or resets the session and says why', () => {
  const rig = rigWith();
  const connection = rig.establish();
  rig.session.reconfigure(rig.now, peerConfig({ description: 'new', keepaliveSeconds: 2, prefixesMax: 7 }));
  assert.equal(rig.session.state, 'Established');
  rig.run(4_000);
  assert.equal(rig.said(connection), 'OPEN KEEPALIVE KEEPALIVE KEEPALIVE');
  rig.session.reconfigure(rig.now, peerConfig({ families: [6] }));
  assert.match(rig.said(connection), /6\/6 closed$/);
  assert.match(rig.session.lastError, /changed: families/);
  rig.establish();
  assert.deepEqual(rig.negotiated?.families, [6]);
});

test('a peer that is to be waited for from now on is not dialled any more, and the other way round', () => {
  const rig = new SessionRig(ACTIVE);
  rig.session.reconfigure(rig.now, peerConfig());
  assert.equal(rig.session.nextTimer(), undefined);
  rig.run(60_000);
  assert.equal(rig.dials(), 0);
  rig.session.reconfigure(rig.now, ACTIVE);
  rig.run(0);
  assert.equal(rig.dials(), 1);
});

test('a new configuration ends the wait after an error of the old one', () => {
  const rig = new SessionRig(peerConfig({ passive: false, asn: asn(65000) }));
  rig.receive(rig.connect(), OPEN);
  assert.match(rig.session.lastError, /bad peer AS \(2\/2\): the peer is in AS 64512, configured is AS 65000/);
  assert.equal(rig.session.state, 'Idle');
  rig.session.reconfigure(rig.now, ACTIVE);
  const before = rig.now;
  rig.receive(rig.connect(), OPEN, KEEPALIVE);
  assert.ok(rig.now - before < 1_000);
});

test('what people are shown of a session', () => {
  const rig = rigWith();
  const connection = rig.establish(openFrom(LOW, { hostName: undefined, unknown: [] }));
  rig.session.send(rig.now, Uint8Array.from([...UPDATE, ...UPDATE]));
  rig.receive(connection, UPDATE, KEEPALIVE);
  rig.run(1_000);
  const view = viewSession(rig.now, rig.session);
  assert.deepEqual(view.sent, { opens: 1, updates: 2, notifications: 0, keepalives: 1, refreshes: 0, bytes: 132 });
  assert.deepEqual(view.received, { opens: 1, updates: 1, notifications: 0, keepalives: 2, refreshes: 0, bytes: 112 });
  assert.deepEqual(view.capabilitiesReceived, ['multiprotocol', 'route refresh', 'four-octet AS']);
  assert.equal(view.capabilitiesSent.includes('extended messages'), true);
  assert.deepEqual([view.state, view.forMs, view.established, view.flaps], ['Established', 1_000, 1, 0]);
  assert.deepEqual([view.holdTimeSeconds, view.keepaliveSeconds, view.routerId], [90, 30, LOW]);
  assert.equal(view.localAddress, OURS);
  assert.deepEqual(
    view.log.map((entry) => entry.text),
    [
      'Idle → Active: started',
      'Active → OpenSent: accepted',
      'OpenSent → OpenConfirm: OPEN: AS 64512, router 1.0.0.1, hold time 90 s, multiprotocol, route refresh, four-octet AS',
      'OpenConfirm → Established: KEEPALIVE',
    ],
  );
});

test('a link-local peer is named with its device', () => {
  const rig = rigWith({ address: ip('fe80::1'), device: 'eth0' });
  const output = rig.outputs[0];
  assert.equal(output?.kind === 'session' ? output.peer : '', 'fe80::1%eth0');
});
