/**
 * Many writes as few transactions: cut where a transaction would break the store's limits.
 *
 * A transaction has at most TRANSACTION_WRITES_MAX writes, and etcd takes requests of 1.5 MiB, so the values of one stay
 * below BATCH_BYTES_MAX together unless a single one is longer. The order of the writes is kept. Pure: import and migrate
 * send what comes out, and look for interruptions in between.
 */
import type { Expectation, Write } from '../store/store.ts';
import { TRANSACTION_WRITES_MAX, VALUE_BYTES_MAX } from '../store/store.ts';

/** As much as one value may have: what the store takes for one it takes for several. */
const BATCH_BYTES_MAX = VALUE_BYTES_MAX;

/** A write with what must still be true of its key. */
export interface GuardedWrite {
  readonly write: Write;
  readonly expect: Expectation;
}

/** The writes in order, in pieces that a transaction can take. */
export function writeBatches(
  writes: readonly GuardedWrite[],
  writesMax = TRANSACTION_WRITES_MAX,
  bytesMax = BATCH_BYTES_MAX,
): GuardedWrite[][] {
  const batches: GuardedWrite[][] = [];
  let batch: GuardedWrite[] = [];
  let bytes = 0;
  for (const guarded of writes) {
    const size = sizeOf(guarded.write);
    if (batch.length === writesMax || (batch.length > 0 && bytes + size > bytesMax)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(guarded);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

function sizeOf(write: Write): number {
  return write.key.length + (write.kind === 'put' ? Buffer.byteLength(JSON.stringify(write.value)) : 0);
}
