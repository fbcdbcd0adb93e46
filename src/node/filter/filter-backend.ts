/**
 * What the packet filter's shell wants of a backend: to make the kernel have a program, and to take it away again.
 *
 * A backend plans with the pure code of felix/dataplane and runs the plan in this host's network namespace. It is
 * synchronous, as all that changes the kernel is. Implementations: nftables-backend.ts, iptables-backend.ts.
 */
import type { ChainKey, FilterProgram, ProgramChanges } from '../../felix/dataplane/filter/program.ts';

/** What a rule has matched since it was made. */
export interface RuleCount {
  readonly packets: number;
  readonly bytes: number;
}

export interface FilterBackend {
  /** Tells backends apart that have rules of their own: "nftables", "iptables-legacy", "iptables-nft". */
  readonly identity: string;
  /** For people: "nftables (libnftables in process)", "iptables 1.8.9 (nf_tables)". */
  readonly title: string;
  /**
   * Leads the kernel to `program`. `changes` are those since the last call that succeeded; undefined: what is there is not
   * known and is read first. Gives how many objects were changed. Throws KernelError; then nothing is known again.
   */
  apply(program: FilterProgram, changes: ProgramChanges | undefined): number;
  /** Counts by rule of the chains that are asked for, in the order of the program's rules; of all when undefined. Throws KernelError. */
  counts(program: FilterProgram, chains?: ReadonlySet<ChainKey>): ReadonlyMap<ChainKey, readonly RuleCount[]>;
  /**
   * Calls back whenever somebody else has changed what is ours, with who it was as far as is known: "nft (process 4711)".
   * Never where the kernel does not tell. There is one watcher, the last.
   */
  watch(onForeignChange: (by: string) => void): void;
  /** Whether it is certain that nobody else has changed the rules since they were read, but for what `watch` has told. */
  isWatched(): boolean;
  /** What others do at our hooks that containers will feel, in sentences. Throws KernelError. */
  warnings(): readonly string[];
  /**
   * Removes all that is ours, whoever made it; others' rules stay, and what the backend in force uses, too: `inForce` is the
   * identity of that. Throws KernelError.
   */
  remove(inForce: string): void;
  close(): void;
}
