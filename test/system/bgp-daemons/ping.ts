/**
 * A ping that must not lose a packet.
 *
 * It is counted by sequence numbers: whoever looks waits for the answer to a packet that was sent after all that was to be
 * watched had happened. The link keeps packets in order, so by then the answer to every earlier packet could have come, and
 * one that is missing is lost. What was sent still later is not counted, so no allowance is needed for what is on its way.
 */
import assert from 'node:assert/strict';
import type { Place } from './daemon.ts';
import { eventually, Running } from './process.ts';

const INTERVAL_SECONDS = 0.02;
/** A round trip of the rigs is below a millisecond; so many packets are sent in a second, and none waits longer. */
const ON_ITS_WAY_MAX = 50;

/** Sequence numbers, from 1, whose answers did not come while `during` went on. */
export async function lostPings(place: Place, address: string, during: () => Promise<void>): Promise<number[]> {
  const answered = new Set<number>();
  let last = 0;
  const ping = new Running(place.namespace, 'ping', ['-i', String(INTERVAL_SECONDS), address], {
    onLine: (line) => {
      const sequence = /bytes from .* icmp_seq=(\d+) /.exec(line)?.[1];
      if (sequence === undefined) return;
      answered.add(Number(sequence));
      last = Number(sequence);
    },
  });
  const answersBeyond = async (sequence: number): Promise<void> =>
    eventually(
      `the ping has an answer after number ${sequence}`,
      () => last > sequence,
      async () => ping.log,
    );
  await answersBeyond(0);
  await during();
  await answersBeyond(last + ON_ITS_WAY_MAX);
  await ping.stop('SIGINT');
  assert.ok(answered.size > ON_ITS_WAY_MAX, `the ping went on meanwhile: ${ping.log}`);
  return Array.from({ length: last }, (_, index) => index + 1).filter((sequence) => !answered.has(sequence));
}
