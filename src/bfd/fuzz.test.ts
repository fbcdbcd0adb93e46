import assert from 'node:assert/strict';
import { test } from 'node:test';
import { after } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import { seededRandom } from '../lib/prng.ts';
import type { ControlPacket, SessionState } from './packet.ts';
import { Alone, PEER } from './wire.suite.ts';

const RUNS = 300;
const STEPS = 200;
const STATES: readonly SessionState[] = ['AdminDown', 'Down', 'Init', 'Up'];
/** The ends of the range and what is usual. */
const INTERVALS_US = [0, 1, 10_000, 300_000, 1_000_000, 2 ** 32 - 1];

function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[Math.floor(random() * values.length)]!;
}

function anyPacket(random: Random, discriminator: number): ControlPacket {
  const flag = () => random() < 0.3;
  return {
    state: pick(random, STATES),
    diagnostic: Math.floor(random() * 32),
    poll: flag(),
    final: flag(),
    controlPlaneIndependent: flag(),
    demand: flag(),
    multiplier: pick(random, [1, 3, 255]),
    myDiscriminator: pick(random, [1, 77, 2 ** 32 - 1]),
    yourDiscriminator: pick(random, [0, discriminator, 5]),
    desiredMinTxUs: pick(random, INTERVALS_US),
    requiredMinRxUs: pick(random, INTERVALS_US),
  };
}

/** One step of a hostile peer, an odd operator or a slow machine. */
function step(alone: Alone, random: Random): void {
  const dice = random();
  if (dice < 0.6) alone.hears(anyPacket(random, alone.view()?.localDiscriminator ?? 0), { multihop: random() < 0.1 });
  else if (dice < 0.7) {
    const bytes = Uint8Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256));
    alone.do({ kind: 'packet', bytes, from: PEER.address, device: undefined, multihop: false });
  } else if (dice < 0.85) alone.run(random() * 2_000);
  else if (dice < 0.9) alone.stall(random() * 5_000);
  else if (dice < 0.97) {
    const intervalMs = pick(random, [10, 300, 60_000]);
    alone.do({ kind: 'watch', peer: { ...PEER, intervalMs, multiplier: pick(random, [1, 3, 255]) } });
  } else alone.do({ kind: 'unwatch', name: PEER.name });
}

test('whatever the peer sends: nothing throws, nothing floods, no timer is overdue, and down follows Up only', () => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = seededRandom(seed);
    const alone = new Alone(seed);
    alone.do({ kind: 'watch', peer: PEER });
    for (let count = 0; count < STEPS; count++) {
      const [sentBefore, start] = [alone.sent.length, alone.now];
      step(alone, random);
      // At most one packet for what was heard, and one each 7.5 ms, the shortest interval less jitter; and one for an end.
      const most = 3 + (alone.now - start) / 7.5;
      assert.ok(alone.sent.length - sentBefore <= most, `seed ${seed}, step ${count}: more than ${most} packets`);
    }
    let ups = 0;
    for (const output of alone.outputs) {
      if (output.kind === 'state') ups += output.from === 'Up' && output.to === 'Down' ? 1 : 0;
      if (output.kind === 'down') assert.ok(ups > 0, `seed ${seed}: down without an Up`);
    }
    assert.ok(alone.downs.length <= ups);
    alone.do({ kind: 'unwatch', name: PEER.name });
    alone.now = after(alone.now, 10_000);
    alone.do({ kind: 'tick' });
    assert.equal(alone.view(), undefined, `seed ${seed}: a session that does not end`);
    assert.equal(alone.machine.nextTimer(), undefined);
  }
});
