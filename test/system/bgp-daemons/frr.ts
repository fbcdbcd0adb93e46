/**
 * FRR's zebra and bgpd, foreground, as user frr, with sockets of their own; asked through vtysh in JSON.
 *
 * What it originates are `network` statements, each set of attributes a route map. zebra runs with -K, so that it leaves routes
 * in the kernel when it is started again, and keeps bgpd's routes while bgpd restarts gracefully.
 */
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon, DaemonOptions, LearntAttributes, Neighbour, OriginatedAttributes } from './daemon.ts';
import { eventually, Running, tryAsk } from './process.ts';

const PROGRAMS = '/usr/lib/frr';
const USER = ['-u', 'frr', '-g', 'frr'];
const FAMILIES = ['ipv4', 'ipv6'] as const;

export interface FrrDaemon extends Daemon {
  /** Runs lines of the shell, one after the other. */
  vtysh(...lines: string[]): Promise<string>;
}

export function frrDaemon(options: DaemonOptions): FrrDaemon {
  const { place, directory } = options;
  let zebra: Running | undefined;
  let bgpd: Running | undefined;
  const zserv = join(directory, 'zserv.api');
  const vtysh = (...lines: string[]): Promise<string> => {
    const commands = lines.flatMap((line) => ['-c', line]);
    return tryAsk(place.namespace, 'vtysh', '--vty_socket', directory, '-d', 'bgpd', ...commands);
  };
  const log = async (): Promise<string> => `${zebra?.log ?? ''}\n${bgpd?.log ?? ''}`;
  const sockets = ['--vty_socket', directory, '-z', zserv, '-A', '127.0.0.1', '-P', '0', ...USER];
  const startZebra = async (): Promise<void> => {
    const file = join(directory, 'zebra.conf');
    writeFileSync(file, 'hostname zebra\n');
    zebra = new Running(place.namespace, `${PROGRAMS}/zebra`, [
      '-f',
      file,
      '-i',
      join(directory, 'zebra.pid'),
      '-K',
      '300',
      ...sockets,
    ]);
    await eventually('zebra listens', () => existsSync(zserv), log);
  };
  return {
    name: 'FRR',
    vtysh,
    start: async () => {
      chmodSync(directory, 0o777); // the daemons give up root before they make their sockets
      if (zebra === undefined || zebra.hasEnded) await startZebra();
      const file = join(directory, 'bgpd.conf');
      writeFileSync(file, configuration(options));
      const own = ['-f', file, '-i', join(directory, 'bgpd.pid'), '-l', place.address];
      bgpd = new Running(place.namespace, `${PROGRAMS}/bgpd`, [
        ...own,
        ...sockets,
        ...(options.installs ? [] : ['-n']),
      ]);
      const isUp = async (): Promise<boolean> => (await vtysh('show bgp summary json')).startsWith('{');
      await eventually('vtysh has an answer', isUp, log);
    },
    // zebra stays where bgpd is killed, as it does when bgpd crashes.
    stop: async (signal) => {
      await bgpd?.stop(signal);
      if (signal !== 'SIGKILL') await zebra?.stop('SIGTERM');
    },
    established: async (address) => {
      const answer = parse<Record<string, { bgpState?: string }>>(await vtysh(`show bgp neighbors ${address} json`));
      return answer?.[address]?.bgpState === 'Established';
    },
    prefixes: async () => {
      const answer = parse<Record<string, Summary>>(await vtysh('show bgp summary json')) ?? {};
      const counts = Object.values(answer).flatMap(({ peers }) =>
        Object.values(peers ?? {}).map(({ pfxRcd }) => pfxRcd),
      );
      return counts.reduce((sum, count) => sum + count, 0);
    },
    routes: async () => {
      const table = new Map<string, LearntAttributes[]>();
      for (const family of FAMILIES) {
        const answer = parse<{ routes?: Routes }>(await vtysh(`show bgp ${family} unicast json detail`));
        addRoutes(table, answer?.routes ?? {});
      }
      return table;
    },
    refreshIn: async (address) => {
      for (const family of FAMILIES) await vtysh(`clear bgp ${family} unicast ${address} soft in`);
    },
    refreshOut: async (address) => {
      for (const family of FAMILIES) await vtysh(`clear bgp ${family} unicast ${address} soft out`);
    },
    diagnosis: async () => `${await vtysh('show bgp neighbors')}\n${await log()}`,
  };
}

function parse<Answer>(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer; // bgpd's own notation, read field by field below
  } catch {
    return undefined;
  }
}

function configuration(options: DaemonOptions): string {
  const { asn, place, neighbours, originations } = options;
  const sets = [...new Set(originations.map(({ attributes }) => attributes))];
  const networks = (family: 4 | 6): string =>
    originations
      .filter(({ prefix }) => prefix.includes(':') === (family === 6))
      .map(({ prefix, attributes }) => `  network ${prefix} route-map set${sets.indexOf(attributes)}`)
      .join('\n');
  const each = (lines: (neighbour: Neighbour) => string[]): string =>
    neighbours.flatMap((neighbour) => lines(neighbour).map((line) => `${line}\n`)).join('');
  return `frr defaults datacenter
hostname bgpd
log stdout informational
${sets.map(routeMap).join('')}router bgp ${asn}
 bgp router-id ${place.address}
 bgp cluster-id ${place.address}
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
 timers bgp 30 90
${each(neighbourLines)} address-family ipv4 unicast
${each((neighbour) => channelLines(neighbour))}${networks(4)}
 exit-address-family
 address-family ipv6 unicast
${each((neighbour) => channelLines(neighbour))}${networks(6)}
 exit-address-family
`;
}

function neighbourLines({ address, asn, passive, password }: Neighbour): string[] {
  return [
    ` neighbor ${address} remote-as ${asn}`,
    ` neighbor ${address} timers connect 1`,
    ` neighbor ${address} graceful-restart`,
    ...(passive ? [` neighbor ${address} passive`] : []),
    ...(password === undefined ? [] : [` neighbor ${address} password ${password}`]),
  ];
}

function channelLines({ address, relation, addPath }: Neighbour): string[] {
  return [
    `  neighbor ${address} activate`,
    ...(relation === 'reflectorClient' ? [`  neighbor ${address} route-reflector-client`] : []),
    ...(addPath ? [`  neighbor ${address} addpath-tx-all-paths`] : []),
  ];
}

function routeMap(attributes: OriginatedAttributes, index: number): string {
  const { origin, asPath, med, localPreference, communities, routeTargets, largeCommunities } = attributes;
  const words = (tuples: readonly (readonly number[])[]): string => tuples.map((tuple) => tuple.join(':')).join(' ');
  return [
    `route-map set${index} permit 10`,
    ` set origin ${origin}`,
    ` set metric ${med}`,
    ` set local-preference ${localPreference}`,
    ...(asPath.length === 0 ? [] : [` set as-path prepend ${asPath.join(' ')}`]),
    ...(communities.length === 0 ? [] : [` set community ${words(communities)}`]),
    ...(routeTargets.length === 0 ? [] : [` set extcommunity rt ${words(routeTargets)}`]),
    ...(largeCommunities.length === 0 ? [] : [` set large-community ${words(largeCommunities)}`]),
    'exit\n',
  ].join('\n');
}

/** Of one family. */
interface Summary {
  readonly peers?: Readonly<Record<string, { readonly pfxRcd: number }>>;
}

/** The paths of a prefix; before them stands an object that repeats the prefix. */
type Routes = Readonly<Record<string, readonly Partial<FrrPath>[]>>;

interface FrrPath {
  readonly aspath: { readonly string: string };
  readonly origin: 'IGP' | 'EGP' | 'incomplete';
  readonly metric: number;
  readonly locPrf: number;
  /** Ours, not learnt. */
  readonly sourced: boolean;
  readonly community: { readonly list: readonly string[] };
  readonly extendedCommunity: { readonly string: string };
  readonly largeCommunity: { readonly list: readonly string[] };
  readonly nexthops: readonly { readonly ip: string; readonly scope?: string }[];
  readonly originatorId: string;
  readonly clusterList: { readonly list: readonly string[] };
}

function addRoutes(table: Map<string, LearntAttributes[]>, routes: Routes): void {
  for (const [prefix, paths] of Object.entries(routes)) {
    const learnt = paths.filter((path) => path.aspath !== undefined && path.sourced !== true);
    if (learnt.length > 0) table.set(prefix, learnt.map(attributesOf));
  }
}

function attributesOf(path: Partial<FrrPath>): LearntAttributes {
  const targets = path.extendedCommunity?.string.split(' ').map((text) => text.replace(/^RT:/, 'rt:')) ?? [];
  const nextHop = path.nexthops?.find(({ scope }) => scope !== 'link-local');
  return {
    origin: path.origin === 'IGP' ? 'igp' : path.origin === 'EGP' ? 'egp' : 'incomplete',
    // bgpd calls an empty path by a name.
    asPath: path.aspath?.string === 'Local' ? '' : (path.aspath?.string ?? ''),
    nextHop: nextHop?.ip ?? '',
    med: path.metric,
    localPreference: path.locPrf,
    communities: [...(path.community?.list ?? []), ...targets, ...(path.largeCommunity?.list ?? [])].toSorted(),
    originatorId: path.originatorId,
    clusterList: path.clusterList?.list ?? [],
  };
}
