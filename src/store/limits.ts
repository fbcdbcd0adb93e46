/**
 * What no driver takes: keys, values and transactions beyond the contract's limits.
 *
 * Checked before a driver sees a transaction, so that a store that fits in memory also fits in SQLite and etcd. The value
 * is turned to JSON text here, once: drivers keep the text.
 */
import type { Transaction } from './store.ts';
import { KEY_LENGTH_MAX, KEY_PATTERN, StoreError, TRANSACTION_WRITES_MAX, VALUE_BYTES_MAX } from './store.ts';

/** A write that has passed; `text` is the value as JSON text, undefined for a removal. */
export interface CheckedWrite {
  readonly key: string;
  readonly text: string | undefined;
}

/** The writes of a transaction with their values as text; throws StoreError `invalid` when a limit is broken. */
export function checkTransaction(transaction: Transaction): CheckedWrite[] {
  const count = transaction.writes.length;
  if (count > TRANSACTION_WRITES_MAX) refuse(`a transaction of ${count} writes; at most ${TRANSACTION_WRITES_MAX}`);
  if (transaction.expect.length > TRANSACTION_WRITES_MAX) {
    refuse(`a transaction with ${transaction.expect.length} expectations; at most ${TRANSACTION_WRITES_MAX}`);
  }
  for (const { key } of transaction.expect) checkKey(key);
  const keys = new Set<string>();
  return transaction.writes.map((write) => {
    checkKey(write.key);
    if (keys.has(write.key)) refuse(`two writes to ${write.key} in one transaction`);
    keys.add(write.key);
    return { key: write.key, text: write.kind === 'put' ? textOf(write.key, write.value) : undefined };
  });
}

export function checkKey(key: string): void {
  if (key.length > KEY_LENGTH_MAX) {
    refuse(`the key ${key.slice(0, 60)}… has ${key.length} characters; at most ${KEY_LENGTH_MAX}`);
  }
  if (!KEY_PATTERN.test(key)) {
    refuse(`${JSON.stringify(key)} is not a key; write a path of printable ASCII without blanks: /a/b`);
  }
}

/** Prefixes are beginnings of keys; the slash stands for all of them. */
export function checkPrefix(prefix: string): void {
  if (prefix.startsWith('/') && prefix.length <= KEY_LENGTH_MAX) return;
  refuse(`${JSON.stringify(prefix)} is not the beginning of a key; keys begin with a slash`);
}

function textOf(key: string, value: unknown): string {
  const text = JSON.stringify(value) ?? refuse(`the value of ${key} is not JSON`);
  const bytes = Buffer.byteLength(text);
  if (bytes > VALUE_BYTES_MAX) refuse(`the value of ${key} has ${bytes} bytes; at most ${VALUE_BYTES_MAX}`);
  return text;
}

function refuse(message: string): never {
  throw new StoreError('invalid', message);
}
