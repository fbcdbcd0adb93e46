/**
 * The SQLite file: how it is opened, what is in it, and how we know that it is ours.
 *
 *   entry    what is there now                    key → revision, value
 *   change   the log that watches read            sequence → revision, key, value (null: removed)
 *   state    one row: the store's revision, and up to which revision and sequence the log was compacted
 *
 * WAL lets readers and one writer work at once, from several processes; synchronous=NORMAL keeps the file whole through a power
 * cut, and that a commit survives it, too, is seen to by sqlite.ts, which syncs the log without holding up the event loop.
 * The header's application_id tells our files from other programs', user_version which layout they have.
 */
import { accessSync, closeSync, constants, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from './store.ts';

/** "musl" in ASCII. */
const APPLICATION_ID = 0x6d75736c;
const LAYOUT_VERSION = 1;

/** How long a writer may hold the others up; a transaction takes milliseconds, so this is a process that hangs. */
const LOCK_TIMEOUT_MS = 2000;

/** The WAL is cut back to this size after a checkpoint. */
const WAL_BYTES_MAX = 16 * 1024 * 1024;

const LAYOUT = `
  CREATE TABLE entry (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE change (sequence INTEGER PRIMARY KEY, revision INTEGER NOT NULL, key TEXT NOT NULL, value TEXT);
  CREATE INDEX change_revision ON change (revision);
  CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL, sequence INTEGER NOT NULL,
    compacted_revision INTEGER NOT NULL, compacted_sequence INTEGER NOT NULL
  );
  INSERT INTO state VALUES (1, 0, 0, 0, 0);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${LAYOUT_VERSION};
`;

/** Opens the file, making it when it is not there. Throws StoreError, or what storeErrorOf makes one of. */
export function openDatabase(path: string, description: string, bytesMax: number): DatabaseSync {
  createFile(path);
  accessSync(path, constants.R_OK | constants.W_OK);
  accessSync(dirname(path), constants.W_OK); // SQLite keeps two more files beside it
  const database = new DatabaseSync(path, { timeout: LOCK_TIMEOUT_MS });
  try {
    prepareLayout(database, description);
    database.exec(`PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = ${WAL_BYTES_MAX}`);
    const pageSize = numberOf(database, 'PRAGMA page_size');
    database.exec(`PRAGMA max_page_count = ${Math.floor(bytesMax / pageSize)}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Makes the file, readable for its owner only: it will hold passwords. An existing file is not opened here, because
 * closing it again would drop the locks that another connection of this process holds on it.
 */
function createFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    if (statSync(path).isDirectory()) throw Object.assign(new Error(`${path} is a directory`), { code: 'EISDIR' });
  }
}

function prepareLayout(database: DatabaseSync, description: string): void {
  refuseForeign(database, description);
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('BEGIN IMMEDIATE');
  try {
    if (isEmpty(database)) database.exec(LAYOUT);
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
  refuseForeign(database, description);
}

function refuseForeign(database: DatabaseSync, description: string): void {
  if (isEmpty(database)) return;
  if (numberOf(database, 'PRAGMA application_id') !== APPLICATION_ID) {
    throw new StoreError('invalid', `${description}: is a database of another program; choose another store`);
  }
  const version = numberOf(database, 'PRAGMA user_version');
  if (version > LAYOUT_VERSION) {
    const message = `was written by a newer muslin (layout ${version}, this one knows ${LAYOUT_VERSION}); upgrade muslin`;
    throw new StoreError('invalid', `${description}: ${message}`);
  }
}

function isEmpty(database: DatabaseSync): boolean {
  return numberOf(database, 'SELECT count(*) FROM sqlite_schema') === 0;
}

function numberOf(database: DatabaseSync, query: string): number {
  return Number(Object.values(database.prepare(query).get() ?? {})[0]);
}
