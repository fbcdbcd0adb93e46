/**
 * From the store's address, as users write it, to an open store.
 *
 *   sqlite:///var/lib/muslin/store.db     a file, with its absolute path
 *   ./store.db, /tmp/store.db             the same, as a plain path
 *   memory:                               nothing that outlives the process
 *   etcd://host:port,host:port/prefix     an etcd cluster; etcds:// with TLS; all of the form is in etcd-address.ts
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { openMemoryStore } from './memory.ts';
import { openSqliteStore } from './sqlite.ts';
import type { Store } from './store.ts';
import { StoreError } from './store.ts';

/** Where the store is when nobody says otherwise; its directory is made when it is missing. */
export const DEFAULT_STORE = 'sqlite:///var/lib/muslin/store.db';

/** Opens the store at `url`; throws StoreError. Whoever opens it closes it. */
export async function openStore(url: string): Promise<Store> {
  if (url === 'memory:') return openMemoryStore();
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1];
  if (scheme === undefined && url !== '') return openSqliteStore(url);
  const path = /^sqlite:\/\/(\/.+)$/.exec(url)?.[1];
  if (path !== undefined) {
    if (url === DEFAULT_STORE) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openSqliteStore(path);
  }
  if (scheme === 'etcd' || scheme === 'etcds') {
    // gRPC takes 50 ms to load, which commands on a SQLite store do not pay.
    const { openEtcdStore } = await import('./etcd.ts');
    return openEtcdStore(url);
  }
  const right = 'write sqlite:///PATH, a plain path, etcd://HOST:PORT/PREFIX, or memory:';
  throw new StoreError('invalid', `"${url}" is not a store; ${right}`);
}
