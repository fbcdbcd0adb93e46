/**
 * Graceful restart (RFC 4724) between muslin and BIRD, FRR and GoBGP, watched by a ping: none is lost.
 *
 * muslin is killed while a ping uses the kernel route that the daemon has from it; then the daemon is killed while a ping uses
 * the kernel route that muslin has from the daemon. GoBGP writes no kernel routes, so for it the first half looks at its
 * table alone. A restart is over when the session is back, BFD is up where it is on, and nothing is stale any more.
 * What counts as lost is in `bgp-daemons/ping.ts`.
 */
import { strict as assert } from 'node:assert';
import { afterEach, test } from 'node:test';
import { birdDaemon } from './bgp-daemons/bird.ts';
import type { Daemon, DaemonOptions, Neighbour, Origination, Place } from './bgp-daemons/daemon.ts';
import { frrDaemon } from './bgp-daemons/frr.ts';
import { gobgpDaemon } from './bgp-daemons/gobgp.ts';
import { Hosts, neighbour, OUR_ASN } from './bgp-daemons/interop-hosts.ts';
import { type MuslinDaemon, muslinDaemon } from './bgp-daemons/muslin.ts';
import { originations } from './bgp-daemons/originated-routes.ts';
import { lostPings } from './bgp-daemons/ping.ts';
import { ask, ip } from './bgp-daemons/process.ts';

const TEST_MS = 180_000;
const FEW_ROUTES = 50;

interface Kind {
  readonly name: string;
  readonly make: (options: DaemonOptions) => Daemon;
  readonly installs: boolean;
  readonly bfd: Neighbour['bfd'];
  /** Whether it keeps our routes while we are away; without, that it does not is checked, as docs/design/bfd.md has it. */
  readonly keepsOurs: boolean;
}

const KINDS: readonly Kind[] = [
  { name: 'BIRD', make: birdDaemon, installs: true, bfd: 'off', keepsOurs: true },
  { name: 'BIRD with `bfd graceful`', make: birdDaemon, installs: true, bfd: 'graceful', keepsOurs: true },
  { name: 'BIRD with `bfd on`', make: birdDaemon, installs: true, bfd: 'on', keepsOurs: false },
  { name: 'FRR', make: frrDaemon, installs: true, bfd: 'off', keepsOurs: true },
  { name: 'GoBGP', make: gobgpDaemon, installs: false, bfd: 'off', keepsOurs: true },
];

let hosts: Hosts | undefined;

afterEach(async () => {
  await hosts?.remove();
  hosts = undefined;
});

/** The first IPv4 prefix of a list gets an address on the host that announces it, for the ping. */
function pinged(routes: readonly Origination[], place: Place): string {
  const address = (routes[0]?.prefix ?? '').replace(/0\/24$/, '1');
  ip('-n', place.namespace, 'addr', 'add', `${address}/32`, 'dev', 'lo');
  return address;
}

async function isStale(muslin: MuslinDaemon, peer: Place): Promise<boolean> {
  const view = await muslin.neighbor(peer.address);
  return view?.stale === true || (await muslin.routeViews()).some(({ stale }) => stale);
}

for (const kind of KINDS) {
  const outcome = kind.keepsOurs ? 'no ping is lost' : 'only our restart loses pings';
  test(`${kind.name}: muslin and it are killed and restarted, and ${outcome}`, { timeout: TEST_MS }, async () => {
    const all = new Hosts();
    hosts = all;
    const [ours, theirs] = [originations(FEW_ROUTES, 20), originations(FEW_ROUTES, 30)];
    const muslin = all.add(muslinDaemon, {
      place: all.muslin,
      asn: OUR_ASN,
      neighbours: [neighbour(all.daemon, { relation: 'mesh', asn: OUR_ASN, bfd: kind.bfd })],
      originations: ours,
      installs: true,
    });
    const daemon = all.add(kind.make, {
      place: all.daemon,
      asn: OUR_ASN,
      neighbours: [neighbour(all.muslin, { relation: 'mesh', asn: OUR_ASN, passive: true, bfd: kind.bfd })],
      originations: theirs,
      installs: kind.installs,
    });
    const [ourAddress, theirAddress] = [pinged(ours, all.muslin), pinged(theirs, all.daemon)];
    await all.start();
    const hasRoute = async (place: Place, address: string): Promise<boolean> =>
      (await ask(place.namespace, 'ip', 'route', 'show', 'match', address)).includes(' via ');
    const isWhole = async (): Promise<boolean> =>
      (await daemon.established(all.muslin.address)) &&
      (await daemon.routes()).size === FEW_ROUTES &&
      (await muslin.routes()).size === FEW_ROUTES &&
      !(await isStale(muslin, all.daemon)) &&
      (kind.bfd === 'off' || /^Up,/.test((await muslin.neighbor(all.daemon.address))?.bfd ?? ''));
    await all.until('both have all routes', isWhole);
    await all.until('our kernel has theirs', () => hasRoute(all.muslin, theirAddress));

    const restartOurs = async (): Promise<void> => {
      await muslin.stop('SIGKILL');
      await all.until(`${kind.name} notices`, async () => !(await daemon.established(all.muslin.address)));
      if (kind.keepsOurs) {
        assert.equal((await daemon.routes()).size, FEW_ROUTES, `${kind.name} keeps the routes of a killed muslin`);
      } else await all.until(`${kind.name} drops all`, async () => (await daemon.routes()).size === 0);
      await muslin.start(true);
      await all.until('both have all routes again', isWhole);
    };
    if (kind.installs) {
      await all.until('its kernel has ours', () => hasRoute(all.daemon, ourAddress));
      const lost = await lostPings(all.daemon, ourAddress, restartOurs);
      if (kind.keepsOurs) assert.deepEqual(lost, []);
      else assert.ok(lost.length > 0, `${kind.name} has dropped our routes, but lost no ping`);
    } else await restartOurs();

    const lost = await lostPings(all.muslin, theirAddress, async () => {
      await daemon.stop('SIGKILL');
      await all.until('we notice', async () => !(await muslin.established(all.daemon.address)));
      assert.ok(await isStale(muslin, all.daemon), 'we keep its routes as stale');
      await daemon.start(true);
      await all.until('both have all routes once more', isWhole);
    });
    assert.deepEqual(lost, []);
  });
}
