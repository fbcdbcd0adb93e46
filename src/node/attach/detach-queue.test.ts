/** Detachments that wait: none is lost, each is done once, and what is no detachment is thrown away. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { encodeRequest } from '../../cni/frame.ts';
import type { Log } from '../../lib/log.ts';
import { StoreError } from '../../store/store.ts';
import { type Detachment, DetachQueue } from './detach-queue.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
const WEB: Detachment = { containerId: 'web', interfaceName: 'eth0', networkName: 'net' };
const DB: Detachment = { containerId: 'db', interfaceName: 'eth0', networkName: 'net' };
const PATIENCE_MS = 30_000;

const textOf = ({ containerId, interfaceName, networkName }: Detachment) =>
  `${networkName}/${containerId}/${interfaceName}`;

describe('the queue of detachments', () => {
  let runDirectory: string;
  let done: string[];
  /** What the store says to each attempt, in order; then nothing any more. */
  let troubles: Error[];
  let closers: (() => Promise<void>)[];

  beforeEach(() => {
    runDirectory = mkdtempSync(join(tmpdir(), 'muslin-test-detach-'));
    [done, troubles, closers] = [[], [], []];
  });
  afterEach(async () => {
    for (const close of closers) await close();
    rmSync(runDirectory, { recursive: true, force: true });
  });

  function open(): DetachQueue {
    const queue = new DetachQueue({
      runDirectory,
      detach: async (detachment) => {
        const trouble = troubles.shift();
        if (trouble !== undefined) throw trouble;
        done.push(textOf(detachment));
      },
      log: SILENT,
      random: () => 0,
    });
    closers.push(queue.start());
    return queue;
  }

  const files = () => readdirSync(join(runDirectory, 'detach'));

  /** What the plugin leaves when it finds no agent. */
  function leave(name: string, { containerId, interfaceName, networkName }: Detachment, command = 'DEL'): void {
    const environment = new Map([
      ...([
        ['CNI_COMMAND', command],
        ['CNI_CONTAINERID', containerId],
        ['CNI_IFNAME', interfaceName],
      ] as const),
      ...([
        ['CNI_PATH', '/opt/cni/bin'],
        ['CNI_NETNS', ''],
      ] as const),
    ]);
    const input = JSON.stringify({ cniVersion: '1.0.0', name: networkName, type: 'muslin', ipam: { broken: true } });
    mkdirSync(join(runDirectory, 'detach'), { recursive: true });
    writeFileSync(join(runDirectory, 'detach', name), encodeRequest({ environment, input }));
  }

  /** Turns of the event loop until it is so: what is waited for comes by the file system and by the queue's own timers. */
  async function until(condition: () => boolean): Promise<void> {
    for (const start = performance.now(); !condition(); await new Promise(setImmediate)) {
      assert.ok(performance.now() - start < PATIENCE_MS, `not in time: ${done}; ${files()}`);
    }
  }

  it('is finished when the store is back, and leaves no file', async () => {
    troubles = [new StoreError('unavailable', 'away'), new StoreError('full', 'no room')];
    const queue = open();
    queue.add(WEB, 'the store is away');
    assert.equal(files().length, 1);
    await until(() => queue.length === 0);
    assert.deepEqual([done, files()], [['net/web/eth0'], []]);
  });

  it('survives the agent: the next one finishes it', async () => {
    troubles = Array.from({ length: 1000 }, () => new StoreError('unavailable', 'away'));
    open().add(WEB, 'the store is away');
    await closers.pop()?.();
    troubles = [];
    const queue = open();
    await until(() => queue.length === 0);
    assert.deepEqual([done, files()], [['net/web/eth0'], []]);
  });

  it('takes up what the plugin has left, before and while the agent runs, whatever the configuration has become', async () => {
    leave('1.request', WEB);
    open();
    await until(() => done.length === 1);
    leave('2.request', DB);
    await until(() => done.length === 2 && files().length === 0);
    assert.deepEqual(done, ['net/web/eth0', 'net/db/eth0']);
  });

  it('does once what was asked for twice', async () => {
    leave('1.request', WEB);
    leave('2.request', WEB);
    const queue = open();
    await until(() => queue.length === 0 && files().length === 0);
    assert.deepEqual(done, ['net/web/eth0']);
  });

  it('throws away what is no detachment, and leaves alone what is not finished', async () => {
    leave('1.request', WEB, 'ADD');
    writeFileSync(join(runDirectory, 'detach', '2.request'), 'GET / HTTP/1.1');
    writeFileSync(join(runDirectory, 'detach', '3.request'), '');
    writeFileSync(join(runDirectory, 'detach', '.4'), 'half of');
    leave('5.request', DB);
    open();
    await until(() => done.length === 1 && files().length === 1);
    assert.deepEqual([done, files()], [['net/db/eth0'], ['.4']]);
  });

  it('lets one that fails for good not hold up the others for ever', async () => {
    troubles = [new Error('this one is broken')];
    leave('1.request', WEB);
    leave('2.request', DB);
    open();
    await until(() => done.length === 2);
    assert.deepEqual(done.toSorted(), ['net/db/eth0', 'net/web/eth0']);
  });

  it('finishes first what waits of an attachment that is made anew', async () => {
    troubles = [new StoreError('unavailable', 'away')];
    const queue = open();
    queue.add(WEB, 'the store is away');
    queue.add(DB, 'the store is away');
    await queue.settle(WEB).catch(() => queue.settle(WEB));
    assert.ok(done.includes('net/web/eth0'));
    await queue.settle({ containerId: 'other', interfaceName: 'eth0' });
    await until(() => queue.length === 0);
    assert.deepEqual(done.toSorted(), ['net/db/eth0', 'net/web/eth0']);
  });
});
