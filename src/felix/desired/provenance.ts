/**
 * Where a desired object comes from: who asked for it, and where that was written.
 *
 * Every route, rule and endpoint carries it to the end, so that it can be explained.
 */
/** Who asked for it: "WorkloadEndpoint default/a1", "BGP peer 192.168.100.101". */
export interface Provenance {
  readonly origin: string;
  /** "pools.yaml:3", where the resource came from a file. */
  readonly source?: string;
}
