import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { KernelError } from '../kernel/kernel.ts';
import { openNotifySocket } from '../kernel/notify-socket.ts';
import type { Log } from '../lib/log.ts';
import { NotifyListener } from './notify-listener.suite.ts';
import { openServiceNotifier, watchdogTime } from './service-notifier.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-notify-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const warnings: unknown[] = [];
const log: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message, data) => warnings.push([message, data]),
  error: () => undefined,
  child: () => log,
};

describe('the service manager', () => {
  const PLACES = [join(directory, 'notify'), `@muslin-test-notify-${process.pid}`];
  for (const path of PLACES) {
    it(`is told at ${path.startsWith('@') ? 'an abstract name' : 'a path'}`, { timeout: 60_000 }, async () => {
      const listener = new NotifyListener(path);
      let status = 'not in sync:\nthe store has not been read yet';
      const environment = { NOTIFY_SOCKET: path };
      const notifier = openServiceNotifier({ environment, pid: 1, status: () => status, log });
      status = 'in sync';
      notifier.ready();
      notifier.stopping();
      notifier.close();
      notifier.stopping();
      await listener.until((lines) => lines.includes('STOPPING=1'));
      listener.close();
      assert.deepEqual(listener.messages, [
        ['STATUS=not in sync: the store has not been read yet'],
        ['READY=1', 'STATUS=in sync'],
        ['STOPPING=1'],
      ]);
    });
  }

  it('is told twice in its time that the event loop turns, and not while it does not', {
    timeout: 60_000,
  }, async () => {
    const path = join(directory, 'watchdog');
    const listener = new NotifyListener(path);
    const environment = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '40000', WATCHDOG_PID: '7' };
    const notifier = openServiceNotifier({ environment, pid: 7, status: () => 'fine', log });
    const beats = () => listener.lines.filter((line) => line === 'WATCHDOG=1').length;
    await listener.until(() => beats() >= 3);
    const hangsUntil = performance.now() + 200;
    while (performance.now() < hangsUntil);
    const before = beats();
    listener.drain();
    assert.equal(beats(), before, 'a loop that hangs is not alive');
    await listener.until(() => beats() > before);
    notifier.close();
    listener.close();
    assert.deepEqual(
      listener.lines.filter((line) => line !== 'WATCHDOG=1'),
      ['STATUS=fine'],
    );
  });

  it('that is gone is complained of once, and stops nothing', () => {
    const environment = { NOTIFY_SOCKET: join(directory, 'nobody') };
    const notifier = openServiceNotifier({ environment, pid: 1, status: () => 'fine', log });
    notifier.ready();
    notifier.stopping();
    notifier.close();
    assert.equal(warnings.length, 1);
    assert.match(JSON.stringify(warnings), /was not told.*ENOENT/);
  });

  it('that does not ask is told nothing', () => {
    openServiceNotifier({
      environment: { WATCHDOG_USEC: '40000' },
      pid: 1,
      status: () => assert.fail('nobody wants to know'),
      log,
    }).ready();
  });
});

const TIMES: [title: string, environment: Record<string, string>, expected: number | undefined][] = [
  ['microseconds', { WATCHDOG_USEC: '30000000' }, 30_000],
  ['our own', { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 30_000],
  ["another process's", { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, undefined],
  ['none', {}, undefined],
  ['nonsense', { WATCHDOG_USEC: 'soon' }, undefined],
  ['no time at all', { WATCHDOG_USEC: '0' }, undefined],
];
for (const [title, environment, expected] of TIMES) {
  it(`the watchdog's time: ${title}`, () => assert.equal(watchdogTime(environment, 7), expected));
}

for (const path of ['', '@', 'relative', 'vsock:2:1234', `/${'x'.repeat(107)}`]) {
  it(`"${path.slice(0, 20)}" is not the place of a socket`, () => {
    assert.throws(
      () => openNotifySocket(path),
      (error) => error instanceof KernelError && error.code === 'EINVAL',
    );
  });
}
