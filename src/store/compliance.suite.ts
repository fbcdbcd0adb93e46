/**
 * What every driver of the store must do, as one suite.
 *
 * A driver's test file hands in how to open a store of its own, empty and with a log that keeps `changesMax` changes. Watches
 * are read with `take`, which waits for as many events as it is asked for, so nothing here depends on time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json, Listing, Revision, Store, WatchEvent, Write } from './store.ts';
import { KEY_LENGTH_MAX, revision, StoreError, TRANSACTION_WRITES_MAX, VALUE_BYTES_MAX } from './store.ts';

export interface Driver {
  readonly name: string;
  /** An empty store whose log keeps `changesMax` changes; the suite closes it. */
  readonly open: (changesMax: number) => Promise<Store>;
}

const CHANGES_MAX = 1000;

export function testCompliance(driver: Driver): void {
  const check = (title: string, body: (store: Store) => Promise<void>, changesMax = CHANGES_MAX) => {
    test(`${driver.name}: ${title}`, async () => {
      const store = await driver.open(changesMax);
      try {
        await body(store);
      } finally {
        await store.close();
      }
    });
  };
  checkEntries(check);
  checkTransactions(check);
  checkWatches(check);
  checkCompaction(check);
  checkLimits(check);
}

type Check = (title: string, body: (store: Store) => Promise<void>, changesMax?: number) => void;

function checkEntries(check: Check): void {
  check('an empty store is at revision 0 and holds nothing', async (store) => {
    assert.equal(await store.get('/a'), undefined);
    assert.deepEqual(await store.list('/'), { entries: [], revision: 0 });
  });

  check('what is put is there, with the revision of the write', async (store) => {
    assert.equal(await put(store, '/a', { text: 'ä\u0000"', list: [1, null, true, { x: [] }] }), 1);
    assert.equal(await put(store, '/b', 'second'), 2);
    const entry = await store.get('/a');
    assert.deepEqual(entry, { key: '/a', value: { text: 'ä\u0000"', list: [1, null, true, { x: [] }] }, revision: 1 });
    assert.equal(await put(store, '/a', null), 3);
    assert.deepEqual(await store.get('/a'), { key: '/a', value: null, revision: 3 });
    assert.equal((await store.get('/b'))?.revision, 2);
  });

  check('what is stored does not change with the object that was put or got', async (store) => {
    const value = { list: [1] };
    await put(store, '/a', value);
    value.list.push(2);
    const got = await store.get('/a');
    assert.ok(got);
    (got.value as { list: number[] }).list.push(3);
    assert.deepEqual((await store.get('/a'))?.value, { list: [1] });
  });

  check('removing takes an entry away; removing nothing changes nothing', async (store) => {
    await put(store, '/a', 1);
    assert.equal(await remove(store, '/a'), 2);
    assert.equal(await store.get('/a'), undefined);
    assert.equal(await remove(store, '/a'), 2);
    assert.deepEqual(await store.transact({ expect: [], writes: [] }), { ok: true, revision: 2 });
    assert.equal((await store.list('/')).revision, 2);
  });

  check('a list has the keys with the prefix, in the order of their bytes', async (store) => {
    for (const key of ['/b/x', '/a~', '/a/z', '/a/A', '/a/a', '/a', '/ab', '/a/a/b', '/a/a-b', '/B'])
      await put(store, key, key);
    const keys = async (prefix: string) => (await store.list(prefix)).entries.map((entry) => entry.key);
    assert.deepEqual(await keys('/a/'), ['/a/A', '/a/a', '/a/a-b', '/a/a/b', '/a/z']);
    assert.deepEqual(await keys('/a'), ['/a', '/a/A', '/a/a', '/a/a-b', '/a/a/b', '/a/z', '/ab', '/a~']);
    assert.deepEqual(await keys('/c'), []);
    assert.deepEqual((await keys('/')).length, 10);
  });
}

function checkTransactions(check: Check): void {
  check('a write with the wrong expectation is refused and says which keys', async (store) => {
    await put(store, '/a', 1);
    await put(store, '/b', 1);
    const refused = await store.transact({
      expect: [expected('/a', 1), expected('/b', 1), expected('/c', 7), expected('/d', 0)],
      writes: [{ kind: 'put', key: '/a', value: 2 }],
    });
    assert.deepEqual(refused, { ok: false, conflicts: ['/b', '/c'] });
    assert.equal((await store.get('/a'))?.value, 1);
    assert.equal((await store.list('/')).revision, 2);
  });

  check('revision 0 expects that there is no entry', async (store) => {
    const create = () =>
      store.transact({ expect: [expected('/a', 0)], writes: [{ kind: 'put', key: '/a', value: 1 }] });
    assert.deepEqual(await create(), { ok: true, revision: 1 });
    assert.deepEqual(await create(), { ok: false, conflicts: ['/a'] });
    await remove(store, '/a');
    assert.deepEqual(await create(), { ok: true, revision: 3 });
  });

  check('all writes of a transaction happen at one revision', async (store) => {
    await put(store, '/old', 1);
    const writes: Write[] = [
      { kind: 'put', key: '/x', value: 1 },
      { kind: 'remove', key: '/old' },
      { kind: 'put', key: '/y', value: 2 },
    ];
    assert.deepEqual(await store.transact({ expect: [expected('/old', 1)], writes }), { ok: true, revision: 2 });
    const { entries } = await store.list('/');
    assert.deepEqual(
      entries.map((entry) => [entry.key, entry.revision]),
      [
        ['/x', 2],
        ['/y', 2],
      ],
    );
  });

  check('of many that count up by compare-and-swap, none loses a step', async (store) => {
    await put(store, '/n', 0);
    const countUp = async () => {
      for (let done = 0; done < 10; ) {
        const entry = await store.get('/n');
        assert.ok(entry);
        const writes: Write[] = [{ kind: 'put', key: '/n', value: Number(entry.value) + 1 }];
        const result = await store.transact({ expect: [{ key: '/n', revision: entry.revision }], writes });
        if (result.ok) done += 1;
      }
    };
    await Promise.all(Array.from({ length: 5 }, countUp));
    assert.equal((await store.get('/n'))?.value, 50);
  });
}

function checkWatches(check: Check): void {
  check('a watch first gives what happened since its revision, then a bookmark', async (store) => {
    await put(store, '/a', 1);
    await put(store, '/b', 2);
    await remove(store, '/a');
    assert.deepEqual(await take(store, '/', revision(1), 3), [
      { kind: 'put', entry: { key: '/b', value: 2, revision: 2 } },
      { kind: 'removed', key: '/a', revision: 3 },
      { kind: 'bookmark', revision: 3 },
    ]);
  });

  check('a watch from the revision of a transaction gives none of its changes again', async (store) => {
    const writes = ['/1', '/2', '/3'].map((key) => ({ kind: 'put', key, value: 1 }) as const);
    await store.transact({ expect: [], writes });
    assert.deepEqual(await take(store, '/', revision(1), 1), [{ kind: 'bookmark', revision: 1 }]);
  });

  check('a watch of an empty store begins with a bookmark', async (store) => {
    assert.deepEqual(await take(store, '/', revision(0), 1), [{ kind: 'bookmark', revision: 0 }]);
  });

  check('a watch gives what is written while it waits', async (store) => {
    const { entries, revision: from } = await store.list('/');
    assert.equal(entries.length, 0);
    const events = takeChanges(store, '/a/', from, 3);
    await put(store, '/a/1', 'one');
    await put(store, '/b', 'of no interest');
    await store.transact({
      expect: [],
      writes: [
        { kind: 'remove', key: '/a/1' },
        { kind: 'put', key: '/a/2', value: 'two' },
      ],
    });
    assert.deepEqual(await events, [
      { kind: 'put', entry: { key: '/a/1', value: 'one', revision: 1 } },
      { kind: 'removed', key: '/a/1', revision: 3 },
      { kind: 'put', entry: { key: '/a/2', value: 'two', revision: 3 } },
    ]);
  });

  check('each event comes once and in order, while several write', async (store) => {
    const controller = new AbortController();
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let step = 0; step < 50; step++) await put(store, `/w/${writer}`, step);
    });
    const seen: [string, Json][] = [];
    let last: Revision = revision(0);
    for await (const event of store.watch('/w/', revision(0), controller.signal)) {
      if (event.kind !== 'put') continue;
      assert.ok(event.entry.revision > last, `revision ${event.entry.revision} after ${last}`);
      last = event.entry.revision;
      seen.push([event.entry.key, event.entry.value]);
      if (seen.length === 200) break;
    }
    await Promise.all(writers);
    for (let writer = 0; writer < 4; writer++) {
      const steps = seen.filter(([key]) => key === `/w/${writer}`).map(([, step]) => step);
      assert.deepEqual(
        steps,
        Array.from({ length: 50 }, (_, step) => step),
      );
    }
  });

  check('list and then watch misses nothing: the two make the state', async (store) => {
    const writing = (async () => {
      for (let step = 0; step < 100; step++) {
        if (step % 3 === 2) await remove(store, `/k/${step % 5}`);
        else await put(store, `/k/${step % 5}`, step);
      }
      await put(store, '/k/end', true);
    })();
    const listing: Listing = await store.list('/k/');
    const state = new Map(listing.entries.map((entry) => [entry.key, entry.value]));
    const controller = new AbortController();
    for await (const event of store.watch('/k/', listing.revision, controller.signal)) {
      if (event.kind === 'put') state.set(event.entry.key, event.entry.value);
      if (event.kind === 'removed') state.delete(event.key);
      if (state.has('/k/end')) break;
    }
    await writing;
    const final = (await store.list('/k/')).entries.map((entry) => [entry.key, entry.value]);
    assert.deepEqual([...state].sort(), final);
  });

  check('a watch tells of more changes than it reads at once', async (store) => {
    for (let batch = 0; batch < 8; batch++) {
      const writes = Array.from(
        { length: 100 },
        (_, n) => ({ kind: 'put', key: `/p/${batch}/${n}`, value: n }) as const,
      );
      await store.transact({ expect: [], writes });
    }
    const events = await take(store, '/p/', revision(0), 801);
    assert.equal(new Set(events.map((event) => (event.kind === 'put' ? event.entry.key : event.kind))).size, 801);
    assert.deepEqual(events.at(-1), { kind: 'bookmark', revision: 8 });
  });

  check('a watch that sleeps is woken by a write', async (store) => {
    const events = store.watch('/mine/', revision(0), new AbortController().signal)[Symbol.asyncIterator]();
    assert.deepEqual((await events.next()).value, { kind: 'bookmark', revision: 0 });
    const woken = events.next();
    await new Promise(setImmediate);
    await put(store, '/mine/a', 1);
    assert.deepEqual((await woken).value, { kind: 'put', entry: { key: '/mine/a', value: 1, revision: 1 } });
    assert.deepEqual((await events.next()).value, { kind: 'bookmark', revision: 1 });
    await events.return?.();
  });

  check('a bookmark moves on with changes that the watch does not see', async (store) => {
    const events = store.watch('/mine/', revision(0), new AbortController().signal)[Symbol.asyncIterator]();
    assert.deepEqual((await events.next()).value, { kind: 'bookmark', revision: 0 });
    await put(store, '/other', 1);
    assert.deepEqual((await events.next()).value, { kind: 'bookmark', revision: 1 });
    await events.return?.();
  });

  check('an aborted watch ends quietly, before, while and after it waits', async (store) => {
    await put(store, '/a', 1);
    assert.deepEqual(await collect(store.watch('/', revision(0), AbortSignal.abort())), []);
    const controller = new AbortController();
    const events: WatchEvent[] = [];
    for await (const event of store.watch('/', revision(0), controller.signal)) {
      events.push(event);
      if (event.kind === 'bookmark') setImmediate(() => controller.abort());
    }
    assert.equal(events.length, 2);
    const early = new AbortController();
    for await (const event of store.watch('/', revision(0), early.signal)) {
      assert.equal(event.kind, 'put');
      early.abort();
    }
  });

  check('a closed store refuses all work, and ends its watches with an error', async (store) => {
    const watching = collect(store.watch('/', revision(0), new AbortController().signal));
    const watchEnds = assert.rejects(watching, hasCode('closed'));
    await new Promise(setImmediate);
    await store.close();
    await watchEnds;
    await assert.rejects(store.get('/a'), hasCode('closed'));
    await assert.rejects(store.list('/'), hasCode('closed'));
    await assert.rejects(put(store, '/a', 1), hasCode('closed'));
    await store.close();
  });
}

function checkCompaction(check: Check): void {
  check(
    'a watch from before the end of history is told so',
    async (store) => {
      for (let step = 1; step <= 12; step++) await put(store, '/a', step);
      await assert.rejects(take(store, '/', revision(1), 1), hasCode('compacted'));
      const events = await take(store, '/', revision(7), 6);
      assert.equal(events.length, 6);
      assert.deepEqual(events.at(-1), { kind: 'bookmark', revision: 12 });
    },
    5,
  );

  check(
    'a reader that is too slow is told so, not given a history with holes',
    async (store) => {
      for (let step = 1; step <= 4; step++) await put(store, '/a', step);
      const events = store.watch('/', revision(0), new AbortController().signal)[Symbol.asyncIterator]();
      const first = await events.next();
      assert.deepEqual(first.value, { kind: 'put', entry: { key: '/a', value: 1, revision: 1 } });
      for (let step = 5; step <= 40; step++) await put(store, '/a', step);
      const revisions: number[] = [];
      const drain = async () => {
        for (let next = await events.next(); !next.done; next = await events.next()) {
          if (next.value.kind === 'put') revisions.push(next.value.entry.revision);
        }
      };
      await assert.rejects(drain(), hasCode('compacted'));
      assert.deepEqual(
        revisions,
        Array.from(revisions.keys(), (index) => index + 2),
      );
    },
    5,
  );

  check(
    'a reader that was away after a bookmark is told so, too',
    async (store) => {
      const events = store.watch('/', revision(0), new AbortController().signal)[Symbol.asyncIterator]();
      assert.deepEqual((await events.next()).value, { kind: 'bookmark', revision: 0 });
      for (let step = 1; step <= 40; step++) await put(store, '/a', step);
      await assert.rejects(events.next(), hasCode('compacted'));
    },
    5,
  );

  check(
    'a transaction is compacted as a whole',
    async (store) => {
      const keys = ['/1', '/2', '/3'];
      await store.transact({ expect: [], writes: keys.map((key) => ({ kind: 'put', key, value: 1 })) });
      await put(store, '/4', 1);
      await put(store, '/5', 1);
      await assert.rejects(take(store, '/', revision(0), 1), hasCode('compacted'));
      assert.deepEqual(await take(store, '/', revision(1), 3), [
        { kind: 'put', entry: { key: '/4', value: 1, revision: 2 } },
        { kind: 'put', entry: { key: '/5', value: 1, revision: 3 } },
        { kind: 'bookmark', revision: 3 },
      ]);
    },
    4,
  );

  check('a watch from a revision that the store has never had is told to list again', async (store) => {
    await put(store, '/a', 1);
    await assert.rejects(take(store, '/', revision(2), 1), hasCode('compacted'));
  });
}

function checkLimits(check: Check): void {
  const keys: readonly (readonly [string, string])[] = [
    ['no slash', 'a'],
    ['an empty part', '/a//b'],
    ['a slash at the end', '/a/'],
    ['a blank', '/a b'],
    ['a control character', '/a\n'],
    ['not ASCII', '/ä'],
    ['nothing', ''],
    ['too long', `/${'a'.repeat(KEY_LENGTH_MAX)}`],
  ];
  for (const [title, key] of keys) {
    check(`a key with ${title} is refused`, async (store) => {
      await assert.rejects(put(store, key, 1), hasCode('invalid'));
      await assert.rejects(store.get(key), hasCode('invalid'));
      await assert.rejects(store.transact({ expect: [expected(key, 0)], writes: [] }), hasCode('invalid'));
    });
  }

  check('the longest key and the largest value are taken, one byte more is not', async (store) => {
    const key = `/${'a'.repeat(KEY_LENGTH_MAX - 1)}`;
    const value = 'x'.repeat(VALUE_BYTES_MAX - 2);
    assert.equal(await put(store, key, value), 1);
    assert.equal((await store.get(key))?.value, value);
    await assert.rejects(put(store, '/a', `${value}x`), hasCode('invalid'));
    await assert.rejects(put(store, '/a', `${value.slice(0, -1)}ä`), hasCode('invalid'));
  });

  check('a transaction may have so many writes, and one to each key', async (store) => {
    const writes = (count: number) =>
      Array.from({ length: count }, (_, n) => ({ kind: 'put', key: `/${n}`, value: n }) as const);
    assert.ok((await store.transact({ expect: [], writes: writes(TRANSACTION_WRITES_MAX) })).ok);
    await assert.rejects(
      store.transact({ expect: [], writes: writes(TRANSACTION_WRITES_MAX + 1) }),
      hasCode('invalid'),
    );
    const twice: Write[] = [
      { kind: 'put', key: '/twice', value: 1 },
      { kind: 'remove', key: '/twice' },
    ];
    await assert.rejects(store.transact({ expect: [], writes: twice }), hasCode('invalid'));
    assert.equal(await store.get('/twice'), undefined);
  });

  check('a prefix that no key can have is refused', async (store) => {
    await assert.rejects(store.list(''), hasCode('invalid'));
    await assert.rejects(take(store, 'a', revision(0), 1), hasCode('invalid'));
  });
}

function expected(key: string, at: number): { key: string; revision: Revision } {
  return { key, revision: revision(at) };
}

async function put(store: Store, key: string, value: Json): Promise<Revision> {
  return write(store, { kind: 'put', key, value });
}

async function remove(store: Store, key: string): Promise<Revision> {
  return write(store, { kind: 'remove', key });
}

async function write(store: Store, write: Write): Promise<Revision> {
  const result = await store.transact({ expect: [], writes: [write] });
  assert.ok(result.ok);
  return result.revision;
}

/** The first `count` events of a watch. */
export async function take(store: Store, prefix: string, from: Revision, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of store.watch(prefix, from, new AbortController().signal)) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

/** The first `count` events of a watch that are not bookmarks, of which there may be more or fewer in between. */
async function takeChanges(store: Store, prefix: string, from: Revision, count: number): Promise<WatchEvent[]> {
  const changes: WatchEvent[] = [];
  for await (const event of store.watch(prefix, from, new AbortController().signal)) {
    if (event.kind !== 'bookmark') changes.push(event);
    if (changes.length === count) break;
  }
  return changes;
}

async function collect(events: AsyncIterable<WatchEvent>): Promise<WatchEvent[]> {
  const collected: WatchEvent[] = [];
  for await (const event of events) collected.push(event);
  return collected;
}

/** For assert.rejects and assert.throws: a StoreError with this code. */
export function hasCode(code: StoreError['code']): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreError, `not a StoreError: ${error}`);
    assert.equal(error.code, code, error.message);
    return true;
  };
}
