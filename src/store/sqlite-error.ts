/**
 * What SQLite and the file system say, as StoreErrors that tell the user what to do.
 *
 * node:sqlite throws an Error with `errcode`, SQLite's extended result code; its low byte is the primary code
 * (sqlite.org/rescode.html). File system errors carry the errno's name in `code`.
 */
import { StoreError } from './store.ts';

/** Primary result codes, by sqlite3.h. */
const SQLITE = {
  perm: 3,
  busy: 5,
  locked: 6,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  notDb: 26,
};

const BY_RESULT: ReadonlyMap<number, readonly [StoreError['code'], string]> = new Map([
  [SQLITE.perm, ['unavailable', 'permission denied; run as root, or as the owner of the file']],
  [SQLITE.busy, ['unavailable', 'another process keeps the store locked; find it with `fuser` and see why it hangs']],
  [SQLITE.locked, ['unavailable', 'another process keeps the store locked; find it with `fuser` and see why it hangs']],
  [
    SQLITE.readOnly,
    ['read-only', 'the store cannot be written: the file, its directory or its file system is read-only'],
  ],
  [SQLITE.ioError, ['unavailable', 'the disk reports an input/output error; see the kernel log']],
  [SQLITE.corrupt, ['corrupt', 'the file is damaged; stop all agents, then restore it from a copy']],
  [SQLITE.full, ['full', 'the disk is full, or the store has reached its size limit; free some space']],
  [SQLITE.cantOpen, ['unavailable', 'the file cannot be opened']],
  [SQLITE.notDb, ['corrupt', 'the file is not a database; move it away or choose another store']],
]);

const BY_ERRNO: ReadonlyMap<string, readonly [StoreError['code'], string]> = new Map([
  ['ENOENT', ['unavailable', 'its directory does not exist; create it, or choose another store']],
  ['ENOTDIR', ['unavailable', 'a part of the path is not a directory']],
  ['EISDIR', ['unavailable', 'is a directory; name a file in it']],
  ['EACCES', ['unavailable', 'permission denied; run as root, or as the owner of the file']],
  ['EPERM', ['unavailable', 'permission denied; run as root, or as the owner of the file']],
  ['EIO', ['unavailable', 'the disk reports an input/output error; see the kernel log']],
  ['EROFS', ['read-only', 'its file system is read-only']],
  ['ENOSPC', ['full', 'the disk is full; free some space']],
]);

/** The StoreError for an error of SQLite or the file system; any other error as it is, since it is our bug. */
export function storeErrorOf(error: unknown, description: string): unknown {
  if (!(error instanceof Error) || error instanceof StoreError) return error;
  const result = 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
  const errno = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = result === undefined ? BY_ERRNO.get(errno) : BY_RESULT.get(result);
  if (known === undefined && result === undefined) return error;
  const [code, advice] = known ?? ['unavailable', error.message];
  return new StoreError(code, `${description}: ${advice}`, { cause: error });
}
