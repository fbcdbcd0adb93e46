import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compilePolicy } from '../../bgp/policy/policy.ts';
import type { PathAttributes } from '../../bgp/wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from '../../bgp/wire/attributes.ts';
import type { BgpConfiguration, BgpConfigurationSpec } from '../../model/bgp-configuration.ts';
import { effectiveBgp } from '../../model/bgp-configuration.ts';
import type { BgpFilter, BgpFilterSpec } from '../../model/bgp-filter.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { validateResource } from '../../model/validate.ts';
import { cidr, familyOf } from '../../net/cidr.ts';
import { exportPolicyFor, importPolicyFor } from './bgp-policy.ts';

function resource(kind: string, name: string, spec: object) {
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  return validated.resource;
}

interface Network {
  readonly filters?: readonly BgpFilterSpec[];
  readonly missing?: readonly string[];
  readonly external?: boolean;
  readonly pools?: Readonly<Record<string, object>>;
  readonly configuration?: BgpConfigurationSpec;
  readonly nodeConfiguration?: BgpConfigurationSpec;
}

/** Our own where `remote` is not said. */
interface Route extends Partial<PathAttributes> {
  readonly prefix?: string;
  readonly remote?: boolean;
  readonly device?: string;
}

const PLAIN: PathAttributes = PLAIN_ATTRIBUTES;

/** What becomes of the route, and of its communities, path and preference, in words. */
function said(
  direction: 'import' | 'export',
  network: Network,
  { prefix: text, remote, device, ...rest }: Route,
): string {
  const external = network.external ?? false;
  const filters = (network.filters ?? []).map((spec, place) => resource('BGPFilter', `f${place}`, spec) as BgpFilter);
  const session = { filters, missing: network.missing ?? [], external };
  const pools = Object.entries(network.pools ?? {}).map(([name, spec]) => resource('IPPool', name, spec) as IpPool);
  const everywhere = resource('BGPConfiguration', 'default', network.configuration ?? {}) as BgpConfiguration;
  const ofNode = resource('BGPConfiguration', 'node.a', network.nodeConfiguration ?? {}) as BgpConfiguration;
  const configuration = effectiveBgp(everywhere, ofNode);
  const policy =
    direction === 'import' ? importPolicyFor(session) : exportPolicyFor({ ...session, pools, configuration });
  const prefix = cidr(text ?? '10.1.0.0/16');
  const source = { family: familyOf(prefix), remote: remote ?? direction === 'import', device, external };
  const judged = compilePolicy(policy).judge({ ...PLAIN, ...rest }, source);
  const verdict = judged.kind === 'byPrefix' ? judged.decide(prefix) : judged;
  if (verdict.kind === 'reject') return verdict.by;
  const { communities, largeCommunities, asPath, localPreference } = verdict.attributes;
  const standard = communities.map((value) => `${value >>> 16}:${value & 0xffff}`);
  const large = largeCommunities.map((value) => value.join(':'));
  const preference = localPreference === undefined ? [] : [`preference ${localPreference}`];
  return ['accepted', ...standard, ...large, ...asPath.map((asn) => `AS${asn}`), ...preference].join(' ');
}

type Row = readonly [title: string, Network, Route, expected: string];

function check(direction: 'import' | 'export', rows: readonly Row[]): void {
  for (const [title, network, route, expected] of rows) {
    test(title, () => assert.equal(said(direction, network, route), expected));
  }
}

const REJECT = { action: 'Reject' } as const;
const ACCEPT = { action: 'Accept' } as const;
const TEN = { cidr: '10.0.0.0/8', matchOperator: 'In' } as const;
const IMPORT_FIRST = 'BGPFilter f0, importV4[0]';
const imports = (...importV4: NonNullable<BgpFilterSpec['importV4']>): Network => ({ filters: [{ importV4 }] });

describe('import', () => {
  check('import', [
    ['all is taken in without filters', {}, {}, 'accepted'],
    ['also from another AS', { external: true }, {}, 'accepted'],
    ['a rule without conditions', imports(REJECT), {}, IMPORT_FIRST],
    ['importV4 is not for IPv6', imports(REJECT), { prefix: 'fd00::/64' }, 'accepted'],
    ['importV6 is', { filters: [{ importV6: [REJECT] }] }, { prefix: 'fd00::/64' }, 'BGPFilter f0, importV6[0]'],
    ['exportV4 is not for import', { filters: [{ exportV4: [REJECT] }] }, {}, 'accepted'],
    ['what no rule fits is taken in', imports({ ...REJECT, ...TEN }), { prefix: '11.0.0.0/8' }, 'accepted'],
    ['the first rule that fits decides', imports({ ...ACCEPT, ...TEN }, REJECT), {}, 'accepted'],
    [
      'the second filter is asked where the first has no fitting rule',
      { filters: [{ importV4: [{ ...ACCEPT, cidr: '11.0.0.0/8', matchOperator: 'In' }] }, { importV4: [REJECT] }] },
      {},
      'BGPFilter f1, importV4[0]',
    ],
    ['the first filter comes first', { filters: [{ importV4: [ACCEPT] }, { importV4: [REJECT] }] }, {}, 'accepted'],
    [
      'prefixLength',
      imports({ ...REJECT, ...TEN, prefixLength: { min: 17, max: 24 } }),
      { prefix: '10.1.1.0/24' },
      IMPORT_FIRST,
    ],
    ['outside of prefixLength', imports({ ...REJECT, ...TEN, prefixLength: { min: 17, max: 24 } }), {}, 'accepted'],
    ['Equal', imports({ ...REJECT, cidr: '10.1.0.0/16', matchOperator: 'Equal' }), {}, IMPORT_FIRST],
    ['NotEqual', imports({ ...REJECT, cidr: '10.1.0.0/16', matchOperator: 'NotEqual' }), {}, 'accepted'],
    ['NotIn', imports({ ...REJECT, cidr: '11.0.0.0/8', matchOperator: 'NotIn' }), {}, IMPORT_FIRST],
    [
      'peerType eBGP fits a session with another AS',
      { ...imports({ ...REJECT, peerType: 'eBGP' }), external: true },
      {},
      IMPORT_FIRST,
    ],
    ['peerType eBGP does not fit one with our own', imports({ ...REJECT, peerType: 'eBGP' }), {}, 'accepted'],
    ['peerType iBGP fits one with our own', imports({ ...REJECT, peerType: 'iBGP' }), {}, IMPORT_FIRST],
    ['source RemotePeers fits all that is taken in', imports({ ...REJECT, source: 'RemotePeers' }), {}, IMPORT_FIRST],
    [
      'a standard community',
      imports({ ...REJECT, communities: { values: ['64512:300'] } }),
      { communities: [64512 * 65536 + 300] },
      IMPORT_FIRST,
    ],
    [
      'a large community',
      imports({ ...REJECT, communities: { values: ['4294967295:0:7'] } }),
      { largeCommunities: [[4294967295, 0, 7]] },
      IMPORT_FIRST,
    ],
    ['a community that is not there', imports({ ...REJECT, communities: { values: ['64512:300'] } }), {}, 'accepted'],
    ['asPathPrefix', imports({ ...REJECT, asPathPrefix: [7, 8] }), { asPath: [7, 8, 9] }, IMPORT_FIRST],
    ['another path', imports({ ...REJECT, asPathPrefix: [7, 8] }), { asPath: [7, 9] }, 'accepted AS7 AS9'],
    [
      'priority 512 is LOCAL_PREF 2147483135',
      imports({ ...REJECT, priority: 512 }),
      { localPreference: 2147483135 },
      IMPORT_FIRST,
    ],
    ['another priority', imports({ ...REJECT, priority: 512 }), { localPreference: 512 }, 'accepted preference 512'],
    [
      'a route of a peer has no normal priority',
      imports({ ...REJECT, priority: 1024 }),
      { localPreference: 100 },
      'accepted preference 100',
    ],
    [
      'operations, in their order',
      imports({
        ...ACCEPT,
        operations: [
          { addCommunity: { value: '64512:1' } },
          { addCommunity: { value: '64512:1:2' } },
          { prependASPath: { prefix: [5, 6] } },
          { prependASPath: { prefix: [4] } },
          { setPriority: { value: 100 } },
        ],
      }),
      { asPath: [7] },
      'accepted 64512:1 64512:1:2 AS4 AS5 AS6 AS7 preference 2147483547',
    ],
    [
      'a missing filter lets nothing pass',
      { filters: [{ importV4: [ACCEPT] }], missing: ['gone', 'lost'] },
      {},
      "no route passes: there is no BGPFilter gone and BGPFilter lost; create it, or take its name out of the BGPPeer's filters",
    ],
  ]);
});

const POOL = { containers: { cidr: '10.0.0.0/8' } };
const exports = (...exportV4: NonNullable<BgpFilterSpec['exportV4']>): Network => ({
  filters: [{ exportV4 }],
  pools: POOL,
});
const advertised = (...prefixAdvertisements: NonNullable<BgpConfigurationSpec['prefixAdvertisements']>): Network => ({
  pools: POOL,
  configuration: { communities: [{ name: 'named', value: '64512:7' }], prefixAdvertisements },
});

describe('export', () => {
  check('export', [
    ['nothing is sent without pools', {}, {}, 'no rule fits'],
    ['what is in a pool is sent', { pools: POOL }, {}, 'accepted'],
    ['also what a peer told', { pools: POOL }, { remote: true }, 'accepted'],
    ['what is in no pool is not', { pools: POOL }, { prefix: '11.0.0.0/24' }, 'no rule fits'],
    ['nor what is around a pool', { pools: POOL }, { prefix: '0.0.0.0/0' }, 'no rule fits'],
    ['an IPv6 pool', { pools: { six: { cidr: 'fd00::/48' } } }, { prefix: 'fd00:0:0:1::/122' }, 'accepted'],
    [
      'disableBGPExport keeps a pool in',
      { pools: { quiet: { cidr: '10.0.0.0/8', disableBGPExport: true } } },
      {},
      'IPPool quiet, disableBGPExport',
    ],
    [
      'a disabled pool is sent: it still has containers',
      { pools: { old: { cidr: '10.0.0.0/8', disabled: true } } },
      {},
      'accepted',
    ],
    ['a filter may send what is in no pool', exports(ACCEPT), { prefix: '11.0.0.0/24' }, 'accepted'],
    ['a filter may hold back what is in one', exports(REJECT), {}, 'BGPFilter f0, exportV4[0]'],
    [
      'a filter may send what disableBGPExport keeps in',
      { filters: [{ exportV4: [ACCEPT] }], pools: { quiet: { cidr: '10.0.0.0/8', disableBGPExport: true } } },
      {},
      'accepted',
    ],
    [
      'source RemotePeers fits what a peer told',
      exports({ ...REJECT, source: 'RemotePeers' }),
      { remote: true },
      'BGPFilter f0, exportV4[0]',
    ],
    ['source RemotePeers does not fit our own', exports({ ...REJECT, source: 'RemotePeers' }), {}, 'accepted'],
    ['an interface', exports({ ...REJECT, interface: 'cali*' }), { device: 'cali1' }, 'BGPFilter f0, exportV4[0]'],
    ['another interface', exports({ ...REJECT, interface: 'cali*' }), { device: 'eth0' }, 'accepted'],
    ['no interface', exports({ ...REJECT, interface: '*' }), {}, 'accepted'],
    [
      'peerType is the kind of the session that is sent to, also for our own',
      { ...exports({ ...REJECT, peerType: 'eBGP' }), external: true },
      {},
      'BGPFilter f0, exportV4[0]',
    ],
    ['and not of another', exports({ ...REJECT, peerType: 'eBGP' }), {}, 'accepted'],
    ['our own has priority 1024', exports({ ...REJECT, priority: 1024 }), {}, 'BGPFilter f0, exportV4[0]'],
    ['but not with source RemotePeers', exports({ ...REJECT, priority: 1024, source: 'RemotePeers' }), {}, 'accepted'],
    ['our own has no other', exports({ ...REJECT, priority: 1023 }), {}, 'accepted'],
    [
      'our own has the configured priority',
      { ...exports({ ...REJECT, priority: 7 }), configuration: { ipv4NormalRoutePriority: 7 } },
      {},
      'BGPFilter f0, exportV4[0]',
    ],
    [
      'our own with a preference of its own has the priority of that',
      exports({ ...REJECT, priority: 512 }),
      { localPreference: 2147483135 },
      'BGPFilter f0, exportV4[0]',
    ],
    [
      'what a peer told with LOCAL_PREF 100 has not priority 1024',
      exports({ ...REJECT, priority: 1024 }),
      { remote: true, localPreference: 100 },
      'accepted preference 100',
    ],
    [
      'what a peer told has the priority that it told',
      exports({ ...REJECT, priority: 1024, source: 'RemotePeers' }),
      { remote: true, localPreference: 2147482623 },
      'BGPFilter f0, exportV4[0]',
    ],
    [
      'an advertised service range',
      { configuration: { serviceClusterIPs: [{ cidr: '10.96.0.0/12' }] } },
      { prefix: '10.96.0.1/32' },
      'accepted',
    ],
    [
      'a missing filter lets nothing pass',
      { pools: POOL, missing: ['gone'] },
      {},
      "no route passes: there is no BGPFilter gone; create it, or take its name out of the BGPPeer's filters",
    ],
  ]);
});

describe('communities of prefixAdvertisements', () => {
  const nested = advertised(
    { cidr: '10.0.0.0/8', communities: ['64512:1', 'named'] },
    { cidr: '10.1.0.0/16', communities: ['64512:2', '64512:1:2'] },
    { cidr: '0.0.0.0/0', communities: ['64512:3'] },
  );
  check('export', [
    [
      'a value and a name',
      advertised({ cidr: '10.0.0.0/8', communities: ['64512:1', 'named'] }),
      {},
      'accepted 64512:1 64512:7',
    ],
    ['all that fit', nested, {}, 'accepted 64512:2 64512:1 64512:7 64512:3 64512:1:2'],
    ['only those that fit', nested, { prefix: '10.2.0.0/16' }, 'accepted 64512:1 64512:7 64512:3'],
    ['not of what is inside of the route', nested, { prefix: '10.0.0.0/8' }, 'accepted 64512:1 64512:7 64512:3'],
    [
      'two for one prefix',
      advertised({ cidr: '10.0.0.0/8', communities: ['1:1'] }, { cidr: '10.0.0.0/8', communities: ['1:2'] }),
      {},
      'accepted 1:1 1:2',
    ],
    ['one around the pool', advertised({ cidr: '8.0.0.0/5', communities: ['1:1'] }), {}, 'accepted 1:1'],
    [
      'they do not let out what is in no pool',
      advertised({ cidr: '11.0.0.0/8', communities: ['1:1'] }),
      { prefix: '11.0.0.0/24' },
      'no rule fits',
    ],
    [
      'neighbours have nothing of each other',
      advertised({ cidr: '10.1.0.0/16', communities: ['1:1'] }, { cidr: '10.2.0.0/16', communities: ['1:2'] }),
      { prefix: '10.2.3.0/24' },
      'accepted 1:2',
    ],
    ['what a filter accepts has none of them', { ...nested, filters: [{ exportV4: [ACCEPT] }] }, {}, 'accepted'],
    [
      'a name that the node has taken away stands for nothing',
      { ...advertised({ cidr: '10.0.0.0/8', communities: ['named', '1:1'] }), nodeConfiguration: { communities: [] } },
      {},
      'accepted 1:1',
    ],
    ['none of the other family', advertised({ cidr: '::/0', communities: ['1:1'] }), {}, 'accepted'],
  ]);
});

test('sessions with the same filters have the same key', () => {
  const session = { filters: [], missing: [], external: false };
  const configuration = effectiveBgp(undefined, undefined);
  const policies = ['a', 'b'].map((name) => {
    const pools = [resource('IPPool', name, { cidr: '10.0.0.0/8' }) as IpPool];
    return exportPolicyFor({ ...session, pools, configuration });
  });
  assert.equal(new Set(policies.map((policy) => compilePolicy(policy).key)).size, 1);
});

describe('a policy is one object', () => {
  const filter = (name: string) => resource('BGPFilter', name, { importV4: [REJECT], exportV4: [REJECT] }) as BgpFilter;
  const pool = (name: string) => resource('IPPool', name, { cidr: '10.0.0.0/8' }) as IpPool;
  const first = {
    filters: [filter('f')],
    missing: ['gone'],
    external: false,
    pools: [pool('p')],
    configuration: effectiveBgp(undefined, undefined),
  };
  const both = (inputs: typeof first) => [importPolicyFor(inputs), exportPolicyFor(inputs)] as const;

  test('for the same resources, whatever lists they are in', () => {
    const copied = { ...first, filters: [...first.filters], missing: [...first.missing], pools: [...first.pools] };
    assert.ok(both(first).every((policy, place) => policy === both(copied)[place]));
  });

  test('and another for other resources', () => {
    const [imported, exported] = both(first);
    assert.notEqual(imported, exported);
    for (const other of [
      { ...first, filters: [filter('f')] },
      { ...first, filters: [] },
      { ...first, missing: ['lost'] },
      { ...first, external: true },
    ]) {
      assert.notEqual(importPolicyFor(other), imported);
      assert.notEqual(exportPolicyFor(other), exported);
    }
    assert.notEqual(exportPolicyFor({ ...first, pools: [pool('p')] }), exported);
    assert.notEqual(exportPolicyFor({ ...first, configuration: effectiveBgp(undefined, undefined) }), exported);
  });

  test('but only the latest are kept', () => {
    const [imported] = both(first);
    for (let count = 0; count < 16; count++) importPolicyFor({ ...first, filters: [filter('f')] });
    assert.notEqual(importPolicyFor(first), imported);
  });
});
