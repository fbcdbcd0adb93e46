/**
 * A table of 32-bit integers that grows: rows of a fixed number of fields, in one block of memory.
 *
 * A hundred thousand rows as objects cost the garbage collector a visit each; as one block they cost none, and the fields of
 * a row lie side by side, so that touching a row touches one line of the cache. Values are signed; who wants them unsigned
 * says `>>> 0`. A row is written only after `reserve`; what it holds before is 0.
 */
export class IntTable {
  readonly #width: number;
  #values: Int32Array<ArrayBuffer>;

  /** Room for `rows` from the start: the system gives memory when it is touched, so too much costs nothing. */
  constructor(width: number, rows: number) {
    this.#width = width;
    this.#values = new Int32Array(width * rows);
  }

  get(row: number, field: number): number {
    return this.#values[row * this.#width + field] ?? 0;
  }

  set(row: number, field: number, value: number): void {
    this.#values[row * this.#width + field] = value;
  }

  /**
   * Makes room for a row. Doubles, so that growing row by row costs a constant per row. The old block is given back at once
   * rather than when the collector gets to it: it may be many megabytes.
   */
  reserve(row: number): void {
    const needed = (row + 1) * this.#width;
    if (needed <= this.#values.length) return;
    const length = Math.max(this.#values.length * 2, needed);
    this.#values = new Int32Array(this.#values.buffer.transfer(length * Int32Array.BYTES_PER_ELEMENT));
  }
}
