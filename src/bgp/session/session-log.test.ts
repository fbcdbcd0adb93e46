import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instant } from '../../lib/clock.ts';
import { encodeNotification, KEEPALIVE } from '../wire/message.ts';
import { SessionLog } from './session-log.ts';

test('the log keeps the last fifty events, the oldest first, and cuts long texts', () => {
  const log = new SessionLog();
  for (let index = 0; index < 123; index++) log.note(instant(index), `event ${index}`);
  const entries = log.entries(instant(1_000));
  assert.equal(entries.length, 50);
  assert.deepEqual(entries[0], { agoMs: 927, text: 'event 73' });
  assert.deepEqual(entries.at(-1), { agoMs: 878, text: 'event 122' });
  log.note(instant(1_000), 'x'.repeat(10_000));
  assert.equal(log.entries(instant(1_000)).at(-1)?.text.length, 400);
});

test('messages are counted by type, many at a time, and bytes that are none do no harm', () => {
  const log = new SessionLog();
  const notification = encodeNotification({ code: 6, subcode: 4, data: new Uint8Array(10) });
  log.countSent(Uint8Array.from([...KEEPALIVE, ...notification, ...KEEPALIVE]));
  assert.deepEqual(log.sent, { opens: 0, updates: 0, notifications: 1, keepalives: 2, refreshes: 0, bytes: 69 });
  log.countSent(new Uint8Array(100));
  log.countReceived(99, 10);
  assert.equal(log.received.bytes, 29);
});
