import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../../net/asn.ts';
import { cidr, formatCidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import { peerName } from '../contract.ts';
import type { PeerConfig } from '../peer-config.ts';
import type { Policy } from '../policy/policy-rules.ts';
import { ScriptedWorld } from '../scripted-peer.suite.ts';
import { Talker, type TalkerOptions } from '../talker.suite.ts';
import { config, peer } from '../virtual-net.suite.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import type { RouteFilter, RoutePage } from './views.ts';

const OURS = '10.0.0.100';
const PREFIX = '172.18.9.0/24';
const [FIRST, SECOND, EXTERNAL] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const ALL: RouteFilter = {
  prefix: undefined,
  match: 'exact',
  peer: undefined,
  family: undefined,
  after: undefined,
  limit: 1_000,
};
const name = (address: string) => peerName({ address: ip(address), device: undefined });

const RULES: Policy = {
  rules: [
    {
      name: 'no tests',
      family: 4,
      prefix: { cidr: cidr('198.18.0.0/15'), operator: 'In', lengthMin: undefined, lengthMax: undefined },
      action: 'reject',
      operations: [],
    },
    { name: 'prefer', action: 'accept', operations: [{ kind: 'setLocalPreference', value: 150 }] },
  ],
  otherwise: 'reject',
};

function rig(more: Partial<PeerConfig> = {}, own: readonly string[] = [], options: TalkerOptions = {}) {
  const peers = [
    peer(FIRST, { passive: true, description: 'first', ...more }),
    peer(SECOND, { passive: true }),
    peer(EXTERNAL, { passive: true, asn: asn(65000) }),
  ];
  const world = new ScriptedWorld(config(OURS, peers), own);
  const first = new Talker(world, FIRST, options);
  const second = new Talker(world, SECOND);
  const external = new Talker(world, EXTERNAL, { asn: 65000 });
  return { world, first, second, external };
}

/** What two internal peers and an external one say, who is best, why, and the verdict on the others. */
const DECISIONS: [
  said: (Partial<PathAttributes> | undefined)[],
  best: string,
  decidedBy: string,
  verdicts: string[],
][] = [
  [[{}], FIRST, 'the only candidate', ['best']],
  [[{}, {}], FIRST, 'lowest router identifier', ['best', 'equal, used beside the best (ECMP)']],
  [
    [{}, { localPreference: 101 }],
    SECOND,
    'highest LOCAL_PREF',
    ['best', 'lost at: highest LOCAL_PREF (100, the best has 101)'],
  ],
  [
    [{ asPath: [1, 2, 3] }, { asPath: [4, 5] }],
    SECOND,
    'shortest AS_PATH',
    ['best', 'lost at: shortest AS_PATH (3, the best has 2)'],
  ],
  [
    [{ origin: 2 }, { origin: 1 }],
    SECOND,
    'lowest ORIGIN',
    ['best', 'lost at: lowest ORIGIN (incomplete, the best has egp)'],
  ],
  [
    [
      { asPath: [1], med: 9 },
      { asPath: [1], med: 8 },
    ],
    SECOND,
    'lowest MED within a neighbouring AS',
    ['best', 'lost at: lowest MED within a neighbouring AS (9, the better one has 8)'],
  ],
  [
    [{ asPath: [65000] }, undefined, {}],
    EXTERNAL,
    'eBGP over iBGP',
    ['best', 'lost at: eBGP over iBGP (internal, the best is external)'],
  ],
  [
    [{}, {}, { asPath: [65000, 65001] }],
    FIRST,
    'lowest router identifier',
    ['best', 'equal, used beside the best (ECMP)', 'lost at: shortest AS_PATH (2, the best has 0)'],
  ],
  [
    [{ nextHop: ip(OURS) }, {}],
    SECOND,
    'the only candidate',
    ['best', 'not usable: the next hop is an address of our own'],
  ],
  [[{ asPath: [64512] }], 'none', 'no candidate may be used', ['not usable: AS_PATH contains our own AS 64512']],
];
for (const [[one, two, three], best, decidedBy, verdicts] of DECISIONS) {
  test(`explain: ${decidedBy}; ${verdicts.join('; ')}`, () => {
    const { world, first, second, external } = rig();
    if (one !== undefined) first.announce([PREFIX], one);
    if (two !== undefined) second.announce([PREFIX], two);
    if (three !== undefined) external.announce([PREFIX], three);
    const explained = world.speaker.explain(cidr(PREFIX));
    assert.equal(explained?.candidates.find((candidate) => candidate.best)?.from ?? 'none', best);
    assert.equal(explained?.decidedBy, decidedBy);
    assert.deepEqual(
      explained?.candidates.map(({ verdict }) => verdict),
      verdicts,
    );
  });
}

test('explain: a route of our own comes before all others and has no gateway', () => {
  const { world, first } = rig({}, [PREFIX]);
  first.announce([PREFIX], { localPreference: 900 });
  const explained = world.speaker.explain(cidr(PREFIX));
  assert.deepEqual(
    explained?.candidates.map(({ from, verdict, nextHop }) => [from, verdict, nextHop]),
    [
      ['local', 'best', ''],
      [FIRST, 'lost at: locally originated (of a peer, the best is our own)', FIRST],
    ],
  );
  assert.deepEqual([explained?.decidedBy, explained?.gateways], ['locally originated', []]);
});

test('explain: what a policy rejects is shown with the name of the rule, as it came', () => {
  const { world, first } = rig({ importPolicy: RULES });
  first.announce(['198.18.1.0/24', PREFIX]);
  const [rejected] = world.speaker.explain(cidr('198.18.1.0/24'))?.candidates ?? [];
  assert.deepEqual(
    [rejected?.verdict, rejected?.localPreference, rejected?.best],
    ['rejected by the import policy: no tests', 100, false],
  );
  const [changed] = world.speaker.explain(cidr(PREFIX))?.candidates ?? [];
  assert.deepEqual([changed?.verdict, changed?.localPreference], ['best', 150]);
  assert.deepEqual(
    world.speaker.routes(ALL).routes.map(({ prefix, localPreference }) => [prefix, localPreference]),
    [[PREFIX, 150]],
  );
  const received = world.speaker
    .received(name(FIRST), ALL)
    ?.routes.map(({ prefix, localPreference, best }) => [prefix, localPreference, best]);
  assert.deepEqual(received, [
    ['198.18.1.0/24', 100, false],
    [PREFIX, 100, true],
  ]);
  const [view] = world.speaker.peers(world.now);
  assert.deepEqual([view?.prefixesReceived, view?.prefixesAccepted], [2, 1]);
});

test('explain: a route that no rule of a policy fits', () => {
  const { world, first } = rig({ importPolicy: { rules: [], otherwise: 'reject' } });
  first.announce([PREFIX]);
  assert.equal(
    world.speaker.explain(cidr(PREFIX))?.candidates[0]?.verdict,
    'rejected by the import policy: no rule fits',
  );
  assert.equal(world.speaker.explain(cidr(PREFIX))?.decidedBy, 'no candidate may be used');
});

test('explain: to whom the best route is told, and why not', () => {
  const { world, first } = rig({ exportPolicy: RULES });
  first.announce([PREFIX]);
  assert.deepEqual(world.speaker.explain(cidr(PREFIX))?.advertised, [
    { peer: FIRST, verdict: 'not sent: the best route is its own' },
    {
      peer: SECOND,
      verdict: 'not sent: it came from an internal peer, and neither of the two is our reflector client',
    },
    { peer: EXTERNAL, verdict: 'sent' },
  ]);
  const { world: other, external } = rig({ exportPolicy: RULES });
  external.announce(['198.18.1.0/24']);
  assert.equal(
    other.speaker.explain(cidr('198.18.1.0/24'))?.advertised[0]?.verdict,
    'not sent: rejected by the export policy: no tests',
  );
  assert.equal(other.speaker.explain(cidr('1.0.0.0/8')), undefined);
});

test('explain: a route that may not be used is told to nobody', () => {
  const { world, external } = rig();
  external.announce([PREFIX], { asPath: [65000, 64512] });
  const verdicts = world.speaker.explain(cidr(PREFIX))?.advertised.map(({ verdict }) => verdict);
  assert.deepEqual(new Set(verdicts), new Set(['not sent: there is no best route']));
});

const NESTED = ['172.16.0.0/12', '172.18.0.0/16', PREFIX, '172.18.9.128/25', '10.0.0.0/8', 'fd18::/32', 'fd18:1::/48'];
const MATCHES: [filter: Partial<RouteFilter>, prefixes: string[]][] = [
  [{}, NESTED],
  [{ family: 4 }, NESTED.slice(0, 5)],
  [{ family: 6 }, NESTED.slice(5)],
  [{ prefix: cidr('172.18.0.0/16') }, ['172.18.0.0/16']],
  [{ prefix: cidr('172.18.8.0/24') }, []],
  [{ prefix: cidr('172.18.0.0/16'), match: 'longer' }, ['172.18.0.0/16', PREFIX, '172.18.9.128/25']],
  [{ prefix: cidr('fd18::/16'), match: 'longer' }, ['fd18::/32', 'fd18:1::/48']],
  [{ prefix: cidr(PREFIX), match: 'covering' }, [PREFIX, '172.18.0.0/16', '172.16.0.0/12']],
  [{ prefix: cidr('172.18.9.200/32'), match: 'longest' }, ['172.18.9.128/25']],
  [{ prefix: cidr('172.18.9.1/32'), match: 'longest' }, [PREFIX]],
  [{ prefix: cidr('11.0.0.1/32'), match: 'longest' }, []],
  [{ peer: name(FIRST) }, NESTED],
  [{ peer: name(SECOND) }, []],
  [{ peer: 'local' }, []],
];
for (const [filter, prefixes] of MATCHES) {
  const title = `${filter.match ?? 'exact'} ${filter.prefix === undefined ? '' : formatCidr(filter.prefix)} ${filter.family ?? ''} ${filter.peer ?? ''}`;
  test(`routes: ${title.trim()}, in one page and in pages of one`, () => {
    const { world, first } = rig();
    for (const family of ['4', '6']) {
      const nextHop = ip(family === '4' ? FIRST : 'fd00::1');
      first.announce(
        NESTED.filter((prefix) => prefix.includes(':') === (family === '6')),
        { nextHop },
      );
    }
    const texts = (page: RoutePage | undefined): string[] => page?.routes.map(({ prefix }) => prefix) ?? [];
    const page = world.speaker.routes({ ...ALL, ...filter });
    assert.deepEqual(texts(page), prefixes);
    assert.equal(page.next, undefined);
    if (filter.match === 'covering') return;
    const seen: string[] = [];
    let after: string | undefined;
    for (let pages = 0; pages < 20; pages++) {
      const { routes, next } = world.speaker.routes({ ...ALL, ...filter, limit: 1, after });
      assert.ok(routes.length <= 1);
      seen.push(...routes.map(({ prefix }) => prefix));
      after = next;
      if (next === undefined) break;
    }
    assert.deepEqual(seen, prefixes);
  });
}

test('routes: a cursor that makes no sense begins anew, one beyond the end is at the end', () => {
  const { world, first } = rig();
  first.announce([PREFIX]);
  assert.equal(world.speaker.routes({ ...ALL, after: 'nonsense' }).routes.length, 1);
  for (const after of ['4/999999', '6/0', '6/99999999999999999999'])
    assert.equal(world.speaker.routes({ ...ALL, after }).routes.length, 0);
});

test('received and advertised: what a peer says, what it is told, and nothing of peers that are not there', () => {
  const { world, first, external } = rig({}, ['172.17.8.0/24']);
  first.announce([PREFIX], { localPreference: 300, med: 4, communities: [0xfde80001], largeCommunities: [[1, 2, 3]] });
  external.announce(['172.19.0.0/16']);
  const advertised = world.speaker.advertised(name(EXTERNAL), ALL)?.routes ?? [];
  const row = ({ prefix, from, nextHop, asPath, localPreference, communities }: (typeof advertised)[number]) => [
    prefix,
    from,
    nextHop,
    asPath,
    localPreference,
    communities.join(' '),
  ];
  assert.deepEqual(advertised.map(row), [
    ['172.17.8.0/24', 'local', OURS, '64512', undefined, ''],
    [PREFIX, FIRST, OURS, '64512', undefined, '65000:1 1:2:3'],
  ]);
  assert.deepEqual(
    [...external.routes().keys()],
    advertised.map(({ prefix }) => prefix),
  );
  assert.deepEqual(world.speaker.received(name(EXTERNAL), ALL)?.routes.map(row), [
    ['172.19.0.0/16', EXTERNAL, EXTERNAL, '65000', undefined, ''],
  ]);
  assert.equal(world.speaker.received(name('10.9.9.9'), ALL), undefined);
  assert.equal(world.speaker.advertised(name('10.9.9.9'), ALL), undefined);
  assert.equal(world.speaker.neighbor(world.now, name('10.9.9.9')), undefined);
});

test('neighbor: who it is, what was agreed on, what went over the wire', () => {
  const families = [{ family: 4, forwardingPreserved: true }] as const;
  const gracefulRestart = { restarting: false, notification: true, restartTimeSeconds: 60, families };
  const more = {
    password: 'secret',
    ttlSecurityHops: 1,
    bfd: { intervalMs: 300, multiplier: 3, multihop: false },
    port: 1179,
  };
  const { world, first } = rig(more, ['172.17.8.0/24'], { capabilities: { gracefulRestart, routeRefresh: true } });
  first.announce([PREFIX]);
  first.refresh(4, 'request');
  world.run(1_000);
  const view = world.speaker.neighbor(world.now, name(FIRST));
  assert.ok(view !== undefined);
  const {
    address,
    asn: number,
    localAsn,
    description,
    type,
    state,
    forMs,
    routerId,
    localAddress,
    port,
    passive,
    dynamic,
    md5,
  } = view;
  assert.deepEqual(
    { address, number, localAsn, description, type, state, forMs, routerId, localAddress, port, passive, dynamic, md5 },
    {
      address: FIRST,
      number: 64512,
      localAsn: 64512,
      description: 'first',
      type: 'internal',
      state: 'Established',
      forMs: 1_000,
      routerId: FIRST,
      localAddress: OURS,
      port: 1179,
      passive: true,
      dynamic: false,
      md5: true,
    },
  );
  const {
    families: spoken,
    established,
    flaps,
    prefixesReceived,
    prefixesAccepted,
    prefixesSent,
    holdTimeSeconds,
    keepaliveSeconds,
    ttlSecurityHops,
    bfd,
    stale,
    loops,
    queuedBytes,
  } = view;
  assert.deepEqual(
    {
      spoken,
      established,
      flaps,
      prefixesReceived,
      prefixesAccepted,
      prefixesSent,
      holdTimeSeconds,
      keepaliveSeconds,
      ttlSecurityHops,
      stale,
      loops,
      queuedBytes,
    },
    {
      spoken: ['IPv4 unicast', 'IPv6 unicast'],
      established: 1,
      flaps: 0,
      prefixesReceived: 1,
      prefixesAccepted: 1,
      prefixesSent: 1,
      holdTimeSeconds: 90,
      keepaliveSeconds: 30,
      ttlSecurityHops: 1,
      stale: false,
      loops: 0,
      queuedBytes: 0,
    },
  );
  assert.equal(bfd, '300 ms × 3');
  assert.deepEqual(
    [view.received.opens, view.received.updates, view.received.refreshes, view.received.keepalives],
    [1, 1, 1, 1],
  );
  assert.ok(
    view.capabilitiesReceived.some((text) => /graceful restart/i.test(text)),
    view.capabilitiesReceived.join(),
  );
  assert.ok(!JSON.stringify(view).includes('secret'));
});

test('neighbor: what ended the last session, in words, and how long ago', () => {
  const { world, first } = rig();
  world.tell({ kind: 'command', peer: name(FIRST), command: { kind: 'reset', communication: 'new rack' } });
  assert.deepEqual(first.words().slice(-2), ['cease: administrative reset (6/4): new rack', 'closed']);
  world.run(2_000);
  const view = world.speaker.neighbor(world.now, name(FIRST));
  assert.deepEqual(view?.lastNotification, {
    direction: 'sent',
    code: 6,
    subcode: 4,
    text: 'cease: administrative reset (6/4): new rack',
    agoMs: 2_000,
  });
  assert.equal(view?.flaps, 1);
  assert.match(view?.lastError ?? '', /administrative reset \(6\/4\): reset by command/);
  assert.ok(view?.log.some(({ text }) => /Established → (Idle|Active)/.test(text)));
});

test('dump: every candidate as a value, or what one peer has sent, in pages', () => {
  const { world, first, second } = rig({ importPolicy: RULES }, ['172.17.8.0/24']);
  first.announce([PREFIX, '198.18.1.0/24']);
  second.announce([PREFIX]);
  const pages = (received: string | undefined, limit: number): string[] => {
    const lines: string[] = [];
    let after: string | undefined;
    do {
      const page = world.speaker.dump({ received: received === undefined ? undefined : name(received), after, limit });
      for (const { prefix, paths } of page.entries) {
        for (const { peer: from, pathId, attributes } of paths)
          lines.push(`${formatCidr(prefix)} ${from} ${pathId} ${attributes.localPreference}`);
      }
      after = page.next;
    } while (after !== undefined);
    return lines.sort();
  };
  const everything = [
    '172.17.8.0/24 undefined undefined undefined',
    `${PREFIX} ${FIRST} undefined 150`,
    `${PREFIX} ${SECOND} undefined 100`,
  ];
  assert.deepEqual(pages(undefined, 1), everything);
  assert.deepEqual(pages(undefined, 100), everything);
  assert.deepEqual(pages(FIRST, 1), [`${PREFIX} ${FIRST} undefined 100`, `198.18.1.0/24 ${FIRST} undefined 100`]);
  assert.deepEqual(pages('10.9.9.9', 1), []);
});

test('sizes: prefixes, paths and attribute sets come and go with the routes', () => {
  const { world, first, second } = rig({}, ['172.17.8.0/24']);
  const empty = world.speaker.sizes();
  first.announce([PREFIX, '172.18.10.0/24', '172.18.11.0/24']);
  second.announce([PREFIX]);
  const { prefixes, paths, attributeSets } = world.speaker.sizes();
  assert.deepEqual([prefixes - empty.prefixes, paths - empty.paths, attributeSets - empty.attributeSets], [3, 4, 2]);
  first.withdraw([PREFIX, '172.18.10.0/24', '172.18.11.0/24']);
  second.withdraw([PREFIX]);
  assert.deepEqual(world.speaker.sizes(), empty);
});

test('explain: without multipath an equal route has lost by a name', () => {
  const world = new ScriptedWorld(
    config(
      OURS,
      [FIRST, SECOND].map((address) => peer(address, { passive: true })),
      { multipathMax: 1 },
    ),
  );
  for (const address of [FIRST, SECOND]) new Talker(world, address).announce([PREFIX]);
  const explained = world.speaker.explain(cidr(PREFIX));
  assert.deepEqual(explained?.gateways, [FIRST]);
  assert.equal(explained?.candidates[1]?.multipath, false);
  assert.equal(
    explained?.candidates[1]?.verdict,
    'lost at: lowest router identifier (10.0.0.2, the best has 10.0.0.1)',
  );
});
