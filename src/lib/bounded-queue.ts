/**
 * A queue with a limit that coalesces by key.
 *
 * Between a watcher and the loop that obeys it only the last word on each key counts: a newer value replaces the older
 * one in its place, so the queue can never hold more entries than there are keys. The limit is a second fence against
 * a runaway source: `offer` says false, and the caller must fall back to reading everything anew.
 */
export class BoundedQueue<Key, Value> {
  readonly #entries = new Map<Key, Value>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Puts the newest value for `key`; false when the key is new and the queue is full. */
  offer(key: Key, value: Value): boolean {
    if (!this.#entries.has(key) && this.#entries.size >= this.#limit) return false;
    this.#entries.set(key, value);
    return true;
  }

  /** Takes everything, in the order in which the keys first came. */
  drain(): [Key, Value][] {
    const entries = [...this.#entries];
    this.#entries.clear();
    return entries;
  }
}
