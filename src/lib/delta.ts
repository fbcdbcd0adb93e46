/**
 * Desired and actual, and the difference between them.
 *
 * Nothing in muslin reacts to an event by changing the kernel directly. Events change what is desired; reading the
 * kernel tells what is actual; the difference is what is left to do. So a lost event, a restart, or somebody else's hand
 * in the kernel all heal in the same way.
 *
 * Invariant: `differing` holds exactly the keys whose desired and actual values are not equal. It is kept up to date at
 * each change, so the cost of asking is the number of differences, not the number of objects.
 */
import { setOrDelete } from './set-or-delete.ts';

export class Delta<Value> {
  readonly #desired = new Map<string, Value>();
  readonly #actual = new Map<string, Value>();
  readonly #differing = new Set<string>();
  readonly #equal: (a: Value, b: Value) => boolean;

  constructor(equal: (a: Value, b: Value) => boolean) {
    this.#equal = equal;
  }

  desired(key: string): Value | undefined {
    return this.#desired.get(key);
  }

  actual(key: string): Value | undefined {
    return this.#actual.get(key);
  }

  desiredEntries(): IterableIterator<[string, Value]> {
    return this.#desired.entries();
  }

  actualEntries(): IterableIterator<[string, Value]> {
    return this.#actual.entries();
  }

  get desiredSize(): number {
    return this.#desired.size;
  }

  differing(): ReadonlySet<string> {
    return this.#differing;
  }

  /** What should be; undefined means that nothing should be there under this key. */
  setDesired(key: string, value: Value | undefined): void {
    setOrDelete(this.#desired, key, value);
    this.#compare(key);
  }

  /** What is there, as far as we know; undefined means nothing. */
  setActual(key: string, value: Value | undefined): void {
    setOrDelete(this.#actual, key, value);
    this.#compare(key);
  }

  replaceDesired(entries: ReadonlyMap<string, Value>): void {
    for (const key of [...this.#desired.keys()]) if (!entries.has(key)) this.setDesired(key, undefined);
    for (const [key, value] of entries) this.setDesired(key, value);
  }

  /** Takes a complete reading of what is there. */
  replaceActual(entries: ReadonlyMap<string, Value>): void {
    for (const key of [...this.#actual.keys()]) if (!entries.has(key)) this.setActual(key, undefined);
    for (const [key, value] of entries) this.setActual(key, value);
  }

  #compare(key: string): void {
    const desired = this.#desired.get(key);
    const actual = this.#actual.get(key);
    const same = desired === undefined || actual === undefined ? desired === actual : this.#equal(desired, actual);
    if (same) this.#differing.delete(key);
    else this.#differing.add(key);
  }
}
