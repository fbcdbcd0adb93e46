/**
 * Entries that are there for as long as their writer lives: etcd's leases.
 *
 * The entry hangs on a lease that is renewed three times in its life. When the process dies, or the machine, nobody renews it,
 * and etcd removes the entry some seconds later; who watches is told like of any removal. A lease that has run out
 * meanwhile (an etcd that was away for longer) is granted anew, and the entry put again. An orderly end revokes it at once.
 * The lease's number is chosen here: etcd would give one of 63 bits, which JavaScript's numbers do not hold.
 */
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { EtcdConnection } from './etcd-connection.ts';
import { CallFailure } from './etcd-error.ts';
import type { EtcdLayout } from './etcd-layout.ts';
import { LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE, TXN } from './etcd-rpc.ts';
import { StoreError } from './store.ts';

/** Renewed at a third of its life, a lease survives two renewals that fail. */
const RENEWALS_PER_LIFE = 3;
/** An answer to a renewal that does not come in this time counts as none. */
const RENEWAL_MS = 3_000;
/** Random numbers below this do not meet, and are exact. */
const LEASE_ID_MAX = 2 ** 48;

/** Keeps `key` at `text` until `signal` aborts, then removes it. Resolves at the end; a cluster that is away is waited for. */
export async function keepPresent(
  connection: EtcdConnection,
  layout: EtcdLayout,
  key: string,
  text: string,
  options: { readonly signal: AbortSignal; readonly ttlSeconds: number },
): Promise<void> {
  const { signal, ttlSeconds } = options;
  const waitMs = (ttlSeconds * 1000) / RENEWALS_PER_LIFE;
  let lease: number | undefined;
  while (!signal.aborted) {
    try {
      if (lease !== undefined && !(await renew(connection, lease))) lease = undefined;
      lease ??= await putOnLease(connection, layout, key, text, ttlSeconds);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === 'closed') return;
    }
    await pause(waitMs, undefined, { signal }).catch(() => undefined);
  }
  if (lease === undefined) return;
  // If etcd is away, the lease runs out by itself.
  await connection.write(LEASE_REVOKE, { ID: lease }).catch(() => undefined);
}

async function putOnLease(
  connection: EtcdConnection,
  layout: EtcdLayout,
  key: string,
  text: string,
  ttlSeconds: number,
): Promise<number> {
  const lease = 1 + Math.floor(Math.random() * LEASE_ID_MAX);
  await connection.write(LEASE_GRANT, { TTL: ttlSeconds, ID: lease });
  const put = { key: layout.bytesOf(key), value: Buffer.from(text), lease };
  await connection.write(TXN, {
    compare: [],
    success: [{ request_put: put }, { request_put: layout.clock }],
    failure: [],
  });
  return lease;
}

/** Whether the lease is still there, and now has its whole life before it. Throws StoreError. */
async function renew(connection: EtcdConnection, lease: number): Promise<boolean> {
  const stream = await connection.stream(LEASE_KEEP_ALIVE);
  try {
    stream.write({ ID: lease });
    const [answer] = await once(stream, 'data', { signal: AbortSignal.timeout(RENEWAL_MS) });
    return answer.TTL > 0;
  } catch (error) {
    throw connection.streamFailed(failureOf(error));
  } finally {
    stream.on('error', () => undefined); // cancelling is reported as one
    stream.cancel();
  }
}

function failureOf(error: unknown): CallFailure {
  const isCallError = error instanceof Error && 'code' in error && 'details' in error;
  if (isCallError && typeof error.code === 'number') return new CallFailure(error.code, String(error.details));
  const UNAVAILABLE = 14; // gRPC's number
  return new CallFailure(UNAVAILABLE, 'no answer to the renewal of a lease');
}
