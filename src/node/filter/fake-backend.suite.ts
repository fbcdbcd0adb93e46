/**
 * A backend whose kernel is a list of chains' names, and the log of what was asked of it.
 */
import type { ChainKey, FilterProgram, ProgramChanges } from '../../felix/dataplane/filter/program.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { FilterBackend, RuleCount } from './filter-backend.ts';

export class FakeBackend implements FilterBackend {
  readonly identity: string;
  readonly title: string;
  readonly #calls: string[];
  /** What the next calls of a name meet. */
  readonly faults = new Map<string, string>();
  /** What `apply` says it has changed. */
  changed = 1;
  counted: ReadonlyMap<ChainKey, readonly RuleCount[]> = new Map();
  watched = false;
  foreignChange: (by: string) => void = () => undefined;

  constructor(identity: string, calls: string[]) {
    this.identity = identity;
    this.title = `the ${identity}`;
    this.#calls = calls;
  }

  /** "nftables apply all", "nftables apply 2 chains". */
  apply(_program: FilterProgram, changes: ProgramChanges | undefined): number {
    this.#meet(changes === undefined ? 'apply all' : `apply ${changes.chains.size} chains`, 'apply');
    return this.changed;
  }

  counts(): ReadonlyMap<ChainKey, readonly RuleCount[]> {
    this.#meet('counts', 'counts');
    return this.counted;
  }

  isWatched(): boolean {
    return this.watched;
  }

  warnings(): readonly string[] {
    return [];
  }

  watch(onForeignChange: (by: string) => void): void {
    this.foreignChange = onForeignChange;
  }

  remove(): void {
    this.#meet('remove', 'remove');
  }

  close(): void {
    this.#calls.push(`${this.identity} close`);
  }

  #meet(what: string, name: string): void {
    this.#calls.push(`${this.identity} ${what}`);
    const fault = this.faults.get(name);
    this.faults.delete(name);
    if (fault !== undefined) throw new KernelError('EINVAL', fault);
  }
}
