/**
 * Speakers of ours with each other, as processes with real sockets: everything that a session can have at once, and a peer
 * whose link falls silent.
 *
 * How long a dead peer's routes stay in the kernel is taken from the kernel's own messages. The time that is asserted has room
 * for a machine that does other things; the time that was measured is printed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Origination, Place } from './bgp-daemons/daemon.ts';
import { type Hosts, neighbour, OUR_ASN, onHosts } from './bgp-daemons/interop-hosts.ts';
import { muslinDaemon, muslinWith } from './bgp-daemons/muslin.ts';
import { originations } from './bgp-daemons/originated-routes.ts';
import { ask, Running } from './bgp-daemons/process.ts';

const TEST_MS = 120_000;
/** Three packets of 300 ms are missed; the rest is for what else the machine does. */
const GONE_MS = 1_500;
const OTHER_ASN = 65_001;
/** RFC 4271 section 4; RFC 8654 lets messages be longer. */
const MESSAGE_BYTES_MAX = 4_096;
const SILENCE =
  'table inet silence { chain in { type filter hook input priority 0; policy drop; }; ' +
  'chain out { type filter hook output priority 0; policy drop; }; }';

const [FAMILY4, FAMILY6] = ['-4', '-6'] as const;

async function kernelRoutes(place: Place): Promise<number> {
  const texts = [FAMILY4, FAMILY6].map((family) =>
    ask(place.namespace, 'ip', family, 'route', 'show', 'proto', 'bird'),
  );
  return (await Promise.all(texts)).join('').split('\n').length - 1;
}

test('BFD: the routes of a peer whose link falls silent leave our kernel at once', { timeout: TEST_MS }, (context) =>
  onHosts(async (hosts) => {
    const theirs = originations(200, 20);
    const common = { asn: OUR_ASN, installs: true };
    const watched = { relation: 'mesh', asn: OUR_ASN, bfd: 'on' } as const;
    const near = hosts.add(muslinDaemon, {
      ...common,
      place: hosts.muslin,
      neighbours: [neighbour(hosts.daemon, watched)],
      originations: [],
    });
    hosts.add(muslinDaemon, {
      ...common,
      place: hosts.daemon,
      neighbours: [neighbour(hosts.muslin, { ...watched, passive: true })],
      originations: theirs,
    });
    await hosts.start();
    const view = () => near.neighbor(hosts.daemon.address);
    await hosts.until('BFD is up', async () => /^Up,/.test((await view())?.bfd ?? ''));
    await hosts.until('all routes are there', async () => (await kernelRoutes(hosts.muslin)) === theirs.length);
    assert.equal((await view())?.holdTimeSeconds, 90, 'the hold timer alone would take long');

    let left = theirs.length;
    let goneAt = 0;
    const onLine = (line: string): void => {
      if (!line.startsWith('Deleted ') || !line.includes('proto bird')) return;
      left -= 1;
      goneAt = performance.now();
    };
    const monitor = new Running(hosts.muslin.namespace, 'ip', ['monitor', 'route'], { onLine });
    // A change of our own shows that the monitor listens.
    await hosts.until('the monitor listens', async () => {
      await ask(hosts.muslin.namespace, 'ip', 'route', 'replace', '10.98.9.0/24', 'dev', 'eth0');
      return monitor.log.includes('10.98.9.0/24');
    });
    const silentAt = performance.now();
    await ask(hosts.daemon.namespace, 'nft', SILENCE);
    await hosts.until('the routes leave the kernel', () => left === 0);
    const tookMs = Math.round(goneAt - silentAt);
    context.diagnostic(`all ${theirs.length} routes had left the kernel ${tookMs} ms after the link fell silent`);
    assert.equal(await kernelRoutes(hosts.muslin), 0);
    assert.ok(tookMs < GONE_MS, `that took ${tookMs} ms`);
    const { state, lastError, stale } = (await view()) ?? {};
    assert.notEqual(state, 'Established');
    assert.match(lastError ?? '', /BFD down/);
    assert.equal(stale, false, 'a path that is dead is no restart');
  }),
);

/** The place as others are to dial it. */
type Of = (place: Place) => Place;

async function everythingOn(hosts: Hosts, of: Of): Promise<void> {
  const make = muslinWith({ ttlSecurityHops: 1 });
  const [top, bottom, [outside]] = [hosts.muslin, hosts.daemon, hosts.feeders];
  const all = { addPath: true, bfd: 'on' } as const;
  const [sample] = originations(1, 20);
  assert.ok(sample);
  const bulk = originations(4_000, 20).map(({ prefix }): Origination => ({ ...sample, prefix }));
  const shared = originations(20, 30);
  const upper = hosts.add(make, {
    place: top,
    asn: OUR_ASN,
    neighbours: [
      neighbour(of(bottom), { ...all, relation: 'mesh', asn: OUR_ASN }),
      neighbour(of(outside), { ...all, relation: 'external', asn: OTHER_ASN, passive: true }),
    ],
    originations: shared,
    installs: false,
  });
  const lower = hosts.add(make, {
    place: bottom,
    asn: OUR_ASN,
    neighbours: [neighbour(of(top), { ...all, relation: 'mesh', asn: OUR_ASN, passive: true })],
    originations: bulk,
    installs: false,
  });
  hosts.add(make, {
    place: outside,
    asn: OTHER_ASN,
    neighbours: [neighbour(of(top), { ...all, relation: 'external', asn: OUR_ASN })],
    originations: shared,
    installs: false,
  });
  await hosts.start();
  await hosts.until('both paths to each shared prefix are at the lower one', async () => {
    const table = await lower.routes();
    return table.size === shared.length && [...table.values()].every((paths) => paths.length === 2);
  });
  const hasBulk = async (): Promise<boolean> =>
    (await upper.neighbor(of(bottom).address))?.prefixesReceived === bulk.length;
  await hosts.until('the upper one has all of the lower', hasBulk);
  await hosts.until('BFD is up', async () => /^Up,/.test((await upper.neighbor(of(bottom).address))?.bfd ?? ''));

  const view = await upper.neighbor(of(bottom).address);
  assert.ok(view);
  const { state, flaps, md5, ttlSecurityHops, families, received } = view;
  assert.deepEqual(
    { state, flaps, md5, ttlSecurityHops, families },
    { state: 'Established', flaps: 0, md5: true, ttlSecurityHops: 1, families: ['IPv4 unicast', 'IPv6 unicast'] },
  );
  for (const capability of ['add-path', 'extended messages']) {
    assert.ok(view.capabilitiesSent.includes(capability), `we can ${capability}`);
    assert.ok(view.capabilitiesReceived.includes(capability), `they can ${capability}`);
  }
  assert.ok(received.bytes / received.updates > MESSAGE_BYTES_MAX, `${received.updates} UPDATEs are long ones`);
  const byPrefix = Map.groupBy(
    (await lower.routeViews()).filter(({ from }) => from !== 'local'),
    (route) => route.prefix,
  );
  for (const [prefix, routes] of byPrefix) {
    const [first, second] = routes;
    assert.ok(first?.pathId !== undefined && first.pathId !== second?.pathId, `${prefix} has two path identifiers`);
    assert.deepEqual(routes.map(({ asPath }) => asPath).toSorted(), ['', String(OTHER_ASN)]);
  }
}

describe('MD5, TTL security, BFD, extended messages, add-path and both families on one session', () => {
  test('over IPv4', { timeout: TEST_MS }, () => onHosts((hosts) => everythingOn(hosts, (place) => place)));
  const byIpv6: Of = (place) => ({ ...place, address: place.address6 });
  test('over IPv6', { timeout: TEST_MS }, () => onHosts((hosts) => everythingOn(hosts, byIpv6)));
});
