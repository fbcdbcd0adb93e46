/**
 * A real peer, ExaBGP, that sends malformed attributes among good routes: the session survives (RFC 7606).
 *
 * Each row is one route. What must be withdrawn is not in the table, what must only lose an attribute is there without it, the
 * good routes before and after are untouched, and `muslin bgp neighbor` counts what was done.
 */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type OddRoute, startExabgp } from './bgp-daemons/exabgp.ts';
import { Hosts, neighbour, OUR_ASN } from './bgp-daemons/interop-hosts.ts';
import { muslinDaemon } from './bgp-daemons/muslin.ts';

const TEST_MS = 120_000;
const EXABGP_ASN = 65_001;

interface Row extends OddRoute {
  readonly what: string;
  readonly outcome: 'kept' | 'withdrawn' | 'attribute discarded';
}

const ROWS: readonly Row[] = [
  { what: 'a good route', prefix: '20.0.0.0/24', attribute: undefined, outcome: 'kept' },
  { what: 'an unknown transitive attribute', prefix: '20.0.1.0/24', attribute: '0x63 0xc0 0x0102', outcome: 'kept' },
  { what: 'COMMUNITIES of 2 bytes', prefix: '20.0.2.0/24', attribute: '0x08 0xc0 0x0102', outcome: 'withdrawn' },
  {
    what: 'extended communities of 3 bytes',
    prefix: '20.0.3.0/24',
    attribute: '0x10 0xc0 0x010203',
    outcome: 'withdrawn',
  },
  {
    what: 'large communities of 5 bytes',
    prefix: '20.0.4.0/24',
    attribute: '0x20 0xc0 0x0102030405',
    outcome: 'withdrawn',
  },
  { what: 'a MED of 3 bytes', prefix: '20.0.5.0/24', attribute: '0x04 0x80 0x010203', outcome: 'withdrawn' },
  {
    what: 'ATOMIC_AGGREGATE of 1 byte',
    prefix: '20.0.6.0/24',
    attribute: '0x06 0x40 0x01',
    outcome: 'attribute discarded',
  },
  {
    what: 'AGGREGATOR of 3 bytes',
    prefix: '20.0.7.0/24',
    attribute: '0x07 0xc0 0x010203',
    outcome: 'attribute discarded',
  },
  { what: 'a LOCAL_PREF from another AS', prefix: '20.0.8.0/24', attribute: '0x05 0x40 0x000000ff', outcome: 'kept' },
  { what: 'a good route at the end', prefix: '20.0.9.0/24', attribute: undefined, outcome: 'kept' },
];

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-exabgp-'));
let hosts: Hosts | undefined;

after(async () => {
  await hosts?.remove();
  rmSync(directory, { recursive: true, force: true });
});

test('ExaBGP sends malformed attributes; the session and all good routes stay', { timeout: TEST_MS }, async () => {
  const all = new Hosts();
  hosts = all;
  const muslin = all.add(muslinDaemon, {
    place: all.muslin,
    asn: OUR_ASN,
    neighbours: [neighbour(all.daemon, { relation: 'external', asn: EXABGP_ASN, passive: true })],
    originations: [],
    installs: false,
  });
  await all.start();
  const toUs = neighbour(all.muslin, { relation: 'external', asn: OUR_ASN });
  const options = {
    place: all.daemon,
    asn: EXABGP_ASN,
    neighbours: [toUs],
    originations: [],
    installs: false,
    directory,
  };
  const exabgp = startExabgp(options, ROWS);
  const wanted = ROWS.filter(({ outcome }) => outcome !== 'withdrawn').map(({ prefix }) => prefix);
  const withdrawn = ROWS.length - wanted.length;
  const discarded = ROWS.filter(({ outcome }) => outcome === 'attribute discarded').length;
  const view = async () => {
    const neighborView = await muslin.neighbor(all.daemon.address);
    assert.ok(neighborView, 'muslin bgp neighbor has an answer');
    return neighborView;
  };
  await all.until(`all ${ROWS.length} UPDATEs are dealt with, as in\n${exabgp.log}`, async () => {
    const { treatedAsWithdraw, attributesDiscarded, prefixesReceived } = await view();
    return treatedAsWithdraw >= withdrawn && attributesDiscarded >= discarded && prefixesReceived >= wanted.length;
  });
  assert.deepEqual([...(await muslin.routes()).keys()].toSorted(), wanted);
  const { state, established, flaps, treatedAsWithdraw, attributesDiscarded, lastNotification } = await view();
  assert.deepEqual(
    { state, established, flaps, treatedAsWithdraw, attributesDiscarded, lastNotification },
    {
      state: 'Established',
      established: 1,
      flaps: 0,
      treatedAsWithdraw: withdrawn,
      attributesDiscarded: discarded,
      lastNotification: undefined,
    },
  );
  const localPreferences = (await muslin.routeViews()).map(({ localPreference }) => localPreference);
  assert.ok(!localPreferences.includes(0xff), 'the LOCAL_PREF of another AS is not used');
});
