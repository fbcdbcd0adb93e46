/**
 * muslin as a daemon among the others: `muslin bgp run` with a file of its own, asked through its control socket.
 *
 * It originates with what such a file can say (communities, large communities, local preference); whole tables with every
 * attribute come to it from a peer. What its views call communities is put into the tests' notation.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NeighborView, PeerView, RouteView } from '../../../src/bgp/observe/views.ts';
import { bgpNeighbor, bgpStatus } from '../../../src/node/control-client.ts';
import type { Daemon, DaemonOptions, LearntAttributes, Neighbour, Origination } from './daemon.ts';
import { eventually, Running, tryAsk } from './process.ts';

const MUSLIN = fileURLToPath(new URL('../../../bin/muslin', import.meta.url));
/** How many paths to a prefix a peer with add-path is sent. */
const PATHS_SENT_MAX = 8;

export interface MuslinDaemon extends Daemon {
  neighbor(address: string): Promise<NeighborView | undefined>;
  routeViews(): Promise<readonly RouteView[]>;
  /** What `muslin bgp WORDS` prints. */
  muslin(...words: string[]): Promise<string>;
  /** Gives it another file to run with, in which all neighbours have these fields, too. */
  reconfigure(change: { readonly originations?: readonly Origination[]; readonly fields?: Fields }): void;
}

/** Fields of a neighbour in the file of `muslin bgp run`. */
type Fields = Readonly<Record<string, string | number | boolean>>;

/** With fields for each of its neighbours that only muslin has. */
export function muslinWith(fields: Fields): (options: DaemonOptions) => MuslinDaemon {
  return (options) => muslinDaemon(options, fields);
}

export function muslinDaemon(options: DaemonOptions, fields: Fields = {}): MuslinDaemon {
  const { place, directory } = options;
  const write = (current: DaemonOptions, more: Fields): void =>
    writeFileSync(file, JSON.stringify(configuration(current, more)));
  const file = join(directory, 'muslin.json');
  const socket = join(directory, 'muslin.sock');
  let process: Running | undefined;
  const muslin = (...words: string[]): Promise<string> =>
    tryAsk(place.namespace, MUSLIN, 'bgp', ...words, '--socket', socket);
  const routeViews = async (): Promise<readonly RouteView[]> => {
    const answer = await muslin('routes', '-o', 'json');
    const views = parse<RouteView[]>(answer);
    if (views === undefined) throw new Error(`muslin bgp routes has no answer: ${answer.slice(-2_000)}`);
    return views;
  };
  const peers = async (): Promise<readonly PeerView[] | undefined> => (await answered(bgpStatus(socket)))?.peers;
  const neighbor = (address: string): Promise<NeighborView | undefined> => answered(bgpNeighbor(socket, address));
  return {
    name: 'muslin',
    start: async () => {
      write(options, fields);
      process = new Running(place.namespace, MUSLIN, ['bgp', 'run', '--config', file, '--socket', socket]);
      const isUp = async (): Promise<boolean> => existsSync(socket) && (await peers()) !== undefined;
      await eventually(
        'muslin has an answer',
        () => process?.hasEnded === true || isUp(),
        async () => process?.log ?? '',
      );
      if (process.hasEnded) throw new Error(`muslin bgp run has ended:\n${process.log}`);
    },
    stop: async (signal) => process?.stop(signal),
    established: async (address) => (await neighbor(address))?.state === 'Established',
    prefixes: async () => {
      return ((await peers()) ?? []).reduce((sum, peer) => sum + peer.prefixesReceived, 0);
    },
    routes: async () => {
      const table = new Map<string, LearntAttributes[]>();
      for (const view of await routeViews()) {
        if (view.from === 'local' || hasBeenHere(view, options)) continue;
        const paths = table.get(view.prefix) ?? [];
        table.set(view.prefix, [...paths, attributesOf(view)]);
      }
      return table;
    },
    refreshIn: async (address) => void (await muslin('reset', address, '--soft', 'in')),
    refreshOut: async (address) => void (await muslin('reset', address, '--soft', 'out')),
    diagnosis: async () => `${await muslin('peers')}\n${process?.log ?? ''}`,
    neighbor,
    routeViews,
    muslin,
    reconfigure: (change) => {
      write({ ...options, originations: change.originations ?? options.originations }, { ...fields, ...change.fields });
      process?.tell('SIGHUP');
    },
  };
}

/** What is asked again and again is asked without a process for each asking; undefined where nobody answers, or not yet. */
async function answered<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await answer;
  } catch {
    return undefined;
  }
}

/** Our AS number, our identifier as originator or as cluster: such a route is kept, but not used. */
function hasBeenHere({ asPath, originatorId, clusterList }: RouteView, { place, asn }: DaemonOptions): boolean {
  const marks = [...asPath.split(' '), originatorId, ...clusterList];
  return marks.includes(String(asn)) || marks.includes(place.address);
}

function parse<Answer>(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer; // our own views, whose types these are
  } catch {
    return undefined;
  }
}

function configuration({ place, asn, neighbours, originations, installs }: DaemonOptions, fields: Fields): unknown {
  return {
    asNumber: asn,
    routerId: place.address,
    nextHops: { ipv4: place.address, ipv6: place.address6 },
    listen: [{ address: place.address }, { address: place.address6 }],
    neighbors: neighbours.map((neighbour) => ({ ...neighbourFields(neighbour), ...fields })),
    announce: originations.map(announcement),
    kernel: { install: installs },
  };
}

function neighbourFields(neighbour: Neighbour): object {
  const { address, asn, password, passive, relation, addPath, bfd } = neighbour;
  return {
    address,
    asNumber: asn,
    passive,
    connectRetry: '1s',
    import: 'all',
    export: 'all',
    ...(password !== undefined && { password }),
    ...(bfd !== 'off' && { bfd: '300ms*3' }),
    ...(relation === 'reflectorClient' && { reflectorClient: true }),
    ...(addPath && { addPathSend: PATHS_SENT_MAX, addPathReceive: true }),
  };
}

function announcement({ prefix, attributes }: Origination): unknown {
  const { communities, largeCommunities, localPreference } = attributes;
  return {
    prefix,
    communities: [...communities, ...largeCommunities].map((parts) => parts.join(':')),
    localPreference,
  };
}

function attributesOf(view: RouteView): LearntAttributes {
  const { origin, asPath, nextHop, med, localPreference, communities, originatorId, clusterList } = view;
  return {
    origin,
    asPath,
    nextHop,
    med,
    localPreference,
    communities: communities.toSorted(),
    originatorId,
    clusterList,
  };
}
