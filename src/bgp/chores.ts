/**
 * Long work in slices: so that a peer with a million routes that vanishes does not keep others from being heard.
 *
 * A chore does one slice each time it is called, and says whether more is left. Chores of one owner run in their order;
 * an owner that cannot go on before its chores are done has them finished at once.
 */

/** Does a slice; true while more is left. */
export type Chore = () => boolean;

export class Chores {
  #waiting: { readonly owner: object; readonly chore: Chore }[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  add(owner: object, chore: Chore): void {
    this.#waiting.push({ owner, chore });
  }

  /** One slice of the first chore. */
  step(): void {
    const first = this.#waiting[0];
    if (first !== undefined && !first.chore()) this.#waiting.shift();
  }

  /** Does all that is left for an owner. */
  finish(owner: object): void {
    if (this.#waiting.length === 0) return;
    const own = this.#waiting.filter((entry) => entry.owner === owner);
    if (own.length === 0) return;
    this.#waiting = this.#waiting.filter((entry) => entry.owner !== owner);
    for (const { chore } of own) while (chore());
  }
}
