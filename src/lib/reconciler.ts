/**
 * Converging one kind of kernel object: what to do now, what went wrong, when to try again.
 *
 * The reconciler wraps a Delta with a memory of failures. It never touches the kernel: the dataplane asks it for the
 * operations that are due, the shell applies them, and reports each result back. One object that fails does not stop the
 * others; it keeps its error and is retried after a growing wait. A change of what is desired ends the wait at once,
 * since the new value may well work.
 *
 * Invariants: an object is `done` exactly when desired and actual are equal; removals are withheld until
 * `allowRemovals()` has been called once, because before the store has said "in sync" what looks stale may merely be unknown.
 */
import type { Backoff } from './backoff.ts';
import { backoffMs } from './backoff.ts';
import type { Instant } from './clock.ts';
import { after, earlier } from './clock.ts';
import { Delta } from './delta.ts';
import type { Random } from './prng.ts';

export type Operation<Value> =
  | { readonly kind: 'add'; readonly key: string; readonly desired: Value }
  | { readonly kind: 'change'; readonly key: string; readonly desired: Value; readonly actual: Value }
  | { readonly kind: 'remove'; readonly key: string; readonly actual: Value };

export type ObjectStatus =
  | { readonly state: 'done' }
  | { readonly state: 'pending' }
  | { readonly state: 'error'; readonly error: string; readonly failures: number };

interface Failure {
  readonly error: string;
  readonly failures: number;
  readonly retryAt: Instant;
}

export class Reconciler<Value> {
  readonly #delta: Delta<Value>;
  readonly #failures = new Map<string, Failure>();
  readonly #equal: (a: Value, b: Value) => boolean;
  readonly #backoff: Backoff;
  readonly #random: Random;
  #removalsAllowed = false;

  constructor(options: { equal: (a: Value, b: Value) => boolean; backoff: Backoff; random: Random }) {
    this.#delta = new Delta(options.equal);
    this.#equal = options.equal;
    this.#backoff = options.backoff;
    this.#random = options.random;
  }

  allowRemovals(): void {
    this.#removalsAllowed = true;
  }

  /** What should be under `key`; undefined for nothing. Saying the same again does not end a wait. */
  setDesired(key: string, value: Value | undefined): void {
    const before = this.#delta.desired(key);
    const same = value === undefined || before === undefined ? value === before : this.#equal(value, before);
    if (same) return;
    this.#delta.setDesired(key, value);
    this.#failures.delete(key);
  }

  replaceDesired(entries: ReadonlyMap<string, Value>): void {
    for (const [key] of [...this.#delta.desiredEntries()]) if (!entries.has(key)) this.setDesired(key, undefined);
    for (const [key, value] of entries) this.setDesired(key, value);
  }

  replaceActual(entries: ReadonlyMap<string, Value>): void {
    this.#delta.replaceActual(entries);
    for (const key of this.#failures.keys()) this.#forgetSettled(key);
  }

  setActual(key: string, value: Value | undefined): void {
    this.#delta.setActual(key, value);
    this.#forgetSettled(key);
  }

  desired(key: string): Value | undefined {
    return this.#delta.desired(key);
  }

  desiredEntries(): IterableIterator<[string, Value]> {
    return this.#delta.desiredEntries();
  }

  /** The operations that are due at `now`, in no particular order: the dataplane's apply order decides that. */
  operations(now: Instant): Operation<Value>[] {
    const due: Operation<Value>[] = [];
    for (const key of this.#delta.differing()) {
      const failure = this.#failures.get(key);
      if (failure !== undefined && failure.retryAt > now) continue;
      const desired = this.#delta.desired(key);
      const actual = this.#delta.actual(key);
      if (desired !== undefined && actual !== undefined) due.push({ kind: 'change', key, desired, actual });
      else if (desired !== undefined) due.push({ kind: 'add', key, desired });
      else if (actual !== undefined && this.#removalsAllowed) due.push({ kind: 'remove', key, actual });
    }
    return due;
  }

  /** The operation was carried out: what was desired of it is now actual. */
  succeeded(operation: Operation<Value>): void {
    this.#failures.delete(operation.key);
    this.#delta.setActual(operation.key, operation.kind === 'remove' ? undefined : operation.desired);
  }

  /** The operation failed at `now`; it is due again after a wait. */
  failed(operation: Operation<Value>, error: string, now: Instant): void {
    const failures = (this.#failures.get(operation.key)?.failures ?? 0) + 1;
    const retryAt = after(now, backoffMs(this.#backoff, failures, this.#random));
    this.#failures.set(operation.key, { error, failures, retryAt });
  }

  /** When the next withheld operation falls due; undefined when nothing waits. */
  nextRetry(): Instant | undefined {
    let next: Instant | undefined;
    for (const key of this.#delta.differing()) next = earlier(next, this.#failures.get(key)?.retryAt);
    return next;
  }

  status(key: string): ObjectStatus {
    if (!this.#delta.differing().has(key)) return { state: 'done' };
    const failure = this.#failures.get(key);
    if (failure === undefined) return { state: 'pending' };
    return { state: 'error', error: failure.error, failures: failure.failures };
  }

  /** Keys whose desired and actual state differ, with their status: empty when in sync. */
  unsettled(): { readonly key: string; readonly status: ObjectStatus }[] {
    const keys = [...this.#delta.differing()];
    return keys
      .filter((key) => this.#removalsAllowed || this.#delta.desired(key) !== undefined)
      .map((key) => ({ key, status: this.status(key) }));
  }

  /** What another hand has put right has no failure to remember: when it breaks again, it is tried at once. */
  #forgetSettled(key: string): void {
    if (!this.#delta.differing().has(key)) this.#failures.delete(key);
  }
}
