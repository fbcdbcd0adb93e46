/**
 * Sessions that write routes in other forms than the usual: IPv4 over IPv6, two octets of AS number, long messages.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker, type TalkerOptions } from './talker.suite.ts';
import { config, everyRoute, peer } from './virtual-net.suite.ts';
import type { Capabilities } from './wire/capabilities.ts';

const OURS = '10.0.0.100';
const PREFIX = '172.18.9.0/24';
const OWN = ['172.17.8.0/24', 'fd17::/64'];
const IPV4_OVER_IPV6 = { ipv4OverIpv6: true };

/** A peer reached over IPv6, and what it is told of our routes as next hop. */
const NEXT_HOPS: [
  title: string,
  options: TalkerOptions,
  nextHops: Parameters<typeof config>[2],
  seen: Record<string, string>,
][] = [
  [
    'a configured address of each family',
    { localAddress: 'fd00::100', capabilities: IPV4_OVER_IPV6 },
    {},
    { 'fd17::/64': 'fd00::100', '172.17.8.0/24': '10.0.0.100' },
  ],
  [
    'no IPv4 address',
    { localAddress: 'fd00::100', capabilities: IPV4_OVER_IPV6 },
    { nextHops: { 6: ip('fd00::7') } },
    { 'fd17::/64': 'fd00::7', '172.17.8.0/24': 'fd00::100' },
  ],
  [
    'no IPv4 address, and a peer that cannot do without',
    { localAddress: 'fd00::100' },
    { nextHops: { 6: ip('fd00::7') } },
    { 'fd17::/64': 'fd00::7' },
  ],
  ['no address at all', { localAddress: 'fd00::100' }, { nextHops: {} }, { 'fd17::/64': 'fd00::100' }],
];
for (const [title, options, more, seen] of NEXT_HOPS) {
  test(`RFC 8950 section 4: over IPv6, with ${title}`, () => {
    const world = new ScriptedWorld(config(OURS, [peer('fd00::2', { passive: true })], more), OWN);
    const talker = new Talker(world, 'fd00::2', options);
    const nextHops = [...talker.routes()].map(([prefix, { nextHop }]) => [prefix, nextHop]);
    assert.deepEqual(
      Object.fromEntries(nextHops),
      Object.fromEntries(Object.entries(seen).map(([prefix, text]) => [prefix, ip(text)])),
    );
  });
}

test('RFC 8950 section 4: explain says why a route is not told for want of an address', () => {
  const world = new ScriptedWorld(config(OURS, [peer('fd00::2', { passive: true })], { nextHops: {} }), OWN);
  new Talker(world, 'fd00::2', { localAddress: 'fd00::100' });
  assert.deepEqual(world.speaker.explain(cidr('172.17.8.0/24'))?.advertised, [
    { peer: 'fd00::2', verdict: 'not sent: we have no address in its family to be the next hop' },
  ]);
});

test('RFC 8950 section 3: IPv6 next hops for IPv4 are offered over IPv6 only, and taken only where both have them', () => {
  for (const [address, offered] of [
    ['fd00::2', true],
    ['10.0.0.2', false],
  ] as const) {
    const world = new ScriptedWorld(config(OURS, [peer(address, { passive: true })]), []);
    assert.equal(world.openOn(world.accept(address)).capabilities.ipv4OverIpv6, offered);
  }
  const world = new ScriptedWorld(config(OURS, [peer('fd00::2', { passive: true })]), []);
  const talker = new Talker(world, 'fd00::2', { localAddress: 'fd00::100' });
  talker.announce([PREFIX], { nextHop: ip('fd00::2') });
  assert.match(talker.words().join(), /optional attribute error \(3\/9\)/);
});

/** Two peers on the links of one host each, without any address but the link-local ones. */
function unnumbered(more: Partial<PeerConfig> = {}, nextHops: SpeakerConfig['nextHops'] = {}) {
  const names = ['eth0', 'eth1'] as const;
  const peers = names.map((device) => peer('fe80::1', { device, passive: true, asn: asn(65001), ...more }));
  const world = new ScriptedWorld(config(OURS, peers, { nextHops }), []);
  const [first, second] = names.map(
    (device, index) =>
      new Talker(world, 'fe80::1', {
        device,
        asn: more.asn ?? 65001,
        routerId: `9.9.9.${index}`,
        localAddress: `fe80::10${index}`,
        capabilities: IPV4_OVER_IPV6,
      }),
  );
  assert.ok(first !== undefined && second !== undefined);
  return { world, first, second };
}

test('RFC 8950 section 4: unnumbered peers are told apart by device, and give gateways with it', () => {
  const { world, first, second } = unnumbered();
  first.announce([PREFIX]);
  second.announce([PREFIX]);
  const best = world.outputs.findLast((output) => output.kind === 'best');
  assert.deepEqual(best?.gateways, [
    { address: ip('fe80::1'), device: 'eth0' },
    { address: ip('fe80::1'), device: 'eth1' },
  ]);
  assert.deepEqual(world.speaker.explain(cidr(PREFIX))?.gateways, ['fe80::1%eth0', 'fe80::1%eth1']);
  assert.deepEqual(
    everyRoute(world.speaker)
      .map(({ from }) => from)
      .sort(),
    ['fe80::1%eth0', 'fe80::1%eth1'],
  );
});

test('RFC 8950 section 4: each unnumbered peer is told our address on its own link, even if we have others', () => {
  for (const nextHops of [{}, { 4: ip(OURS), 6: ip('fd00::100') }]) {
    const { first, second } = unnumbered({ asOverride: true }, nextHops);
    first.announce([PREFIX]);
    assert.deepEqual(second.only().nextHop, ip('fe80::101'));
    second.announce(['172.18.10.0/24']);
    assert.deepEqual(first.only().nextHop, ip('fe80::100'));
  }
});

test('RFC 2545 section 3: a link-local next hop does not leave its link, not even when reflected or to be kept', () => {
  for (const nextHop of ['auto', 'keep'] as const) {
    const { first, second } = unnumbered({ asn: asn(64512), reflectorClient: true, nextHop });
    first.announce([PREFIX, '172.18.10.0/24']);
    for (const { nextHop: seen } of second.routes().values()) assert.deepEqual(seen, ip('fe80::101'));
  }
});

test('RFC 2545 section 3: a link-local next hop from a peer that is on no device is not used', () => {
  const world = new ScriptedWorld(config(OURS, [peer('fd00::2', { passive: true })]), []);
  new Talker(world, 'fd00::2', { localAddress: 'fd00::100' }).announce(['fd18::/64'], { nextHop: ip('fe80::2') });
  assert.match(
    world.speaker.explain(cidr('fd18::/64'))?.candidates[0]?.verdict ?? '',
    /^not usable: the next hop is a link-local address/,
  );
});

test('RFC 6793 section 4.2: a peer of two octets is shown AS_TRANS and the truth beside it, and is understood', () => {
  const big = 4_200_000_001;
  const peers = [
    peer('10.0.0.2', { passive: true, asn: asn(65002) }),
    peer('10.0.0.3', { passive: true, asn: asn(65003) }),
    peer('10.0.0.4', { passive: true, asn: asn(65004) }),
  ];
  const world = new ScriptedWorld(config(OURS, peers, { asn: asn(4_200_000_000) }), []);
  const old = { fourOctetAsn: undefined };
  const speaking = new Talker(world, '10.0.0.2', { asn: 65002, capabilities: old });
  const hearing = new Talker(world, '10.0.0.3', { asn: 65003, capabilities: old });
  const young = new Talker(world, '10.0.0.4', { asn: 65004 });
  speaking.announce([PREFIX], { asPath: [65002, big, 7], aggregator: { asn: big, address: ip('10.9.9.9') } });
  for (const talker of [hearing, young]) {
    assert.deepEqual(talker.only().asPath, [4_200_000_000, 65002, big, 7]);
    assert.equal(talker.only().aggregator?.asn, big);
  }
  assert.equal(everyRoute(world.speaker)[0]?.asPath, `65002 ${big} 7`);
  assert.equal(world.openOn(hearing.connection).asn, 4_200_000_000);
});

const communities = Array.from({ length: 2_000 }, (_, index) => 0x10000 + index);
const long: Partial<Capabilities> = { extendedMessages: true };
const LENGTHS: [title: string, capabilities: Partial<Capabilities>, more: Partial<PeerConfig>, isLong: boolean][] = [
  ['both have them', long, {}, true],
  ['the peer has not', {}, {}, false],
  ['we have not', long, { extendedMessages: false }, false],
];
for (const [title, capabilities, more, isLong] of LENGTHS) {
  test(`RFC 8654 section 4: messages above 4096 octets are ${isLong ? '' : 'not '}sent when ${title}`, () => {
    const peers = [
      peer('10.0.0.2', { passive: true, reflectorClient: true }),
      peer('10.0.0.3', { passive: true, ...more }),
    ];
    const many = Array.from({ length: 2_000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`);
    const world = new ScriptedWorld(config(OURS, peers), many);
    const speaking = new Talker(world, '10.0.0.2', { capabilities: long });
    const hearing = new Talker(world, '10.0.0.3', { capabilities });
    assert.equal(hearing.prefixes().length, 2_000);
    assert.equal(Math.max(...hearing.lengths) > 4_096, isLong);
    // A set of attributes that fits into no short message is kept back from those who take only short ones.
    speaking.announce([PREFIX], { communities });
    assert.equal(hearing.routes().has(PREFIX), isLong);
    assert.equal(world.state('10.0.0.3'), 'Established');
    const notice =
      /a set of attributes is too long for a message of 4096 bytes: such routes are not sent to 10\.0\.0\.3/;
    assert.equal(notice.test(JSON.stringify(world.outputs)), !isLong);
    const verdict = world.speaker.explain(cidr(PREFIX))?.advertised[1]?.verdict;
    assert.equal(verdict, isLong ? 'sent' : 'not sent: its attributes are too long for a message of 4096 bytes');
    speaking.announce([PREFIX], { communities: [1] });
    assert.equal(hearing.routes().has(PREFIX), true);
    speaking.announce([PREFIX], { communities });
    assert.equal(hearing.routes().has(PREFIX), isLong);
  });
}

test('RFC 8654 section 4: a long message from a peer that has not agreed on it ends the session', () => {
  const world = new ScriptedWorld(config(OURS, [peer('10.0.0.2', { passive: true, extendedMessages: false })]), []);
  const talker = new Talker(world, '10.0.0.2', { capabilities: long });
  talker.announce([PREFIX], { communities });
  assert.match(talker.words().join(), /bad message length \(1\/2\)/);
});

test('RFC 4760 section 6: a family that only one side has is not sent, and what comes of it is passed over', () => {
  const world = new ScriptedWorld(config(OURS, [peer('10.0.0.2', { passive: true, families: [4] })]), OWN);
  const talker = new Talker(world, '10.0.0.2');
  talker.announce(['fd18::/64'], { nextHop: ip('fd00::2') });
  assert.deepEqual(talker.prefixes(), ['172.17.8.0/24']);
  assert.deepEqual(world.kernel(), []);
  assert.equal(world.state('10.0.0.2'), 'Established');
});

test('RFC 6286 section 2.1: an external peer may have our router identifier, an internal one not', () => {
  const routerId = OURS;
  assert.equal(routerIdFromIp(ip(routerId)), config(OURS, []).routerId);
  const world = new ScriptedWorld(config(OURS, [peer('10.0.0.2', { passive: true, asn: asn(65002) })]), []);
  new Talker(world, '10.0.0.2', { asn: 65002, routerId });
  const internal = new ScriptedWorld(config(OURS, [peer('10.0.0.2', { passive: true })]), []);
  assert.throws(() => new Talker(internal, '10.0.0.2', { routerId }));
  assert.match(
    internal.speaker.peers(internal.now)[0]?.lastError ?? '',
    /the peer has our own router identifier 10.0.0.100/,
  );
});
