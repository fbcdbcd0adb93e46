/**
 * GoBGP: gobgpd in the foreground, asked with `gobgp -j` inside its namespace, where its API listens on lo.
 *
 * One `gobgp global rib add` takes milliseconds, so what it originates comes as an MRT table dump (RFC 6396) that it is told to
 * inject. It has no kernel routes of its own. It dials only after 5 seconds, so tests have the other side dial.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon, DaemonOptions, LearntAttributes, Neighbour, Origin, Table } from './daemon.ts';
import { mrtTableDump } from './mrt-table-dump.ts';
import { ask, eventually, Running, tryAsk } from './process.ts';

const FAMILIES = ['ipv4', 'ipv6'] as const;
const ESTABLISHED = 6;
const ORIGINS: readonly Origin[] = ['igp', 'egp', 'incomplete'];

export function gobgpDaemon(options: DaemonOptions): Daemon {
  const { place, directory, neighbours, originations } = options;
  let process: Running | undefined;
  const gobgp = (...words: string[]): Promise<string> => tryAsk(place.namespace, 'gobgp', ...words);
  const from = new Set(neighbours.map(({ address }) => address));
  const isLearnt = (path: GobgpPath): boolean => from.has(path['neighbor-ip'] ?? '');
  const tables = async (): Promise<Routes> => {
    const parts = FAMILIES.map(async (family) => parse<Routes>(await gobgp('-j', 'global', 'rib', '-a', family)) ?? {});
    const [ipv4, ipv6] = await Promise.all(parts);
    return { ...ipv4, ...ipv6 };
  };
  return {
    name: 'GoBGP',
    start: async (restarting = false) => {
      const file = join(directory, 'gobgpd.toml');
      writeFileSync(file, configuration(options));
      const words = ['-f', file, '--api-hosts', '127.0.0.1:50051', '-p', '--pprof-disable', '-l', 'info'];
      // It gets its routes only once it runs, and says End-of-RIB to whoever comes before that.
      if (restarting) await ask(place.namespace, 'nft', CLOSED_DOOR);
      process = new Running(place.namespace, 'gobgpd', [...words, ...(restarting ? ['-r'] : [])]);
      const isUp = async (): Promise<boolean> => /AS: /.test(await gobgp('global'));
      await eventually('gobgp has an answer', isUp, async () => process?.log ?? '');
      if (originations.length === 0) return;
      const dump = join(directory, 'table.mrt');
      writeFileSync(dump, mrtTableDump(originations, place));
      await ask(place.namespace, 'gobgp', 'mrt', 'inject', 'global', dump);
      const own = async (): Promise<number> => (await tableSize(gobgp)) - (await acceptedFromNeighbours(gobgp));
      const isThere = async (): Promise<boolean> => (await own()) === originations.length;
      await eventually('gobgpd has all it is to originate', isThere, async () => `${await own()} routes`);
      if (restarting) await ask(place.namespace, 'nft', 'delete table inet closed_door');
    },
    stop: async (signal) => process?.stop(signal),
    established: async (address) => {
      const answer = parse<{ state?: { session_state?: number } }>(await gobgp('-j', 'neighbor', address));
      return answer?.state?.session_state === ESTABLISHED;
    },
    prefixes: async () => (await tableSize(gobgp)) - originations.length,
    routes: async () => {
      const table = new Map<string, LearntAttributes[]>();
      for (const [prefix, paths] of Object.entries(await tables())) {
        const learnt = paths.filter(isLearnt);
        if (learnt.length > 0) table.set(prefix, learnt.map(attributesOf));
      }
      return table satisfies Table;
    },
    refreshIn: async (address) => void (await gobgp('neighbor', address, 'softresetin')),
    refreshOut: async (address) => void (await gobgp('neighbor', address, 'softresetout')),
    diagnosis: async () => `${await gobgp('neighbor')}\n${process?.log ?? ''}`,
  };
}

/** Who dials is refused. */
const CLOSED_DOOR =
  'add table inet closed_door; add chain inet closed_door input { type filter hook input priority 0; }; ' +
  'add rule inet closed_door input tcp dport 179 reject with tcp reset';

function parse<Answer>(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer; // gobgp's own notation, read field by field below
  } catch {
    return undefined;
  }
}

function configuration({ place, asn, neighbours }: DaemonOptions): string {
  return `[global.config]
as = ${asn}
router-id = "${place.address}"
local-address-list = ["${place.address}"]
${neighbours.map((neighbour) => neighbourTable(neighbour, place.address)).join('')}`;
}

function neighbourTable(neighbour: Neighbour, ownAddress: string): string {
  const { address, asn, password, passive, relation } = neighbour;
  const reflector = `[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = "${ownAddress}"
`;
  return `[[neighbors]]
[neighbors.config]
neighbor-address = "${address}"
peer-as = ${asn}
${password === undefined ? '' : `auth-password = "${password}"`}
[neighbors.timers.config]
connect-retry = 5
[neighbors.transport.config]
local-address = "${ownAddress}"
passive-mode = ${passive}
[neighbors.graceful-restart.config]
enabled = true
restart-time = 60
${relation === 'reflectorClient' ? reflector : ''}${FAMILIES.map((family) => familyTable(family, neighbour)).join('')}`;
}

function familyTable(family: string, { addPath }: Neighbour): string {
  const paths = `[neighbors.afi-safis.add-paths.config]
receive = true
send-max = 8
`;
  return `[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "${family}-unicast"
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
${addPath ? paths : ''}`;
}

/** How many prefixes its table has. */
async function tableSize(gobgp: (...words: string[]) => Promise<string>): Promise<number> {
  let sum = 0;
  for (const family of FAMILIES) {
    const text = await gobgp('global', 'rib', 'summary', '-a', family);
    sum += Number(/Destination: (\d+)/.exec(text)?.[1] ?? 0);
  }
  return sum;
}

/** How many it has from neighbours; no two originate the same. */
async function acceptedFromNeighbours(gobgp: (...words: string[]) => Promise<string>): Promise<number> {
  const rows = (await gobgp('neighbor')).matchAll(/\|\s*\d+\s+(\d+)\s*$/gm);
  return [...rows].reduce((sum, [, accepted]) => sum + Number(accepted), 0);
}

type Routes = Readonly<Record<string, readonly GobgpPath[]>>;

interface GobgpPath {
  readonly attrs: readonly GobgpAttribute[];
  readonly 'neighbor-ip'?: string;
}

/** A union of what the attributes have, by type. */
interface GobgpAttribute {
  readonly type: number;
  readonly value?: unknown;
  readonly as_paths?: readonly { readonly asns: readonly number[] }[];
  readonly nexthop?: string;
  readonly metric?: number;
  readonly communities?: readonly number[];
}

function attributesOf({ attrs }: GobgpPath): LearntAttributes {
  const byType = new Map(attrs.map((attribute) => [attribute.type, attribute]));
  const value = <Value>(type: number): Value | undefined => byType.get(type)?.value as Value | undefined; // gobgp's notation
  const targets = value<{ value: string }[]>(16) ?? [];
  const large = value<{ ASN: number; LocalData1: number; LocalData2: number }[]>(32) ?? [];
  return {
    origin: ORIGINS[value<number>(1) ?? 2] ?? 'incomplete',
    asPath: (byType.get(2)?.as_paths ?? []).flatMap(({ asns }) => asns).join(' '),
    nextHop: byType.get(14)?.nexthop ?? byType.get(3)?.nexthop ?? '',
    med: byType.get(4)?.metric,
    localPreference: value<number>(5),
    communities: [
      ...(byType.get(8)?.communities ?? []).map((number) => `${number >>> 16}:${number & 0xffff}`),
      ...targets.map((target) => `rt:${target.value}`),
      ...large.map(({ ASN, LocalData1, LocalData2 }) => `${ASN}:${LocalData1}:${LocalData2}`),
    ].toSorted(),
    originatorId: value<string>(9),
    clusterList: value<string[]>(10) ?? [],
  };
}
