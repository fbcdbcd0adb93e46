/**
 * The store in etcd, against Debian's etcd: the suite of all drivers, and what only a server far away can do to a client.
 *
 * Each compliance test has an etcd of its own, since revisions are the server's. Its history is cut by the fixture after each
 * transaction, as the suite asks; the driver then keeps nothing for a busy reader, so that slow means slow.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { hasCode, testCompliance } from '../../src/store/compliance.suite.ts';
import { openEtcdStore } from '../../src/store/etcd.ts';
import { PASSWORD_VARIABLE } from '../../src/store/etcd-address.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Revision, Store, WatchEvent } from '../../src/store/store.ts';
import { revision, StoreError } from '../../src/store/store.ts';
import { makeCertificates, TestEtcd, temporaryFolder } from './etcd-fixture.ts';

const CHANGES_MAX_TIGHT = 100;

testCompliance({
  name: 'etcd',
  open: async (changesMax) => {
    const etcd = await TestEtcd.start();
    const tight = changesMax < CHANGES_MAX_TIGHT;
    const store = openEtcdStore(`etcd://${etcd.endpoints}/test`, tight ? { bufferedChangesMax: 0 } : {});
    const close = async () => {
      await store.close();
      await etcd.remove();
    };
    return Object.assign(tight ? compacting(store, etcd, changesMax) : overriding(store), { close });
  },
});

/** The same store as an object whose methods can be replaced. */
function overriding(store: Store): Store {
  return {
    description: store.description,
    get: (key) => store.get(key),
    list: (prefix) => store.list(prefix),
    transact: (transaction) => store.transact(transaction),
    watch: (prefix, from, signal) => store.watch(prefix, from, signal),
    close: () => store.close(),
  };
}

/** A store whose etcd forgets after each transaction what is older than the last `changesMax` changes. */
function compacting(store: Store, etcd: TestEtcd, changesMax: number): Store {
  const changes: Revision[] = [];
  return {
    ...overriding(store),
    transact: async (transaction) => {
      const result = await store.transact(transaction);
      if (!result.ok) return result;
      changes.push(...transaction.writes.map(() => result.revision));
      const last = changes.at(-changesMax - 1);
      // etcd counts from 1; what is compacted at a revision can be watched from there on.
      if (last !== undefined) await etcd.rpc('kv/compaction', { revision: last + 1 }).catch(() => undefined);
      return result;
    },
  };
}

async function withEtcd(
  options: Parameters<typeof TestEtcd.start>[0],
  body: (etcd: TestEtcd) => Promise<void>,
): Promise<void> {
  const etcd = await TestEtcd.start(options);
  try {
    await body(etcd);
  } finally {
    await etcd.remove();
  }
}

async function withStore<Result>(store: Store, body: (store: Store) => Promise<Result>): Promise<Result> {
  try {
    return await body(store);
  } finally {
    await store.close();
  }
}

/** For assert.rejects: `unavailable`, with a text that says what to do. */
function unavailable(...texts: readonly RegExp[]): (error: unknown) => boolean {
  return (error) => {
    hasCode('unavailable')(error);
    for (const text of texts) assert.match((error as StoreError).message, text);
    return true;
  };
}

function write(store: Store, key: string, value: number) {
  return store.transact({ expect: [], writes: [{ kind: 'put', key, value }] });
}

/** Tries again while the store is away, so that the value is written at least once. */
async function writeUntilDone(store: Store, key: string, value: number): Promise<void> {
  for (;;) {
    try {
      await write(store, key, value);
      return;
    } catch (error) {
      hasCode('unavailable')(error);
      await new Promise(setImmediate);
    }
  }
}

/** Reads a watch up to the event that `isLast`, and gives all puts and removals. */
async function eventsUntil(
  events: AsyncIterable<WatchEvent>,
  isLast: (event: WatchEvent) => boolean,
): Promise<WatchEvent[]> {
  const seen: WatchEvent[] = [];
  for await (const event of events) {
    if (event.kind !== 'bookmark') seen.push(event);
    if (isLast(event)) return seen;
  }
  throw new Error('the watch ended too early');
}

const isPutOf = (key: string) => (event: WatchEvent) => event.kind === 'put' && event.entry.key === key;

describe('the way to etcd', () => {
  test('an endpoint where nobody listens is named at once', async () => {
    const store = await openStore('etcd://127.0.0.1:1/muslin');
    await withStore(store, async () => {
      const said = unavailable(/etcd:\/\/127\.0\.0\.1:1\/muslin/, /cannot be reached/, /127\.0\.0\.1:1: /);
      await assert.rejects(store.get('/a'), said);
      await assert.rejects(store.list('/'), said);
      await assert.rejects(write(store, '/a', 1), said);
      await assert.rejects(async () => {
        for await (const _ of store.watch('/', revision(0), new AbortController().signal)) assert.fail('an event');
      }, said);
    });
  });

  test('a member that is not there is passed over', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://127.0.0.1:1,${etcd.endpoints}/muslin`), async (store) => {
        assert.deepEqual(await write(store, '/a', 1), { ok: true, revision: 1 });
      }),
    ));

  test('a member that takes the connection and says nothing is passed over', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    const sockets = new Set<Socket>();
    silent.on('connection', (socket) => sockets.add(socket));
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    try {
      await withEtcd({}, (etcd) =>
        withStore(openEtcdStore(`etcd://127.0.0.1:${port},${etcd.endpoints}/muslin`), async (store) => {
          const results = await Promise.all([write(store, '/a', 1), write(store, '/b', 1), store.get('/c')]);
          assert.deepEqual(
            results.map((result) => result && 'ok' in result && result.ok),
            [true, true, undefined],
          );
        }),
      );
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  test('stores with different prefixes do not see each other', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/one`), (one) =>
        withStore(openEtcdStore(`etcd://${etcd.endpoints}/one-more`), async (other) => {
          await write(one, '/a', 1);
          await write(other, '/a', 2);
          assert.deepEqual((await one.list('/')).entries, [{ key: '/a', value: 1, revision: 1 }]);
          await write(one, '/b', 3);
          const seen = await eventsUntil(one.watch('/', revision(0), new AbortController().signal), isPutOf('/b'));
          assert.deepEqual(
            seen.map((event) => event.kind === 'put' && event.entry.value),
            [1, 3],
          );
        }),
      ),
    ));
});

describe('TLS', () => {
  const folder = temporaryFolder();
  let etcd: TestEtcd | undefined;
  after(() => etcd?.remove());
  const file = (name: string) => join(folder, name);
  const address = (query: string) => `etcds://${etcd?.endpoints}/muslin?${query}`;

  test('a client with a certificate of the right authority reads, writes and watches', async () => {
    makeCertificates(folder);
    const flags = ['--cert-file', file('server.crt'), '--key-file', file('server.key')];
    etcd = await TestEtcd.start({
      folder,
      flags: [...flags, '--trusted-ca-file', file('ca.crt'), '--client-cert-auth'],
    });
    const query = `ca=${file('ca.crt')}&cert=${file('client.crt')}&key=${file('client.key')}`;
    await withStore(await openStore(address(query)), async (store) => {
      assert.deepEqual(await write(store, '/a', 1), { ok: true, revision: 1 });
      const seen = await eventsUntil(store.watch('/', revision(0), new AbortController().signal), isPutOf('/a'));
      assert.equal(seen.length, 1);
      assert.equal(store.description, `etcds://${etcd?.endpoints}/muslin`);
    });
  });

  const REFUSED: readonly (readonly [string, () => string, RegExp])[] = [
    [
      'the wrong authority',
      () => address(`ca=${file('stranger.crt')}&cert=${file('client.crt')}&key=${file('client.key')}`),
      /TLS failed: ca= must name the authority/,
    ],
    ['no client certificate', () => address(`ca=${file('ca.crt')}`), /client certificate|TLS failed/],
    ['no TLS', () => `etcd://${etcd?.endpoints}/muslin`, /wants TLS/],
  ];
  for (const [title, url, said] of REFUSED) {
    test(`${title} is refused, and said so`, () =>
      withStore(openEtcdStore(url()), async (store) => {
        await assert.rejects(store.get('/a'), unavailable(said));
      }));
  }

  test('TLS to an etcd without it is refused, and said so', () =>
    withEtcd({}, (plain) =>
      withStore(openEtcdStore(`etcds://${plain.endpoints}/muslin?ca=${file('ca.crt')}`), async (store) => {
        await assert.rejects(store.get('/a'), unavailable(/write etcd:\/\/ instead|connection was cut/));
      }),
    ));
});

describe('users and passwords', () => {
  const folder = temporaryFolder();
  const passwordFile = join(folder, 'password');
  let etcd: TestEtcd | undefined;
  after(async () => {
    delete process.env[PASSWORD_VARIABLE];
    await etcd?.remove();
  });
  const address = (query: string, prefix = '/muslin') => `etcd://${etcd?.endpoints}${prefix}?${query}`;

  test('a user with the password from a file reads, writes and watches below its prefix', async () => {
    // The shortest life of a token that etcd takes is a second.
    etcd = await TestEtcd.start({ folder, flags: ['--auth-token-ttl', '1'] });
    await setUpUsers(etcd);
    writeFileSync(passwordFile, 'secret\n');
    await withStore(openEtcdStore(address(`user=muslin&passwordFile=${passwordFile}`)), async (store) => {
      assert.deepEqual(await write(store, '/a', 1), { ok: true, revision: 1 });
      const seen = await eventsUntil(store.watch('/', revision(0), new AbortController().signal), isPutOf('/a'));
      assert.equal(seen.length, 1);
    });
  });

  test('a login that has run out is renewed', async () => {
    writeFileSync(passwordFile, 'secret\n');
    await withStore(openEtcdStore(address(`user=muslin&passwordFile=${passwordFile}`)), async (store) => {
      await write(store, '/a', 2);
      // A restart forgets all tokens, as time would.
      await etcd?.killMember();
      await etcd?.startMember();
      await writeUntilDone(store, '/a', 3);
      assert.equal((await store.get('/a'))?.value, 3);
    });
  });

  test('the password comes from the environment where no file is named', async () => {
    process.env[PASSWORD_VARIABLE] = 'secret';
    await withStore(openEtcdStore(address('user=muslin')), async (store) => {
      assert.equal((await store.get('/a'))?.value, 3);
      assert.ok(!store.description.includes('secret'));
    });
    process.env[PASSWORD_VARIABLE] = 'wrong';
    await withStore(openEtcdStore(address('user=muslin')), async (store) => {
      await assert.rejects(store.get('/a'), unavailable(/user or password is wrong/, /MUSLIN_STORE_PASSWORD/));
    });
  });

  test('nobody, and a user elsewhere than its prefix, are refused, and told why', async () => {
    process.env[PASSWORD_VARIABLE] = 'secret';
    await withStore(openEtcdStore(address('compact=no')), async (store) => {
      await assert.rejects(store.get('/a'), unavailable(/asks for a login: add user=NAME/));
    });
    await withStore(openEtcdStore(address('user=muslin', '/other')), async (store) => {
      await assert.rejects(write(store, '/a', 1), unavailable(/grant it readwrite on the store's prefix/));
    });
  });
});

/** Logins on, and a user "muslin" with the password "secret" that may do all below /muslin/. */
async function setUpUsers(etcd: TestEtcd): Promise<void> {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  await etcd.rpc('auth/user/add', { name: 'root', password: 'root' });
  await etcd.rpc('auth/user/grant', { user: 'root', role: 'root' });
  await etcd.rpc('auth/user/add', { name: 'muslin', password: 'secret' });
  await etcd.rpc('auth/role/add', { name: 'muslin' });
  const perm = { permType: 'READWRITE', key: base64('/muslin/'), range_end: base64('/muslin0') };
  await etcd.rpc('auth/role/grant', { name: 'muslin', perm });
  await etcd.rpc('auth/user/grant', { user: 'muslin', role: 'muslin' });
  await etcd.rpc('auth/enable', {});
}

const WRITES = 300;

/**
 * While one store writes and another watches, `disturb` does its worst. What was acknowledged is there, the watch gives each
 * revision once and in order, and what it gave makes the state.
 */
async function checkUnderLoad(etcd: TestEtcd, disturb: () => Promise<void>): Promise<void> {
  const url = `etcd://${etcd.endpoints}/muslin`;
  await withStore(openEtcdStore(url), (writer) =>
    withStore(openEtcdStore(url), async (reader) => {
      await write(writer, '/begin', 0);
      const events = reader.watch('/', revision(0), new AbortController().signal);
      const watching = eventsUntil(events, isPutOf('/end'));
      for (let step = 0; step < WRITES; step++) {
        if (step === WRITES / 3) await disturb();
        await writeUntilDone(writer, `/k/${step}`, step);
      }
      await writeUntilDone(writer, '/end', 0);
      const seen = await watching;
      const { entries } = await writer.list('/');
      assert.equal(entries.length, WRITES + 2);
      const revisions = seen.map((event) => (event.kind === 'put' ? event.entry.revision : event.kind));
      assert.deepEqual(
        revisions,
        Array.from(revisions, (_, index) => index + 1),
      );
      const state = new Map(seen.flatMap((event) => (event.kind === 'put' ? [[event.entry.key, event.entry]] : [])));
      assert.deepEqual(
        [...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1)),
        entries,
      );
    }),
  );
}

describe('what happens to etcd', () => {
  test('etcd is killed and started again under load: nothing is lost, nothing comes twice', () =>
    withEtcd({}, (etcd) =>
      checkUnderLoad(etcd, async () => {
        await etcd.killMember();
        await etcd.startMember();
      }),
    ));

  test('a cluster of three loses its leader under load: nothing is lost, nothing comes twice', () =>
    withEtcd({ members: 3 }, (etcd) => checkUnderLoad(etcd, async () => etcd.killMember(await etcd.leader()))));

  test('after a compaction a reader from before lists again, one from after goes on', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`, { historyMs: 1 }), async (store) => {
        await write(store, '/a', 1);
        const open = store.watch('/', revision(1), new AbortController().signal)[Symbol.asyncIterator]();
        assert.deepEqual((await open.next()).value, { kind: 'bookmark', revision: 1 });
        // The open watch compacts each millisecond: sooner or later revision 1 is gone.
        let step = 1;
        let from = revision(1);
        for (let gone = false; !gone; step++) {
          await write(store, '/a', step);
          const old = store.watch('/', revision(1), AbortSignal.timeout(30_000))[Symbol.asyncIterator]();
          const first = await old.next().catch((error: unknown) => error);
          gone = first instanceof StoreError && hasCode('compacted')(first);
          if (!gone) await old.return?.(undefined);
        }
        const listing = await store.list('/');
        from = listing.revision;
        assert.equal(listing.entries.length, 1);
        await write(store, '/b', 1);
        const [event] = await eventsUntil(store.watch('/', from, new AbortController().signal), isPutOf('/b'));
        assert.equal(event?.kind, 'put');
        await open.return?.(undefined);
      }),
    ));

  test('a long history of large values comes whole and in order, then a bookmark', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`), async (store) => {
        // etcd sends at most 1,000 revisions at once, and 2 MB in one piece.
        const count = 1_200;
        const value = 'x'.repeat(5_000);
        const writes = Array.from({ length: count }, (_, n) => ({ kind: 'put', key: `/k/${n}`, value }) as const);
        await Promise.all(writes.map((write) => store.transact({ expect: [], writes: [write] })));
        const seen: WatchEvent[] = [];
        for await (const event of store.watch('/', revision(0), new AbortController().signal)) {
          if (event.kind === 'bookmark') {
            assert.equal(event.revision, count);
            break;
          }
          seen.push(event);
        }
        assert.deepEqual(
          seen.map((event) => event.kind === 'put' && event.entry.revision),
          Array.from({ length: count }, (_, index) => index + 1),
        );
      }),
    ));

  test('a reader whose stream is cut because it is slow goes on where it was', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`, { bufferedChangesMax: 0 }), async (store) => {
        const revisions: number[] = [];
        for await (const event of store.watch('/', revision(0), new AbortController().signal)) {
          if (event.kind === 'put') revisions.push(event.entry.revision);
          if (revisions.length === 60) break;
          if (revisions.length <= 30) await Promise.all([write(store, '/a', 1), write(store, '/b', 1)]);
        }
        assert.deepEqual(
          revisions,
          Array.from({ length: 60 }, (_, index) => index + 1),
        );
      }),
    ));

  test('a listing of several pages is of one revision', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`), async (store) => {
        const batches = Array.from({ length: 60 }, (_, batch) =>
          Array.from({ length: 100 }, (_, n) => ({ kind: 'put', key: `/k/${batch}/${n}`, value: n }) as const),
        );
        for (const writes of batches) await store.transact({ expect: [], writes });
        const listing = store.list('/k/');
        const removal = store.transact({ expect: [], writes: [{ kind: 'remove', key: '/k/59/99' }] });
        const { entries, revision: at } = await listing;
        await removal;
        assert.equal(at === 60 ? 6000 : 5999, entries.length);
        assert.equal(new Set(entries.map(({ key }) => key)).size, entries.length);
      }),
    ));

  test('a value that is not ours is told by its key', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`), async (store) => {
        const base64 = (text: string) => Buffer.from(text).toString('base64');
        await etcd.rpc('kv/put', { key: base64('/muslin/foreign'), value: base64('{') });
        await assert.rejects(store.list('/'), hasCode('corrupt'));
        const events = store.watch('/', revision(0), new AbortController().signal);
        await assert.rejects(eventsUntil(events, isPutOf('/foreign')), hasCode('corrupt'));
      }),
    ));
});

describe('an entry that its writer keeps present', () => {
  const KEY = '/presence/host-a';

  test('is there for longer than its lease, and goes at once when the writer says so', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`), async (store) => {
        const stopping = new AbortController();
        const kept = store.keepPresent?.(KEY, { pid: 1 }, { signal: stopping.signal, ttlSeconds: 2 });
        const events = store.watch('/', revision(0), new AbortController().signal);
        const seen = eventsUntil(events, ({ kind }) => kind === 'removed');
        const present = await eventsUntil(store.watch('/', revision(0), new AbortController().signal), isPutOf(KEY));
        assert.equal(present.length, 1);
        // etcd's own clock: two lives of the lease, during which it is renewed.
        await leaseLivesPass(etcd, 2);
        assert.deepEqual((await store.get(KEY))?.value, { pid: 1 });
        stopping.abort();
        await kept;
        assert.equal(await store.get(KEY), undefined);
        assert.equal((await seen).at(-1)?.kind, 'removed', 'who watches is told');
      }),
    ));

  test('goes by itself when the writer is killed', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`), async (store) => {
        const program = `
          import { openEtcdStore } from ${JSON.stringify(new URL('../../src/store/etcd.ts', import.meta.url).href)};
          const store = openEtcdStore(${JSON.stringify(`etcd://${etcd.endpoints}/muslin`)});
          await store.keepPresent(${JSON.stringify(KEY)}, { pid: process.pid }, { signal: new AbortController().signal, ttlSeconds: 2 });`;
        const writer = spawn(process.execPath, ['--input-type=module', '-e', program], {
          stdio: ['ignore', 'ignore', 'inherit'],
        });
        await eventsUntil(store.watch('/', revision(0), new AbortController().signal), isPutOf(KEY));
        assert.deepEqual((await store.get(KEY))?.value, { pid: writer.pid });
        writer.kill('SIGKILL');
        const isRemoved = ({ kind }: WatchEvent) => kind === 'removed';
        await eventsUntil(store.watch('/', revision(0), new AbortController().signal), isRemoved);
        assert.equal(await store.get(KEY), undefined);
      }),
    ));

  test('is put again when its lease has been lost', () =>
    withEtcd({}, (etcd) =>
      withStore(openEtcdStore(`etcd://${etcd.endpoints}/muslin`), async (store) => {
        const stopping = new AbortController();
        const kept = store.keepPresent?.(KEY, 1, { signal: stopping.signal, ttlSeconds: 2 });
        await eventsUntil(store.watch('/', revision(0), new AbortController().signal), isPutOf(KEY));
        await etcd.rpc('kv/deleterange', { key: Buffer.from(`/muslin${KEY}`).toString('base64') });
        await revokeAllLeases(etcd);
        const { revision: from } = await store.list('/');
        await eventsUntil(store.watch('/', from, new AbortController().signal), isPutOf(KEY));
        stopping.abort();
        await kept;
      }),
    ));
});

/** Waits until a lease of etcd's own with this life, granted now, has run out as often as asked. */
async function leaseLivesPass(etcd: TestEtcd, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    const { ID } = (await etcd.rpc('lease/grant', { TTL: 2 })) as unknown as { readonly ID: string };
    let left = 2;
    // Zero is left out of the answer; -1 says that there is no such lease any more.
    while (left >= 0)
      left = Number(((await etcd.rpc('lease/timetolive', { ID })) as { readonly TTL?: string }).TTL ?? 0);
  }
}

async function revokeAllLeases(etcd: TestEtcd): Promise<void> {
  const { leases = [] } = (await etcd.rpc('lease/leases', {})) as unknown as {
    readonly leases?: readonly { readonly ID: string }[];
  };
  for (const { ID } of leases) await etcd.rpc('lease/revoke', { ID });
}
