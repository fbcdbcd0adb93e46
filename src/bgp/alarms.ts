/**
 * Who wants to be woken when: thousands of peers, and only the next one is of interest.
 *
 * A binary heap with one entry for each owner. A hold timer that moves on with every message would churn it, so moving an
 * alarm to later is free: the entry rings at its old time, the owner is asked again and finds that nothing is due.
 */
import type { Instant } from '../lib/clock.ts';

interface Alarm<Owner> {
  readonly owner: Owner;
  readonly at: Instant;
}

export class Alarms<Owner> {
  #heap: Alarm<Owner>[] = [];
  readonly #next = new Map<Owner, Instant>();

  /** When the first alarm rings; undefined when there is none. It may be earlier than anybody needs. */
  get next(): Instant | undefined {
    return this.#heap[0]?.at;
  }

  /** Wakes the owner at `at` or earlier; undefined leaves what was set before. */
  set(owner: Owner, at: Instant | undefined): void {
    if (at === undefined) return;
    const known = this.#next.get(owner);
    if (known !== undefined && known <= at) return;
    this.#next.set(owner, at);
    this.#push({ owner, at });
  }

  /** The owners whose alarms have rung; they have none until they set one again. */
  takeDue(now: Instant): Owner[] {
    const due: Owner[] = [];
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop();
      // An earlier alarm has replaced this one, or its owner is gone.
      if (this.#next.get(first.owner) !== first.at) continue;
      this.#next.delete(first.owner);
      due.push(first.owner);
    }
    return due;
  }

  remove(owner: Owner): void {
    this.#next.delete(owner);
  }

  #push(alarm: Alarm<Owner>): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(alarm);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at <= alarm.at) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = alarm;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (left === undefined) break;
      if (right !== undefined && right.at < left.at) child += 1;
      const smaller = heap[child];
      if (smaller === undefined || smaller.at >= last.at) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = last;
  }
}
