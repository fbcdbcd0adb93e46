/**
 * Following a store that breaks: what is told is what is there, each change once.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Log } from '../lib/log.ts';
import { openMemoryStore } from '../store/memory.ts';
import type { Entry, Store, Write } from '../store/store.ts';
import { StoreError } from '../store/store.ts';
import type { StoreListener } from './store-follower.ts';
import { StoreFollower } from './store-follower.ts';

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };

/** Remembers what it is told, and lets a test wait for it. */
class Told implements StoreListener {
  readonly lines: string[] = [];
  #changed: () => void = () => {};

  put({ key, value }: Entry): void {
    this.#add(`put ${key} ${JSON.stringify(value)}`);
  }
  removed(key: string): void {
    this.#add(`removed ${key}`);
  }
  inSync(): void {
    this.#add('in sync');
  }
  away(reason: string): void {
    this.#add(`away ${reason}`);
  }

  async waitFor(line: string): Promise<void> {
    while (!this.lines.includes(line)) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  #add(line: string): void {
    this.lines.push(line);
    this.#changed();
  }
}

async function write(store: Store, ...writes: Write[]): Promise<void> {
  assert.ok((await store.transact({ expect: [], writes })).ok);
}

function follow(store: Store): { told: Told; stop: () => Promise<void> } {
  const told = new Told();
  const stopping = new AbortController();
  const options = { signal: stopping.signal, log: SILENT, random: () => 0 };
  const follower = new StoreFollower(store, '/r/', told, options);
  const following = follower.run();
  const stop = async () => {
    stopping.abort();
    await following;
  };
  return { told, stop };
}

describe('following the store', () => {
  it('tells what is there, then that it is all, then each change', async () => {
    const store = openMemoryStore();
    await write(store, { kind: 'put', key: '/r/a', value: 1 }, { kind: 'put', key: '/other', value: 9 });
    const { told, stop } = follow(store);
    await told.waitFor('in sync');
    await write(store, { kind: 'put', key: '/r/b', value: 2 });
    await write(store, { kind: 'remove', key: '/r/a' });
    await told.waitFor('removed /r/a');
    assert.deepEqual(told.lines, ['put /r/a 1', 'in sync', 'put /r/b 2', 'removed /r/a']);
    await stop();
    await store.close();
  });

  it('starts over after a failure, and tells only what differs', async () => {
    const store = openMemoryStore();
    await write(store, { kind: 'put', key: '/r/a', value: 1 }, { kind: 'put', key: '/r/b', value: 2 });
    let listings = 0;
    // A store that is away once while it is watched, and once more when it is listed again.
    const breaking: Store = {
      description: store.description,
      get: (key) => store.get(key),
      transact: (transaction) => store.transact(transaction),
      close: () => store.close(),
      list: async (prefix) => {
        listings += 1;
        if (listings === 2) throw new StoreError('unavailable', 'no connection');
        return store.list(prefix);
      },
      watch: (prefix, from, signal) => {
        if (listings > 1) return store.watch(prefix, from, signal);
        const next = async () => {
          await write(store, { kind: 'remove', key: '/r/a' }, { kind: 'put', key: '/r/c', value: 3 });
          throw new StoreError('compacted', 'history is gone');
        };
        return { [Symbol.asyncIterator]: () => ({ next }) };
      },
    };
    const { told, stop } = follow(breaking);
    await told.waitFor('put /r/c 3');
    await write(store, { kind: 'put', key: '/r/b', value: 4 });
    await told.waitFor('put /r/b 4');
    assert.deepEqual(told.lines, [
      'put /r/a 1',
      'put /r/b 2',
      'in sync',
      'away history is gone',
      'away no connection',
      'removed /r/a',
      'put /r/c 3',
      'in sync',
      'put /r/b 4',
    ]);
    await stop();
  });
});

describe('what this process writes itself', () => {
  async function followed(store: Store) {
    const told = new Told();
    const stopping = new AbortController();
    const follower = new StoreFollower(store, '/r/', told, { signal: stopping.signal, log: SILENT, random: () => 0 });
    const written: string[] = [];
    const own = follower.ownStore(({ writes }, revision) => {
      written.push(...writes.map(({ key }) => `${key} ${revision}`));
    });
    const following = follower.run();
    await told.waitFor('in sync');
    const stop = async () => {
      stopping.abort();
      await following;
    };
    return { told, own, written, stop };
  }

  it('is told before the write is answered, and not again by the watch', async () => {
    const store = openMemoryStore();
    const { told, own, written, stop } = await followed(store);
    const before = told.lines.length;
    let linesWhenTaken: readonly string[] = [];
    const result = await own.transact({ expect: [], writes: [{ kind: 'put', key: '/r/a', value: 1 }] }, () => {
      linesWhenTaken = told.lines.slice(before);
    });
    assert.ok(result.ok);
    assert.deepEqual(told.lines.slice(before), ['put /r/a 1']);
    assert.deepEqual(linesWhenTaken, ['put /r/a 1'].slice(0, linesWhenTaken.length));
    assert.deepEqual(written, [`/r/a ${result.revision}`]);
    await write(own, { kind: 'remove', key: '/r/a' }, { kind: 'put', key: '/elsewhere', value: 1 });
    await write(store, { kind: 'put', key: '/r/z', value: 9 });
    await told.waitFor('put /r/z 9');
    assert.deepEqual(told.lines.slice(before), ['put /r/a 1', 'removed /r/a', 'put /r/z 9']);
    await stop();
  });

  it('is not undone by older news of the same entry, which the watch brings later', async () => {
    const store = openMemoryStore();
    const { told, own, stop } = await followed(store);
    // All in one turn of the event loop, so that the watch has told of none of it in between.
    await Promise.all([
      write(store, { kind: 'put', key: '/r/a', value: 'foreign' }),
      write(own, { kind: 'put', key: '/r/a', value: 'own' }),
      write(store, { kind: 'put', key: '/r/b', value: 'foreign' }),
      write(own, { kind: 'remove', key: '/r/b' }),
      write(store, { kind: 'put', key: '/r/b', value: 'again' }),
    ]);
    await told.waitFor('put /r/b "again"');
    const last = (key: string) => told.lines.filter((line) => line.includes(key)).at(-1);
    assert.equal(last('/r/a'), 'put /r/a "own"');
    assert.equal(last('/r/b'), 'put /r/b "again"');
    assert.ok(!told.lines.includes('put /r/a "foreign"'), told.lines.join('\n'));
    await stop();
  });
});
