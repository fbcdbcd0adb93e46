/**
 * Removing old history from etcd, which keeps every revision until it is told not to, and stops when its quota is full.
 *
 * Whoever watches does this, in the cluster's steps of one period: first it notes the revision, a period later it has etcd forget
 * what was before. So a watcher that was away for less than a period goes on where it was. That several do the same does no
 * harm. Compaction concerns the whole cluster; `compact=no` in the address leaves it to others.
 */
import type { EtcdConnection } from './etcd-connection.ts';
import type { EtcdLayout } from './etcd-layout.ts';
import { COMPACT, RANGE } from './etcd-rpc.ts';

export class EtcdHistory {
  readonly #connection: EtcdConnection;
  readonly #layout: EtcdLayout;
  readonly #periodMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** The revision of a period ago. */
  #noted: number | undefined;

  constructor(connection: EtcdConnection, layout: EtcdLayout, periodMs: number) {
    this.#connection = connection;
    this.#layout = layout;
    this.#periodMs = periodMs;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.#turn(), this.#periodMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #turn(): Promise<void> {
    const forget = this.#noted;
    try {
      const { header } = await this.#connection.read(RANGE, { key: this.#layout.clock.key, keys_only: true });
      this.#noted = header.revision;
      if (forget !== undefined) await this.#connection.read(COMPACT, { revision: forget });
    } catch {
      // Somebody else has compacted further, or etcd is away: the next turn will do.
    }
  }
}
