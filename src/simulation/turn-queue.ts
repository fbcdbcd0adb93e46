/**
 * Whose turn is next: a binary heap by time, and by age among equals, so that a run can be repeated.
 *
 * An owner that has moved to an earlier turn leaves the later entry behind; who takes it sees that it holds no more.
 */
import type { Instant } from '../lib/clock.ts';

interface Turn<Owner> {
  readonly owner: Owner;
  readonly at: Instant;
  readonly age: number;
}

export class TurnQueue<Owner> {
  readonly #heap: Turn<Owner>[] = [];
  #age = 0;

  /** When the first turn is; undefined when there is none. */
  get nextAt(): Instant | undefined {
    return this.#heap[0]?.at;
  }

  put(owner: Owner, at: Instant): void {
    this.#age += 1;
    const turn = { owner, at, age: this.#age };
    const heap = this.#heap;
    let index = heap.length;
    heap.push(turn);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, turn)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = turn;
  }

  /** The first turn, which is no longer in the queue. */
  take(): Turn<Owner> | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) child += 1;
      const smaller = heap[child];
      if (smaller === undefined || !isBefore(smaller, last)) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function isBefore(a: Turn<unknown>, b: Turn<unknown>): boolean {
  return a.at < b.at || (a.at === b.at && a.age < b.age);
}
