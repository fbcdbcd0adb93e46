import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { after } from '../lib/clock.ts';
import type { ControlPacket, SessionState } from './packet.ts';
import { Alone, Pair, PEER } from './wire.suite.ts';

describe('RFC 5880 section 6.2: the state machine', () => {
  const begin: Readonly<Record<string, () => Alone>> = {
    Down: () => {
      const alone = new Alone();
      alone.do({ kind: 'watch', peer: PEER });
      return alone;
    },
    Init: () => {
      const alone = begin['Down']!();
      alone.hears({ state: 'Down' });
      return alone;
    },
    Up: () => Alone.up(),
    AdminDown: () => {
      const alone = Alone.up();
      alone.do({ kind: 'unwatch', name: PEER.name });
      return alone;
    },
  };
  const rows: readonly (readonly [SessionState, SessionState, SessionState, string])[] = [
    ['Down', 'AdminDown', 'Down', 'no diagnostic'],
    ['Down', 'Down', 'Init', 'no diagnostic'],
    ['Down', 'Init', 'Up', 'no diagnostic'],
    ['Down', 'Up', 'Down', 'no diagnostic'],
    ['Init', 'AdminDown', 'Down', 'neighbour signalled session down'],
    ['Init', 'Down', 'Init', 'no diagnostic'],
    ['Init', 'Init', 'Up', 'no diagnostic'],
    ['Init', 'Up', 'Up', 'no diagnostic'],
    ['Up', 'AdminDown', 'Down', 'neighbour signalled session down'],
    ['Up', 'Down', 'Down', 'neighbour signalled session down'],
    ['Up', 'Init', 'Up', 'no diagnostic'],
    ['Up', 'Up', 'Up', 'no diagnostic'],
    ['AdminDown', 'AdminDown', 'AdminDown', 'administratively down'],
    ['AdminDown', 'Down', 'AdminDown', 'administratively down'],
    ['AdminDown', 'Init', 'AdminDown', 'administratively down'],
    ['AdminDown', 'Up', 'AdminDown', 'administratively down'],
  ];
  for (const [from, received, to, diagnostic] of rows) {
    test(`${from}, receives ${received}: ${to}`, () => {
      const alone = begin[from]!();
      assert.equal(alone.view()?.state, from);
      const before = alone.sent.length;
      alone.hears({ state: received });
      assert.equal(alone.view()?.state, to);
      assert.equal(alone.view()?.diagnostic, diagnostic);
      assert.equal(alone.sent.length - before, from === to ? 0 : 1, 'a change leaves at once, and only a change');
      assert.equal(alone.downs.length, from === 'Up' && received === 'Down' ? 1 : 0);
    });
  }

  test('section 6.8.4: silence while Up or Init is Down; a session that was never Up is nobody’s business', () => {
    for (const from of ['Init', 'Up'] as const) {
      const alone = begin[from]!();
      alone.run(899);
      assert.equal(alone.view()?.state, from);
      alone.run(1);
      assert.equal(alone.view()?.state, 'Down');
      assert.equal(alone.view()?.diagnostic, 'control detection time expired');
      assert.deepEqual(alone.downs, from === 'Up' ? ['nothing was heard from the peer for 900 ms'] : []);
      const last = alone.sent.at(-1);
      assert.equal(last?.state, 'Down');
      assert.equal(last?.yourDiscriminator, 0, 'section 6.8.1: the discriminator of a silent peer is forgotten');
    }
  });

  test('section 6.8.1: a peer that falls silent while Down is forgotten as well', () => {
    const alone = begin['Down']!();
    alone.hears({ state: 'AdminDown', yourDiscriminator: 0 });
    assert.equal(alone.view()?.remoteDiscriminator, 77);
    alone.run(901);
    assert.equal(alone.view()?.remoteDiscriminator, 0);
    assert.equal(alone.view()?.detectionMs, undefined);
  });
});

describe('RFC 5880 section 6.8.6: reception', () => {
  /** What each wrong packet must leave untouched. */
  const rows: readonly (readonly [string, Partial<ControlPacket>, { multihop?: boolean }])[] = [
    ['a discriminator that no session has', { state: 'Down', yourDiscriminator: 12345 }, {}],
    ['several hops for a session of one link, by address', { state: 'Down' }, { multihop: true }],
    ['several hops for a session of one link, by discriminator', { state: 'AdminDown' }, { multihop: true }],
  ];
  for (const [title, packet, where] of rows) {
    test(`dropped: ${title}`, () => {
      const alone = Alone.up();
      assert.deepEqual(alone.hears(packet, where), []);
      assert.equal(alone.view()?.state, 'Up');
    });
  }

  test('our discriminator finds the session, wherever the packet came from (section 6.3)', () => {
    const alone = Alone.up();
    const yourDiscriminator = alone.view()!.localDiscriminator;
    alone.hears({ state: 'Down', yourDiscriminator }, { from: PEER.localAddress });
    assert.equal(alone.view()?.state, 'Down');
  });

  test('without it the address does, together with the device', () => {
    const alone = new Alone();
    alone.do({ kind: 'watch', peer: { ...PEER, device: 'eth0' } });
    alone.hears({ state: 'Down' });
    alone.hears({ state: 'Down' }, { device: 'eth1' });
    alone.hears({ state: 'Down' }, { from: PEER.localAddress, device: 'eth0' });
    assert.equal(alone.view()?.state, 'Down');
    alone.hears({ state: 'Down' }, { device: 'eth0' });
    assert.equal(alone.view()?.state, 'Init');
  });

  test('a poll is answered at once, with F and without P', () => {
    const alone = Alone.up();
    const before = alone.sent.length;
    alone.hears({ state: 'Up', poll: true });
    const [answer, ...more] = alone.sent.slice(before);
    assert.deepEqual([answer?.final, answer?.poll, more.length], [true, false, 0]);
  });

  test('a poll that changes the state is answered by the one packet that tells the change', () => {
    const alone = new Alone();
    alone.do({ kind: 'watch', peer: PEER });
    alone.run(0);
    alone.hears({ state: 'Init', poll: true });
    const answers = alone.sent.slice(1);
    assert.deepEqual(
      answers.map(({ state, final, poll }) => [state, final, poll]),
      [['Up', true, false]],
    );
  });

  test('the peer’s discriminator is repeated', () => {
    const alone = new Alone();
    alone.do({ kind: 'watch', peer: PEER });
    alone.hears({ state: 'Down', myDiscriminator: 4_000_000_000 });
    assert.equal(alone.sent.at(-1)?.yourDiscriminator, 4_000_000_000);
  });
});

describe('RFC 5880 sections 6.5 and 6.8.3: intervals and polls', () => {
  test('one packet a second while not Up; the configured interval once Up, told by a poll', () => {
    const alone = new Alone();
    alone.do({ kind: 'watch', peer: PEER });
    alone.run(10_000);
    assert.ok(alone.sent.length >= 10 && alone.sent.length <= 14, `${alone.sent.length} packets in 10 s`);
    assert.ok(
      alone.sent.every(({ desiredMinTxUs, requiredMinRxUs }) => desiredMinTxUs === 1e6 && requiredMinRxUs === 3e5),
    );
    alone.hears({ state: 'Init' });
    const told = alone.sent.at(-1);
    assert.deepEqual([told?.state, told?.desiredMinTxUs, told?.poll], ['Up', 300_000, true]);
    alone.run(500);
    assert.equal(alone.sent.at(-1)?.poll, true, 'the poll goes on until it is answered');
    alone.hears({ state: 'Up', final: true });
    alone.run(400);
    assert.equal(alone.sent.at(-1)?.poll, false);
  });

  test('back to one packet a second after Up', () => {
    const alone = Alone.up();
    alone.run(20_000);
    const late = alone.sent.filter(({ at, state }) => state === 'Down' && at > 10_000);
    assert.ok(late.length >= 10 && late.length <= 15, `${late.length} packets in about 11 s`);
    assert.equal(late[0]?.desiredMinTxUs, 1_000_000);
  });

  test('section 6.8.2: we never send faster than the peer can receive', () => {
    const alone = Alone.up();
    alone.hears({ state: 'Up', requiredMinRxUs: 2_000_000, desiredMinTxUs: 10_000_000 });
    assert.equal(alone.view()?.sendIntervalMs, 2_000);
    const before = alone.sent.length;
    alone.run(20_000);
    const sent = alone.sent.length - before;
    assert.ok(sent >= 10 && sent <= 14, `${sent} packets in 20 s`);
  });

  test('section 6.8.4: detection time is the peer’s multiplier times the slower of both', () => {
    const alone = Alone.up();
    alone.hears({ state: 'Up', multiplier: 5, desiredMinTxUs: 100_000 });
    assert.equal(alone.view()?.detectionMs, 1_500);
    alone.hears({ state: 'Up', multiplier: 2, desiredMinTxUs: 700_000 });
    assert.equal(alone.view()?.detectionMs, 1_400);
  });

  test('section 6.8.3: slower sending waits for the end of its poll, faster does not', () => {
    const alone = Alone.up();
    alone.do({ kind: 'watch', peer: { ...PEER, intervalMs: 900 } });
    assert.equal(alone.view()?.sendIntervalMs, 300);
    assert.equal(alone.view()?.detectionMs, 2_700, 'more silence is allowed at once');
    alone.run(300);
    assert.deepEqual([alone.sent.at(-1)?.poll, alone.sent.at(-1)?.desiredMinTxUs], [true, 900_000]);
    alone.hears({ state: 'Up', final: true });
    assert.equal(alone.view()?.sendIntervalMs, 900);
    alone.do({ kind: 'watch', peer: { ...PEER, intervalMs: 400 } });
    assert.equal(alone.view()?.sendIntervalMs, 400);
    assert.equal(alone.view()?.detectionMs, 2_700, 'less silence only when the peer knows');
    alone.hears({ state: 'Up', final: true });
    assert.equal(alone.view()?.detectionMs, 1_200);
    assert.equal(alone.view()?.state, 'Up');
  });

  test('an answer to a poll from before a second change does not end the second', () => {
    const alone = Alone.up();
    alone.do({ kind: 'watch', peer: { ...PEER, intervalMs: 900 } });
    alone.do({ kind: 'watch', peer: { ...PEER, intervalMs: 800 } });
    alone.hears({ state: 'Up', final: true });
    assert.equal(alone.view()?.sendIntervalMs, 300);
    alone.hears({ state: 'Up', final: true });
    assert.equal(alone.view()?.sendIntervalMs, 800);
  });

  const jitters = [
    { multiplier: 3, least: 0.75, most: 1 },
    { multiplier: 1, least: 0.75, most: 0.9 },
  ];
  for (const { multiplier, least, most } of jitters) {
    test(`section 6.8.7: with multiplier ${multiplier} the interval is ${least} to ${most} of the agreed`, () => {
      const alone = Alone.up({ ...PEER, multiplier });
      alone.hears({ state: 'Up', desiredMinTxUs: 100_000_000 });
      alone.run(1_000);
      const start = alone.sent.length;
      alone.run(150_000);
      const gaps = alone.sent
        .slice(start)
        .flatMap(({ at }, index, all) => (index === 0 ? [] : [at - all[index - 1]!.at]));
      assert.ok(gaps.length > 400);
      const [min, max] = [Math.min(...gaps) / 300, Math.max(...gaps) / 300];
      assert.ok(min >= least && min < least + 0.02 && max <= most && max > most - 0.02, `${min} to ${max}`);
    });
  }

  test('section 6.8.7: nothing is sent periodically to a peer that wants nothing (required min RX 0)', () => {
    const alone = new Alone();
    alone.do({ kind: 'watch', peer: PEER });
    alone.hears({ state: 'Init', requiredMinRxUs: 0, desiredMinTxUs: 100_000_000 });
    const before = alone.sent.length;
    alone.run(10_000);
    assert.equal(alone.sent.length, before);
    alone.hears({ state: 'Up', requiredMinRxUs: 0, desiredMinTxUs: 100_000_000, poll: true });
    assert.equal(alone.sent.at(-1)?.final, true, 'a poll is answered nevertheless');
  });

  test('section 6.6: demand mode of the peer silences us while both are Up, except for polls and answers', () => {
    const alone = Alone.up();
    const says = { state: 'Up', demand: true, desiredMinTxUs: 100_000_000 } as const;
    alone.hears(says);
    const before = alone.sent.length;
    alone.run(10_000);
    assert.equal(alone.sent.length, before);
    alone.hears({ ...says, poll: true });
    assert.equal(alone.sent.at(-1)?.final, true);
    alone.do({ kind: 'watch', peer: { ...PEER, intervalMs: 400 } });
    alone.run(500);
    assert.equal(alone.sent.at(-1)?.poll, true, 'our own poll is sent');
    alone.hears({ ...says, demand: false });
    alone.run(10_000);
    assert.ok(alone.sent.length > before + 20, 'the end of demand mode is the end of silence');
  });
});

describe('the end of a session', () => {
  test('section 6.8.16: the peer is told for a detection time, then the session goes', () => {
    const alone = Alone.up();
    const before = alone.sent.length;
    alone.do({ kind: 'unwatch', name: PEER.name });
    alone.run(2_999);
    const told = alone.sent.slice(before);
    assert.ok(told.length >= 3 && told.every(({ state, diagnostic }) => state === 'AdminDown' && diagnostic === 7));
    alone.run(1);
    assert.equal(alone.view(), undefined);
    assert.equal(alone.machine.nextTimer(), undefined);
    assert.deepEqual(alone.outputs.at(-1), { kind: 'close', name: PEER.name });
  });

  test('a session that is Down goes at once; watching again during the farewell begins anew', () => {
    const alone = new Alone();
    alone.do({ kind: 'watch', peer: PEER });
    alone.do({ kind: 'unwatch', name: PEER.name });
    assert.equal(alone.view(), undefined);
    const up = Alone.up();
    const old = up.view()!.localDiscriminator;
    up.do({ kind: 'unwatch', name: PEER.name });
    up.do({ kind: 'watch', peer: PEER });
    assert.equal(up.view()?.state, 'Down');
    assert.notEqual(up.view()?.localDiscriminator, old);
    up.hears({ state: 'Down' });
    assert.equal(up.view()?.state, 'Init');
  });

  test('shutdown: AdminDown to all that are Up, and nothing is left', () => {
    const alone = Alone.up();
    alone.do({ kind: 'watch', peer: { ...PEER, name: 'other', address: PEER.localAddress } });
    const outputs = alone.do({ kind: 'shutdown' });
    assert.deepEqual(
      outputs.map(({ kind }) => kind),
      ['state', 'send', 'close', 'close'],
    );
    assert.equal(alone.sent.at(-1)?.state, 'AdminDown');
    assert.equal(alone.machine.nextTimer(), undefined);
  });

  test('RFC 5882 section 3.2: the peer’s AdminDown ends the session and says nothing about the path', () => {
    const alone = Alone.up();
    alone.hears({ state: 'AdminDown' });
    assert.equal(alone.view()?.state, 'Down');
    alone.run(60_000);
    assert.deepEqual(alone.downs, []);
  });
});

describe('without flapping on a loaded machine', () => {
  test('packets that wait are read before the tick, so being late by itself is no silence', () => {
    const alone = Alone.up();
    alone.now = after(alone.now, 5_000);
    alone.hears({ state: 'Up' });
    alone.do({ kind: 'tick' });
    assert.equal(alone.view()?.state, 'Up');
  });

  test('a stall of more than an interval gives the peer one more detection time, but only one', () => {
    const alone = Alone.up();
    alone.stall(5_000);
    assert.equal(alone.view()?.state, 'Up');
    alone.run(850);
    assert.equal(alone.view()?.state, 'Up');
    alone.stall(1_000);
    assert.equal(alone.view()?.state, 'Down');
  });

  test('each stall of a peer that is heard in between is forgiven', () => {
    const alone = Alone.up();
    for (let count = 0; count < 5; count++) {
      alone.stall(5_000);
      assert.equal(alone.view()?.state, 'Up');
      alone.run(200);
      alone.hears({ state: 'Up' });
    }
  });

  test('a stall that is over before the detection time counts as well', () => {
    const alone = Alone.up();
    alone.stall(800);
    alone.run(850);
    assert.equal(alone.view()?.state, 'Up');
    alone.run(50);
    assert.equal(alone.view()?.state, 'Down');
  });

  test('a tick that is late by less than an interval gives nothing', () => {
    const alone = Alone.up();
    alone.run(899);
    alone.now = after(alone.machine.nextTimer()!, 250);
    alone.do({ kind: 'tick' });
    assert.equal(alone.view()?.state, 'Down');
  });
});

describe('two machines across a wire', () => {
  test('come up in two packets, agree on 300 ms, and stay up for an hour', () => {
    const pair = new Pair(7);
    pair.run(10);
    assert.deepEqual(pair.states, ['Up', 'Up']);
    pair.run(3_600_000);
    for (const end of pair.ends) {
      assert.deepEqual(end.downs, []);
      assert.equal(end.view()?.sendIntervalMs, 300);
      assert.equal(end.view()?.detectionMs, 900);
      const perSecond = end.sent.length / 3_600;
      assert.ok(perSecond > 3.5 && perSecond < 4.2, `${perSecond} packets a second`);
    }
  });

  test('notice within a second that packets are lost, in both directions or in one', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const pair = new Pair(seed);
      pair.run(3_000 + seed * 7);
      pair.loses = seed % 2 === 0 ? () => true : (to) => to === 0;
      pair.run(1_000);
      assert.deepEqual(
        pair.ends.map(({ downs }) => downs.length),
        [1, 1],
        `seed ${seed}`,
      );
      pair.loses = () => false;
      pair.run(5_000);
      assert.deepEqual(pair.states, ['Up', 'Up']);
    }
  });

  test('changing intervals on either side, at any time, loses nothing', () => {
    const pair = new Pair(3, { intervalMs: 50 }, { intervalMs: 1_200, multiplier: 2 });
    pair.run(5_000);
    for (const [index, intervalMs] of [10, 2_000, 300, 5_000, 50].entries()) {
      const end = pair.ends[index % 2 === 0 ? 0 : 1];
      const mine = index % 2 === 0 ? PEER : { ...PEER, address: PEER.localAddress, localAddress: PEER.address };
      end.do({ kind: 'watch', peer: { ...mine, intervalMs } });
      pair.run(20_000 + index);
    }
    assert.deepEqual(pair.states, ['Up', 'Up']);
    assert.deepEqual(
      pair.ends.map(({ downs }) => downs),
      [[], []],
    );
  });

  test('one that starts anew is noticed and taken back', () => {
    const pair = new Pair(5);
    pair.run(3_000);
    const peer = { ...PEER, address: PEER.localAddress, localAddress: PEER.address, name: 'again' };
    pair.ends[1].do({ kind: 'unwatch', name: PEER.name });
    pair.ends[1].do({ kind: 'watch', peer });
    pair.run(5_000);
    assert.equal(pair.ends[0].view()?.state, 'Up');
    assert.equal(pair.ends[1].view('again')?.state, 'Up');
    assert.deepEqual(pair.ends[0].downs, [], 'it had said AdminDown');
  });
});
