import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EndpointWaiters } from './endpoint-waiters.ts';

const FOR_EVER_MS = 3_600_000;

describe('waiting for an endpoint', () => {
  it('ends when the endpoint is in force, for all who wait and for it alone', async () => {
    const pending = new Map([
      ['a', 'rules'],
      ['b', 'rules'],
    ]);
    const waiters = new EndpointWaiters((id) => pending.get(id));
    const both = [waiters.wait('a', FOR_EVER_MS), waiters.wait('a', FOR_EVER_MS)];
    const other = waiters.wait('b', FOR_EVER_MS);
    let isOtherDone = false;
    const otherEnded = other.then(
      () => (isOtherDone = true),
      (error: Error) => error.message,
    );
    waiters.tell();
    pending.delete('a');
    waiters.tell();
    await Promise.all(both);
    assert.equal(isOtherDone, false);
    waiters.giveUp('stopping');
    assert.equal(await otherEnded, 'stopping');
  });

  it('that takes too long says what was missing', async () => {
    const waiters = new EndpointWaiters(() => 'device cali1 does not exist');
    await assert.rejects(waiters.wait('a', 1), /^Error: not in force after 0\.001 s: device cali1 does not exist$/);
  });
});
