/**
 * What the tests ask of a BGP daemon, whoever wrote it: BIRD, FRR, GoBGP, ExaBGP and muslin are all driven through this.
 *
 * A daemon gets its whole configuration when it is made: its place on the wire, its neighbours, the routes that it originates.
 * What it has learnt is read back in one notation, so that two implementations can be compared prefix by prefix.
 * Nothing here waits: a test asks again until the answer is right (`eventually` in `process.ts`).
 */
export interface Place {
  readonly namespace: string;
  /** Its address on the wire, and its router identifier. */
  readonly address: string;
  readonly address6: string;
}

/** What a neighbour is to the daemon. */
export type Relation = 'mesh' | 'reflectorClient' | 'reflector' | 'external';

export interface Neighbour {
  readonly address: string;
  readonly asn: number;
  readonly relation: Relation;
  readonly password: string | undefined;
  /** Several paths to a prefix, in both directions (RFC 7911). */
  readonly addPath: boolean;
  /** Watched by BFD; `graceful` where a path that is lost counts as a restart of the neighbour (BIRD's word). */
  readonly bfd: 'off' | 'on' | 'graceful';
  /** Never dial. */
  readonly passive: boolean;
}

/** The attributes that a daemon originates a route with. */
export interface OriginatedAttributes {
  readonly origin: Origin;
  readonly asPath: readonly number[];
  readonly med: number;
  readonly localPreference: number;
  readonly communities: readonly (readonly [number, number])[];
  /** Route targets (RFC 4360 section 4). */
  readonly routeTargets: readonly (readonly [number, number])[];
  readonly largeCommunities: readonly (readonly [number, number, number])[];
}

export type Origin = 'igp' | 'egp' | 'incomplete';

export interface Origination {
  readonly prefix: string;
  /** Routes with the same set share this object. */
  readonly attributes: OriginatedAttributes;
}

/** One path as a daemon has learnt it. */
export interface LearntAttributes {
  readonly origin: Origin;
  /** Numbers between blanks. */
  readonly asPath: string;
  readonly nextHop: string;
  readonly med: number | undefined;
  readonly localPreference: number | undefined;
  /** "64512:1", "rt:64512:2" and "64512:1:2", sorted. */
  readonly communities: readonly string[];
  readonly originatorId: string | undefined;
  readonly clusterList: readonly string[];
}

export type Table = ReadonlyMap<string, readonly LearntAttributes[]>;

export interface DaemonOptions {
  readonly place: Place;
  readonly asn: number;
  readonly neighbours: readonly Neighbour[];
  readonly originations: readonly Origination[];
  /** Whether what is learnt goes into the kernel's table. */
  readonly installs: boolean;
  /** For configuration, sockets and logs; removed by the test. */
  readonly directory: string;
}

export interface Daemon {
  readonly name: string;
  /** `restarting` says that a process of the same configuration was there before (RFC 4724). */
  start(restarting?: boolean): Promise<void>;
  /** Ends the process and waits for its end. No process is no error. */
  stop(signal: NodeJS.Signals): Promise<void>;
  established(neighbour: string): Promise<boolean>;
  /**
   * How many prefixes all neighbours together have sent; asked often, so it has to be cheap. It may count what is not used as
   * it has been here before: FRR sends routes back to whom it has them from.
   */
  prefixes(): Promise<number>;
  /** All that BGP has learnt from neighbours, in both families, without what has been here before. */
  routes(): Promise<Table>;
  /** Asks the neighbour for its routes again (RFC 2918). */
  refreshIn(neighbour: string): Promise<void>;
  /** Sends it all routes again. */
  refreshOut(neighbour: string): Promise<void>;
  /** What a person would want to read when a test has failed. */
  diagnosis(): Promise<string>;
}

/** A route's attributes in one line, for comparing and for messages. */
export function attributesText(attributes: LearntAttributes): string {
  const { origin, asPath, nextHop, med, localPreference, communities, originatorId, clusterList } = attributes;
  return [
    `next hop ${nextHop}`,
    `origin ${origin}`,
    `path [${asPath}]`,
    `med ${med ?? '-'}`,
    `local preference ${localPreference ?? '-'}`,
    `communities [${communities.join(' ')}]`,
    `originator ${originatorId ?? '-'}`,
    `clusters [${clusterList.join(' ')}]`,
  ].join(', ');
}
