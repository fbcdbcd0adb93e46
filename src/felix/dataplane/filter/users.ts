/**
 * Who uses what: for "this has changed, whom does that concern?".
 *
 * Each user says all that it uses, at once; the other way is kept up to date along with it.
 */
export class Users<Used, User> {
  readonly #used = new Map<User, ReadonlySet<Used>>();
  readonly #users = new Map<Used, Set<User>>();

  of(used: Used): Iterable<User> {
    return this.#users.get(used) ?? [];
  }

  /** All that the user uses, instead of what it did before. */
  setUsed(user: User, used: readonly Used[]): void {
    const before = this.#used.get(user) ?? new Set<Used>();
    const now = new Set(used);
    for (const each of before) if (!now.has(each)) this.#drop(each, user);
    for (const each of now) {
      const users = this.#users.get(each);
      if (users === undefined) this.#users.set(each, new Set([user]));
      else users.add(user);
    }
    if (now.size === 0) this.#used.delete(user);
    else this.#used.set(user, now);
  }

  #drop(used: Used, user: User): void {
    const users = this.#users.get(used);
    users?.delete(user);
    if (users?.size === 0) this.#users.delete(used);
  }
}
