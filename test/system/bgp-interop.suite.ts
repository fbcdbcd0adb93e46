/**
 * muslin and another's daemon, as mesh peer, reflector client, reflector and external peer; a file for each kind of daemon.
 *
 * In each row sessions have passwords (RFC 2385) and both families. ROUTES routes go each way, every attribute of every one is
 * compared, and each side asks the other for all of them again (RFC 2918). A feeder, a BIRD, has what muslin passes on.
 */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { birdDaemon } from './bgp-daemons/bird.ts';
import type { Daemon, DaemonOptions, LearntAttributes, Neighbour, Origination, Place } from './bgp-daemons/daemon.ts';
import { type Hosts, neighbour, OUR_ASN, onHosts } from './bgp-daemons/interop-hosts.ts';
import { type MuslinDaemon, muslinDaemon } from './bgp-daemons/muslin.ts';
import { expected, originations } from './bgp-daemons/originated-routes.ts';

/** Each wait has its own deadline; this is for a hang of the test itself. */
const TEST_MS = 150_000;
const SUITE_MS = 280_000;
const ROUTES = 10_000;
/** The daemon's own, where most of its routes are its clients'. */
const FEW_ROUTES = 200;
const DAEMONS_ASN = 65_001;
const FEEDERS_ASN = 65_100;
const PATHS_PREFIXES = 20;

export interface Kind {
  readonly name: string;
  readonly make: (options: DaemonOptions) => Daemon;
  /** What it does when asked for a soft reset inwards: GoBGP has kept all that it got, and sends no ROUTE-REFRESH. */
  readonly asksForRefresh: boolean;
  /** Whether a reflector gives its own routes the marks of reflected ones (RFC 4456 section 8 does not ask for it). */
  readonly marksOwnRoutes: boolean;
}

const THEIRS = originations(ROUTES, 20);
const FED = originations(ROUTES, 30);
const FEW = THEIRS.slice(0, FEW_ROUTES);

type Wanted = ReadonlyMap<string, LearntAttributes>;

/** What arrives of `sent`, with what those in between have made of it. */
function arriving(
  sent: readonly Origination[],
  sender: { readonly place: Place; readonly asn?: number },
  change: (attributes: LearntAttributes) => Partial<LearntAttributes> = () => ({}),
): Wanted {
  const external = sender.asn !== undefined;
  return new Map(
    sent.map((origination) => {
      const direct = expected(origination, { place: sender.place, asn: sender.asn ?? OUR_ASN, external });
      return [origination.prefix, { ...direct, ...change(direct) }] as const;
    }),
  );
}

interface Row {
  readonly title: string;
  readonly daemonAsn: number;
  /** The daemon as muslin has it, and muslin as the daemon has it. */
  readonly daemonIs: Neighbour['relation'];
  readonly muslinIs: Neighbour['relation'];
  /** Whom the feeder speaks with: its AS number, and what each is to the other. */
  readonly feeder: {
    readonly to: 'muslin' | 'daemon';
    readonly asn: number;
    readonly is: Neighbour['relation'];
    readonly sees: Neighbour['relation'];
  };
  readonly ours: readonly Origination[];
  readonly theirs: readonly Origination[];
  readonly atMuslin: (hosts: Hosts, kind: Kind) => Wanted;
  readonly atDaemon: (hosts: Hosts) => Wanted;
}

const ROWS: readonly Row[] = [
  {
    title: 'mesh peer',
    daemonAsn: OUR_ASN,
    daemonIs: 'mesh',
    muslinIs: 'mesh',
    feeder: { to: 'muslin', asn: FEEDERS_ASN, is: 'external', sees: 'external' },
    ours: [],
    theirs: THEIRS,
    atMuslin: ({ daemon, feeders: [feeder] }) =>
      new Map([...arriving(THEIRS, { place: daemon }), ...arriving(FED, { place: feeder, asn: FEEDERS_ASN })]),
    atDaemon: ({ feeders: [feeder] }) =>
      arriving(FED, { place: feeder, asn: FEEDERS_ASN }, () => ({ localPreference: 100 })),
  },
  {
    title: 'client of our reflector',
    daemonAsn: OUR_ASN,
    daemonIs: 'reflectorClient',
    muslinIs: 'mesh',
    feeder: { to: 'muslin', asn: OUR_ASN, is: 'reflectorClient', sees: 'mesh' },
    ours: [],
    theirs: THEIRS,
    atMuslin: ({ daemon, feeders: [feeder] }) =>
      new Map([...arriving(THEIRS, { place: daemon }), ...arriving(FED, { place: feeder })]),
    atDaemon: ({ muslin, feeders: [feeder] }) =>
      arriving(FED, { place: feeder }, () => ({ originatorId: feeder.address, clusterList: [muslin.address] })),
  },
  {
    title: 'reflector of ours',
    daemonAsn: OUR_ASN,
    daemonIs: 'mesh',
    muslinIs: 'reflectorClient',
    feeder: { to: 'daemon', asn: OUR_ASN, is: 'reflectorClient', sees: 'mesh' },
    ours: THEIRS.slice(FEW_ROUTES),
    theirs: FEW,
    atMuslin: ({ daemon, feeders: [feeder] }, { marksOwnRoutes }) =>
      new Map([
        ...arriving(FEW, { place: daemon }, () =>
          marksOwnRoutes ? { originatorId: daemon.address, clusterList: [daemon.address] } : {},
        ),
        ...arriving(FED, { place: feeder }, () => ({ originatorId: feeder.address, clusterList: [daemon.address] })),
      ]),
    atDaemon: ({ muslin, feeders: [feeder] }) =>
      new Map([
        ...arriving(FED, { place: feeder }),
        ...arriving(THEIRS.slice(FEW_ROUTES), { place: muslin }, ({ communities }) => ({
          // All that a file of `muslin bgp run` can say of a route.
          origin: 'igp',
          asPath: '',
          med: undefined,
          communities: communities.filter((community) => !community.startsWith('rt:')),
        })),
      ]),
  },
  {
    title: 'external peer',
    daemonAsn: DAEMONS_ASN,
    daemonIs: 'external',
    muslinIs: 'external',
    feeder: { to: 'muslin', asn: OUR_ASN, is: 'mesh', sees: 'mesh' },
    ours: [],
    theirs: THEIRS,
    atMuslin: ({ daemon, feeders: [feeder] }) =>
      new Map([...arriving(THEIRS, { place: daemon, asn: DAEMONS_ASN }), ...arriving(FED, { place: feeder })]),
    atDaemon: ({ muslin }) =>
      arriving(FED, { place: muslin, asn: OUR_ASN }, ({ asPath, med }) => ({
        // What another AS has said with its MED goes no further than to us (RFC 4271 section 5.1.4).
        med: asPath === String(OUR_ASN) ? med : undefined,
      })),
  },
];

/** As `routes`, but without what a daemon shows for the LOCAL_PREF of routes from another AS: on the wire there is none. */
function withoutExternalPreference(daemon: Daemon): Daemon {
  const strip = (attributes: LearntAttributes): LearntAttributes => ({ ...attributes, localPreference: undefined });
  const routes = async () => new Map([...(await daemon.routes())].map(([prefix, paths]) => [prefix, paths.map(strip)]));
  return { ...daemon, routes };
}

interface Parts {
  readonly hosts: Hosts;
  readonly muslin: MuslinDaemon;
  readonly daemon: Daemon;
}

function setUp(made: Hosts, kind: Kind, row: Row): Parts {
  const [feederPlace] = made.feeders;
  const { feeder } = row;
  const feederAsSeen = neighbour(feederPlace, { relation: feeder.is, asn: feeder.asn, passive: true });
  const muslin = made.add(muslinDaemon, {
    place: made.muslin,
    asn: OUR_ASN,
    neighbours: [
      neighbour(made.daemon, { relation: row.daemonIs, asn: row.daemonAsn }),
      ...(feeder.to === 'muslin' ? [feederAsSeen] : []),
    ],
    originations: row.ours,
    installs: false,
  });
  const daemon = made.add(kind.make, {
    place: made.daemon,
    asn: row.daemonAsn,
    neighbours: [
      neighbour(made.muslin, { relation: row.muslinIs, asn: OUR_ASN, passive: true }),
      ...(feeder.to === 'daemon' ? [feederAsSeen] : []),
    ],
    originations: row.theirs,
    installs: false,
  });
  const target = feeder.to === 'muslin' ? made.muslin : made.daemon;
  made.add(birdDaemon, {
    place: feederPlace,
    asn: feeder.asn,
    neighbours: [neighbour(target, { relation: feeder.sees, asn: OUR_ASN })],
    originations: FED,
    installs: false,
  });
  return { hosts: made, muslin, daemon };
}

async function checkTables(kind: Kind, row: Row, parts: Parts): Promise<void> {
  const { hosts, muslin, daemon } = parts;
  await hosts.untilLearnt(muslin, row.atMuslin(hosts, kind));
  const isExternal = row.daemonIs === 'external';
  await hosts.untilLearnt(isExternal ? withoutExternalPreference(daemon) : daemon, row.atDaemon(hosts));
}

async function refreshBothWays(kind: Kind, { hosts: all, muslin, daemon }: Parts): Promise<void> {
  const [us, them] = [all.muslin.address, all.daemon.address];
  const view = async () => {
    const neighborView = await muslin.neighbor(them);
    assert.ok(neighborView, 'muslin bgp neighbor has an answer');
    return neighborView;
  };
  const before = await view();
  await muslin.refreshIn(them);
  await all.until('we ask, and all comes again', async () => {
    const { sent, received } = await view();
    return sent.refreshes > before.sent.refreshes && received.updates > before.received.updates;
  });
  const between = await view();
  await daemon.refreshOut(us);
  await all.until('it sends all again', async () => (await view()).received.updates > between.received.updates);
  if (kind.asksForRefresh) {
    await daemon.refreshIn(us);
    await all.until('it asks, and we send all again', async () => {
      const { sent, received } = await view();
      return received.refreshes > between.received.refreshes && sent.updates > between.sent.updates;
    });
  }
  const last = await view();
  await muslin.refreshOut(them);
  await all.until('we send all again', async () => (await view()).sent.updates > last.sent.updates);
  assert.equal((await view()).flaps, 0, 'the session has not been lost');
}

/** All hosts of one AS: a reflector, its client, and two feeders that are clients, too, and have the same prefixes. */
async function severalPaths(all: Hosts, kind: Kind, reflector: 'muslin' | 'daemon'): Promise<void> {
  const [top, bottom] = reflector === 'muslin' ? [all.muslin, all.daemon] : [all.daemon, all.muslin];
  const same = { asn: OUR_ASN, addPath: true } as const;
  const above: readonly Neighbour[] = [
    neighbour(bottom, { ...same, relation: 'reflectorClient', passive: reflector === 'daemon' }),
    ...all.feeders.map((place) => neighbour(place, { asn: OUR_ASN, relation: 'reflectorClient', passive: true })),
  ];
  const below: readonly Neighbour[] = [neighbour(top, { ...same, relation: 'mesh', passive: reflector === 'muslin' })];
  const of = (place: Place): Omit<DaemonOptions, 'directory'> => ({
    place,
    asn: OUR_ASN,
    neighbours: place === top ? above : below,
    originations: [],
    installs: false,
  });
  const muslin = all.add(muslinDaemon, of(all.muslin));
  const daemon = all.add(kind.make, of(all.daemon));
  for (const place of all.feeders) {
    const toTop = neighbour(top, { asn: OUR_ASN, relation: 'mesh' });
    const fed = originations(PATHS_PREFIXES, 30);
    all.add(birdDaemon, { place, asn: OUR_ASN, neighbours: [toTop], originations: fed, installs: false });
  }
  await all.start();
  const client = reflector === 'muslin' ? daemon : muslin;
  await all.until(`${client.name} has two paths to each of ${PATHS_PREFIXES} prefixes`, async () => {
    const table = await client.routes();
    const both = all.feeders.map(({ address }) => address).join();
    const originators = [...table.values()].map((paths) =>
      paths
        .map(({ originatorId }) => originatorId)
        .toSorted()
        .join(),
    );
    return table.size === PATHS_PREFIXES && originators.every((each) => each === both);
  });
}

/** All rows with one kind of daemon; two at a time, as each waits for timers now and then. */
export function interopSuite(kind: Kind): void {
  const limits = { concurrency: 2, timeout: SUITE_MS };
  describe('routes both ways with every attribute, MD5, both families, route refresh', limits, () => {
    for (const row of ROWS) {
      test(`${kind.name} as ${row.title}`, { timeout: TEST_MS }, () =>
        onHosts(async (hosts) => {
          const parts = setUp(hosts, kind, row);
          await hosts.start();
          await hosts.untilEstablished(parts.muslin, [hosts.daemon.address]);
          await checkTables(kind, row, parts);
          const counts = () => Promise.all([parts.muslin.prefixes(), parts.daemon.prefixes()]);
          const before = await counts();
          await refreshBothWays(kind, parts);
          await hosts.until(`both have all routes still: ${before}`, async () =>
            isDeepStrictEqual(await counts(), before),
          );
        }),
      );
    }
  });

  describe('several paths to a prefix (RFC 7911)', limits, () => {
    const rows = [
      ['gets them of us', 'muslin'],
      ['sends them to us', 'daemon'],
    ] as const;
    for (const [title, reflector] of rows) {
      const run = (hosts: Hosts): Promise<void> => severalPaths(hosts, kind, reflector);
      test(`${kind.name} ${title}`, { timeout: TEST_MS }, () => onHosts(run));
    }
  });
}
