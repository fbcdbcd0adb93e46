import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerName } from '../../bgp/contract.ts';
import type { PeerConfig } from '../../bgp/peer-config.ts';
import type { BgpConfiguration } from '../../model/bgp-configuration.ts';
import type { BgpFilter } from '../../model/bgp-filter.ts';
import type { BgpPeer } from '../../model/bgp-peer.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { Node } from '../../model/node.ts';
import { validateResource } from '../../model/validate.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { formatRouterId } from '../../net/asn.ts';
import { formatIp } from '../../net/ip.ts';
import type { BgpResources, BgpSetup, SecretReader } from './bgp-resources.ts';
import { speakerConfiguration } from './speaker-configuration.ts';

interface Meta {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

function resource<Kind>(kind: string, name: string, spec: object, meta: Meta = {}): Kind {
  const metadata = { name, ...meta };
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  return validated.resource as Kind;
}

function node(name: string, bgp: object, labels: Readonly<Record<string, string>> = {}): Node {
  return resource('Node', name, { bgp }, { labels });
}

const NODES = [
  node('a', { ipv4Address: '10.0.0.1/24', ipv6Address: 'fd00::1/64' }),
  node('b', { ipv4Address: '10.0.0.2/24', ipv6Address: 'fd00::2/64', asNumber: 65001 }),
  node('c', { ipv4Address: '10.0.0.10/24' }),
  node('d', { ipv6Address: 'fd00::4/64' }),
];

/** Two reflectors of one cluster, one of another, and two clients. */
const REFLECTED = [
  node('r1', { ipv4Address: '10.0.0.1/24', routeReflectorClusterID: '1.0.0.1' }, { rr: 'yes' }),
  node('r2', { ipv4Address: '10.0.0.2/24', routeReflectorClusterID: '1.0.0.1' }, { rr: 'yes' }),
  node('r3', { ipv4Address: '10.0.0.3/24', routeReflectorClusterID: '1.0.0.2' }, { rr: 'yes' }),
  node('h1', { ipv4Address: '10.0.1.1/24' }),
  node('h2', { ipv4Address: '10.0.1.2/24' }),
];

type Lists = {
  readonly nodes?: readonly Node[];
  readonly configurations?: readonly BgpConfiguration[];
  readonly peers?: readonly BgpPeer[];
  readonly filters?: readonly BgpFilter[];
  readonly pools?: readonly IpPool[];
  readonly endpoints?: readonly WorkloadEndpoint[];
};

function resources({ nodes = NODES, configurations, peers, filters, pools, endpoints }: Lists): BgpResources {
  const byName = <Value extends { readonly metadata: { readonly name: string } }>(list: readonly Value[] = []) =>
    new Map(list.map((each) => [each.metadata.name, each]));
  return {
    nodes: byName(nodes),
    configurations: byName(configurations),
    peers: byName(peers),
    filters: byName(filters),
    pools: byName(pools),
    endpoints: byName(endpoints),
  };
}

const NO_SECRETS: SecretReader = ({ name, key }) => ({ problem: `there is no ${name}/${key}` });

function setup(name: string, lists: Lists = {}, readSecret = NO_SECRETS): BgpSetup {
  const configuration = speakerConfiguration(name, resources(lists), readSecret);
  assert.ok(!('reason' in configuration), JSON.stringify(configuration));
  return configuration;
}

function settings(spec: object, name = 'default'): { readonly configurations: readonly BgpConfiguration[] } {
  return { configurations: [resource('BGPConfiguration', name, spec)] };
}

function peer(name: string, spec: object, annotations: Readonly<Record<string, string>> = {}): BgpPeer {
  return resource('BGPPeer', name, spec, { annotations });
}

const NO_MESH = settings({ nodeToNodeMeshEnabled: false });

function line({ address, asn, port, passive, families, description }: PeerConfig): string {
  return `${formatIp(address)} as ${asn} port ${port} ${passive ? 'waits' : 'dials'} ${families.join('+')} ${description}`;
}

describe('the mesh', () => {
  it('is full, over IPv4 where both have it; the lower address waits, compared as a number', () => {
    assert.deepEqual(setup('a').speaker.peers.map(line), [
      '10.0.0.10 as 64512 port 179 waits 4 mesh, Node c',
      '10.0.0.2 as 65001 port 179 waits 4+6 mesh, Node b',
      'fd00::4 as 64512 port 179 waits 6 mesh, Node d',
    ]);
    assert.deepEqual(setup('c').speaker.peers.map(line), [
      '10.0.0.1 as 64512 port 179 dials 4 mesh, Node a',
      '10.0.0.2 as 65001 port 179 dials 4 mesh, Node b',
    ]);
  });

  it('has exactly one side of each pair dial', () => {
    const pairs = ['ab', 'ac', 'bc', 'ad', 'bd'].map((pair) => pair.split(''));
    for (const [one = '', other = ''] of pairs) {
      const sides = [[one, other] as const, [other, one] as const].map(([self, peer]) => {
        return setup(self).speaker.peers.find(({ description }) => description.endsWith(` ${peer}`))?.passive;
      });
      assert.deepEqual(sides.sort(), [false, true], `${one} and ${other}`);
    }
  });

  it('is off where it is switched off, and between reflectors and others', () => {
    const names = (name: string) => setup(name, { nodes: REFLECTED }).speaker.peers.map(line);
    assert.deepEqual(setup('a', NO_MESH).speaker.peers, []);
    assert.deepEqual(names('r1'), []);
    assert.deepEqual(names('h1'), ['10.0.1.2 as 64512 port 179 waits 4 mesh, Node h2']);
  });

  it('has a password and a restart time, watches by BFD, and says when the password is missing', () => {
    const lists = settings({
      nodeMeshPassword: { secretKeyRef: { name: 'mesh', key: 'md5' } },
      nodeMeshMaxRestartTime: '4m',
    });
    const [first] = setup('a', lists, () => ({ secret: 'x' })).speaker.peers;
    assert.deepEqual([first?.password, first?.restartTimeSeconds], ['x', 240]);
    assert.deepEqual(first?.bfd, { intervalMs: 300, multiplier: 3, multihop: false });
    const without = setup('a', lists);
    assert.deepEqual(without.speaker.peers, []);
    assert.deepEqual(without.problems, [
      'mesh: no session, since nodeMeshPassword cannot be read: there is no mesh/md5',
    ]);
  });

  it('lets pools out, explicitly, so that a mesh between ASes works, too (RFC 8212)', () => {
    const pools = [resource<IpPool>('IPPool', 'p', { cidr: '10.9.0.0/16' })];
    const between = setup('a', { pools }).speaker.peers.find(({ asn }) => asn === 65001);
    assert.equal(between?.importPolicy?.otherwise, 'accept');
    assert.match(JSON.stringify(between?.exportPolicy?.rules), /IPPool p/);
  });
});

describe('who we are', () => {
  it('follows BGPConfiguration: AS number, port, where to listen', () => {
    assert.equal(setup('a', settings({ asNumber: 64999 })).speaker.asn, 64999);
    assert.equal(setup('b', settings({ asNumber: 64999 })).speaker.asn, 65001, "the node's own number wins");
    assert.equal(setup('a', settings({ listenPort: 1790 })).speaker.peers[0]?.port, 1790);
    assert.deepEqual(setup('a', settings({ listenPort: 1790 })).listen, { addresses: [], port: 1790 });
    const { addresses } = setup('a', settings({ bindMode: 'NodeIP' })).listen;
    assert.deepEqual(addresses.map(formatIp), ['10.0.0.1', 'fd00::1']);
  });

  it('makes the identifier from the IPv4 address, or from the name where there is none', () => {
    assert.equal(formatRouterId(setup('a').speaker.routerId), '10.0.0.1');
    assert.notEqual(setup('d').speaker.routerId, 0);
  });

  it('says why it cannot speak yet', () => {
    const nodes = [resource<Node>('Node', 'x', {})];
    const reason = (name: string) => speakerConfiguration(name, resources({ nodes }), NO_SECRETS);
    assert.deepEqual(reason('y'), { reason: 'there is no Node resource called y' });
    assert.match(JSON.stringify(reason('x')), /Node x has neither spec\.bgp\.ipv4Address nor/);
  });

  it('gives equal values for equal resources, in whatever order they come', () => {
    const peers = [peer('x', { peerIP: '10.0.0.9', asNumber: 65009 }), peer('y', { peerSelector: 'all()' })];
    const [one, other] = [setup('a', { peers }), setup('a', { peers: peers.toReversed(), nodes: NODES.toReversed() })];
    assert.deepEqual(one, other);
  });
});

describe('reflectors', () => {
  const peers = [peer('to-reflectors', { nodeSelector: 'all()', peerSelector: 'rr == "yes"' })];
  const rows: [string, string[]][] = [
    ['h1', ['10.0.0.1 -', '10.0.0.2 -', '10.0.0.3 -']],
    // Reverse sessions; reflectors of the same cluster are no clients of each other.
    ['r1', ['10.0.0.2 -', '10.0.0.3 client', '10.0.1.1 client', '10.0.1.2 client']],
    ['r3', ['10.0.0.1 client', '10.0.0.2 client', '10.0.1.1 client', '10.0.1.2 client']],
  ];
  for (const [name, expected] of rows) {
    it(`${name} has ${expected.join(', ')}`, () => {
      const found = setup(name, { nodes: REFLECTED, peers, ...NO_MESH });
      assert.deepEqual(
        found.speaker.peers.map((each) => `${peerName(each)} ${each.reflectorClient ? 'client' : '-'}`),
        expected,
      );
      assert.deepEqual(found.problems, []);
    });
  }

  it('are not told of their clients with reversePeering Manual', () => {
    const manual = [
      peer('m', { nodeSelector: 'name == "none"', peerSelector: 'rr == "yes"', reversePeering: 'Manual' }),
    ];
    assert.deepEqual(setup('r1', { nodes: REFLECTED, peers: manual, ...NO_MESH }).speaker.peers, []);
  });

  it('show the reverse side the AS number that the forward side shows', () => {
    const local = [peer('l', { node: 'h1', peerSelector: 'rr == "yes"', localASNumber: 65123 })];
    const lists = { nodes: REFLECTED, peers: local, ...NO_MESH };
    assert.equal(setup('h1', lists).speaker.peers[0]?.localAsn, 65123);
    assert.deepEqual(
      setup('r1', lists).speaker.peers.map(({ asn, localAsn, reflectorClient }) => ({
        asn,
        localAsn,
        reflectorClient,
      })),
      [{ asn: 65123, localAsn: undefined, reflectorClient: false }],
    );
  });
});

describe('a BGPPeer', () => {
  const TOR = { peerIP: '10.0.0.9', asNumber: 65009 };
  const session = (spec: object, annotations: Readonly<Record<string, string>> = {}, lists: Lists = {}) => {
    const peers = [peer('tor', { ...TOR, ...spec }, annotations)];
    const found = setup('a', { ...NO_MESH, peers, ...lists }, () => ({ secret: 'geheim' }));
    assert.deepEqual(found.problems, []);
    return found.speaker.peers[0];
  };
  const rows: [string, object, Partial<PeerConfig>][] = [
    ['nothing else', {}, { port: 179, passive: false, families: [4], nextHop: 'auto', bfd: undefined }],
    ['a port', { peerIP: '10.0.0.9:1790' }, { port: 1790 }],
    ['localASNumber', { localASNumber: 65123 }, { localAsn: 65123 as PeerConfig['asn'] }],
    ['numAllowedLocalASNumbers', { numAllowedLocalASNumbers: 2 }, { allowedOwnAsns: 2 }],
    ['sourceAddress None', { sourceAddress: 'None' }, { sourceAddress: undefined, localNextHop: true }],
    ['sourceAddress UseNodeIP', { sourceAddress: 'UseNodeIP' }, { localNextHop: false }],
    ['nextHopMode Self', { nextHopMode: 'Self' }, { nextHop: 'self' }],
    ['nextHopMode Keep', { nextHopMode: 'Keep' }, { nextHop: 'keep' }],
    ['keepOriginalNextHop', { keepOriginalNextHop: true }, { nextHop: 'keep' }],
    ['keepOriginalNextHop in our AS', { keepOriginalNextHop: true, asNumber: 64512 }, { nextHop: 'auto' }],
    ['a password', { password: { secretKeyRef: { name: 'n', key: 'k' } } }, { password: 'geheim' }],
    ['maxRestartTime', { maxRestartTime: '2m' }, { restartTimeSeconds: 120 }],
    ['a short keepaliveTime', { keepaliveTime: '10s' }, { keepaliveSeconds: 10, holdTimeSeconds: undefined }],
    ['a long keepaliveTime', { keepaliveTime: '60s' }, { keepaliveSeconds: 60, holdTimeSeconds: 180 }],
    ['ttlSecurity', { ttlSecurity: 1 }, { ttlSecurityHops: 1 }],
    ['ttlSecurity off', { ttlSecurity: 0 }, { ttlSecurityHops: undefined }],
  ];
  for (const [name, spec, expected] of rows) {
    it(`with ${name}`, () => {
      const found = session(spec);
      for (const [field, value] of Object.entries(expected))
        assert.deepEqual(found?.[field as keyof PeerConfig], value, field);
    });
  }

  it('dials from the address of the node', () => {
    const source = session({})?.sourceAddress;
    assert.equal(source === undefined ? '' : formatIp(source), '10.0.0.1');
  });

  it('has annotations for all else, each checked', () => {
    const annotations = {
      'muslin.io/bfd': '100ms*5 multihop',
      'muslin.io/hold-time': '30s',
      'muslin.io/add-path-send': '4',
      'muslin.io/role': 'customer',
      'muslin.io/families': 'ipv4,ipv6',
      'example.org/hold-time': 'not ours',
      'muslin.io/source': 'tor.yaml:3', // what apply writes down of where a resource is from
    };
    const found = session({}, annotations);
    assert.deepEqual(setup('a', { ...NO_MESH, peers: [peer('tor', TOR, annotations)] }).problems, []);
    assert.deepEqual(found?.bfd, { intervalMs: 100, multiplier: 5, multihop: true });
    assert.deepEqual(
      [found?.holdTimeSeconds, found?.addPath.sendMax, found?.role, found?.families],
      [30, 4, 'customer', [4, 6]],
    );
    const wrong = { 'muslin.io/hold-tme': '30s', 'muslin.io/passive': 'yes' };
    const { problems } = setup('a', { ...NO_MESH, peers: [peer('tor', TOR, wrong)] });
    assert.deepEqual(problems, [
      'BGPPeer tor: annotation muslin.io/hold-tme: is not a setting; did you mean hold-time?',
      'BGPPeer tor: annotation muslin.io/passive: "yes" is not true or false',
    ]);
  });

  it('is reached through reachableBy', () => {
    const { peerRoutes } = setup('a', { ...NO_MESH, peers: [peer('tor', { ...TOR, reachableBy: '10.0.0.254' })] });
    assert.deepEqual(
      peerRoutes.map(({ peer, gateway, origin }) => [formatIp(peer), formatIp(gateway), origin]),
      [['10.0.0.9', '10.0.0.254', 'BGPPeer tor']],
    );
  });

  it('with a filter that is not there says so, and lets nothing through', () => {
    const { problems, speaker } = setup('a', { ...NO_MESH, peers: [peer('tor', { ...TOR, filters: ['nope'] })] });
    assert.match(problems.join(), /^BGPPeer tor: no route passes: there is no BGPFilter nope/);
    assert.equal(speaker.peers[0]?.importPolicy?.otherwise, 'reject');
  });

  it('without its password has no session, and never shows one', () => {
    const secured = peer('tor', { ...TOR, password: { secretKeyRef: { name: 'n', key: 'k' } } });
    const { problems, speaker } = setup('a', { ...NO_MESH, peers: [secured] });
    assert.deepEqual(speaker.peers, []);
    assert.deepEqual(problems, ['BGPPeer tor: no session, since its password cannot be read: there is no n/k']);
  });

  it('with a link-local address needs its device', () => {
    const link = { peerIP: 'fe80::9', asNumber: 65009 };
    const without = setup('a', { ...NO_MESH, peers: [peer('tor', link)] });
    assert.match(without.problems.join(), /fe80::9 is link-local; say on which device/);
    const onDevice = setup('a', { ...NO_MESH, peers: [peer('tor', link, { 'muslin.io/interface': 'eth1' })] });
    assert.deepEqual(
      onDevice.speaker.peers.map((each) => [peerName(each), each.sourceAddress]),
      [['fe80::9%eth1', undefined]],
    );
  });

  it('has, as fe80:: with a device, whoever answers there, with all families', () => {
    const spec = { peerIP: 'fe80::', asNumber: 65009 };
    const { speaker, unnumbered } = setup('a', {
      ...NO_MESH,
      peers: [peer('tor', spec, { 'muslin.io/interface': 'eth1' })],
    });
    assert.deepEqual(speaker.peers, []);
    assert.deepEqual(
      unnumbered.map(({ device, asn: peerAsn, peer: { families } }) => [device, Number(peerAsn), families]),
      [['eth1', 65009, [4, 6]]],
    );
  });

  it('of all nodes that is one of them leaves that one out', () => {
    assert.deepEqual(
      setup('a', { ...NO_MESH, peers: [peer('x', { peerIP: '10.0.0.1', asNumber: 64512 })] }).speaker.peers,
      [],
    );
  });

  it('for local workloads has a session with each address of its family', () => {
    const endpoint = resource<WorkloadEndpoint>(
      'WorkloadEndpoint',
      'w',
      {
        node: 'a',
        orchestrator: 'x',
        workload: 'w',
        endpoint: 'eth0',
        interfaceName: 'cali1',
        ipNetworks: ['10.9.0.5/32'],
      },
      { labels: { bgp: 'yes' } },
    );
    const peers = [peer('w', { localWorkloadSelector: 'bgp == "yes"', asNumber: 65200 })];
    const { speaker } = setup('a', { ...NO_MESH, peers, endpoints: [endpoint] });
    assert.deepEqual(speaker.peers.map(line), [
      '10.9.0.5 as 65200 port 179 dials 4 BGPPeer w, WorkloadEndpoint default/w',
    ]);
  });
});

describe('of several wishes for one session', () => {
  const wishes = {
    node: peer('z-node', { node: 'a', peerIP: '10.0.0.9', asNumber: 65001 }),
    selector: peer('y-selector', { nodeSelector: 'all()', peerIP: '10.0.0.9', asNumber: 65002 }),
    global: peer('x-global', { peerIP: '10.0.0.9', asNumber: 65003 }),
    same: peer('w-same', { peerIP: '10.0.0.9', asNumber: 65003 }),
  };
  const rows: [string, BgpPeer[], number, RegExp][] = [
    [
      'the one for the node holds',
      [wishes.global, wishes.selector, wishes.node],
      65001,
      /y-selector.*z-node.*x-global.*z-node/,
    ],
    [
      'then the one for a selector',
      [wishes.global, wishes.selector],
      65002,
      /^BGPPeer x-global: .*as BGPPeer y-selector has it/,
    ],
    ['then the one for all', [wishes.global], 65003, /^$/],
    ['equal ones are one', [wishes.global, wishes.same], 65003, /^$/],
  ];
  for (const [name, peers, asn, problems] of rows) {
    it(name, () => {
      const found = setup('a', { ...NO_MESH, peers });
      assert.deepEqual(
        found.speaker.peers.map((each) => each.asn),
        [asn],
      );
      assert.match(found.problems.join(' '), problems);
    });
  }

  it('any BGPPeer holds before the mesh, without a word', () => {
    const found = setup('a', { peers: [peer('b', { peerIP: '10.0.0.2', asNumber: 65001, nextHopMode: 'Self' })] });
    assert.equal(found.speaker.peers.find((each) => peerName(each) === '10.0.0.2')?.nextHop, 'self');
    assert.deepEqual(found.problems, []);
  });
});
