/**
 * Tunnels on a kernel in memory: what the dataplane asks for and the carrier does, as Felix's loop drives both.
 *
 * A rig is one host with an uplink. Each test says what is desired, lets the loop run until nothing is left, and looks at the
 * kernel; then it breaks something, or starts a second dataplane on the same kernel, for which nothing may be left to do.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Dataplane } from '../felix/dataplane/dataplane.ts';
import type { DesiredRoute } from '../felix/desired/desired.ts';
import type { DesiredTunnel, TunnelKind } from '../felix/desired/tunnels.ts';
import type { IpipPrograms } from '../kernel/bpf/ipip-programs.ts';
import { createFakeWorld } from '../kernel/fake-kernel.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { instant } from '../lib/clock.ts';
import { seededRandom } from '../lib/prng.ts';
import { cidr, formatCidr } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import { formatRoute, ROUTE_TABLE } from '../net/kernel-objects.ts';
import type { Mac } from '../net/mac.ts';
import { parseMac } from '../net/mac.ts';
import { Carrier } from './carry-out.ts';

const mac = (text: string): Mac => {
  const parsed = parseMac(text);
  assert.ok(parsed !== undefined);
  return parsed;
};

const provenance = { origin: 'test' };
const REMOTE_B = {
  node: 'host-b',
  host: ip('192.168.200.101'),
  address: ip('172.17.9.0'),
  mac: mac('66:00:00:00:00:0b'),
};
const REMOTE_C = {
  node: 'host-c',
  host: ip('192.168.200.102'),
  address: ip('172.17.10.0'),
  mac: mac('66:00:00:00:00:0c'),
};
const VXLAN: DesiredTunnel = {
  kind: 'vxlan',
  local: ip('192.168.100.100'),
  address: ip('172.17.8.0'),
  mtu: 0,
  vxlan: { vni: 4096, port: 4789, mac: mac('66:00:00:00:00:0a') },
  remotes: [REMOTE_B, REMOTE_C],
  hosts: [],
  provenance,
};
const VXLAN_6: DesiredTunnel = {
  ...VXLAN,
  kind: 'vxlan-v6',
  local: ip('fd00:100::100'),
  address: ip('fd00:17::8'),
  remotes: [{ ...REMOTE_B, host: ip('fd00:200::101'), address: ip('fd00:17::9') }],
};
const IPIP: DesiredTunnel = {
  ...VXLAN,
  kind: 'ipip',
  address: ip('172.17.8.1'),
  vxlan: undefined,
  remotes: [],
  hosts: [ip('192.168.200.101')],
};
const TO_B: DesiredRoute = {
  destination: cidr('172.17.9.0/24'),
  target: {
    kind: 'gateways',
    gateways: [{ address: ip('172.17.9.0'), deviceName: 'vxlan.calico' }],
    protocol: 'felix',
  },
  provenance,
};

type Wish = readonly [TunnelKind, DesiredTunnel | undefined];

class Rig {
  readonly kernel: Kernel;
  /** What the programs were told. */
  readonly told: string[] = [];
  dataplane: Dataplane;
  #carrier: Carrier;

  constructor(kernel = uplinkKernel(false)) {
    this.kernel = kernel;
    this.dataplane = new Dataplane(seededRandom(1));
    this.#carrier = this.#open();
  }

  /** A new process on the same kernel. */
  restart(): void {
    this.dataplane = new Dataplane(seededRandom(2));
    this.#carrier = this.#open();
    this.told.length = 0;
  }

  want(wishes: readonly Wish[], routes: readonly DesiredRoute[] = []): void {
    this.dataplane.update({
      endpoints: new Map(),
      routes: new Map(routes.map((route) => [formatCidr(route.destination), route])),
      tunnels: new Map(wishes),
      services: new Map(),
      policy: { sets: new Map(), policies: new Map(), profiles: new Map(), hostEndpoints: new Map() },
      announcements: undefined,
    });
  }

  read(): void {
    const { kernel, dataplane } = this;
    dataplane.observeInterfaces(kernel.links(), kernel.addresses());
    const values = dataplane.settingNames().map((name) => [name, kernel.readSysctl(name)] as const);
    dataplane.observe({
      links: kernel.links(),
      addresses: kernel.addresses(),
      routes: kernel.routes(ROUTE_TABLE.main),
      proxies: [],
      settings: new Map(values.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
    });
    if (dataplane.tunnelTables.exist) this.#readTables();
  }

  /** Runs rounds as Felix does; gives what was done. */
  converge(filterInForce = true): string[] {
    const done: string[] = [];
    for (let round = 0; round < 8; round++) {
      if (this.dataplane.tunnelTables.areNeeded) this.#readTables();
      const now = instant(0);
      const operations = [
        ...this.dataplane.operationsBeforeFilter(now),
        ...this.dataplane.operationsAfterFilter(now, filterInForce),
      ];
      if (operations.length === 0) return done;
      for (const operation of operations) {
        this.#carrier.carryOut(operation, () => this.dataplane.report(operation, undefined, now));
        if (operation.kind !== 'setting') {
          done.push(`${operation.kind} ${operation.operation.kind} ${operation.operation.key}`);
        }
      }
    }
    throw new Error(`does not converge: ${done.join('; ')}`);
  }

  /** All that tunnels have in the kernel, a line each. */
  shown(): string[] {
    const { kernel } = this;
    const links = kernel.links().filter(({ name }) => /^(tunl0|vxlan)/.test(name));
    const nameOf = (index: number) => kernel.links().find((link) => link.index === index)?.name;
    const own = new Set(links.map(({ index }) => index));
    return [
      ...links.map(({ name, kind, mtu, up, mac: own, vxlan }) => {
        const local = formatIp(vxlan?.local ?? ip('::'));
        const attributes = vxlan && ` id ${vxlan.vni} port ${vxlan.port} local ${local} ${own}`;
        return `${name} ${kind}${attributes ?? ''} mtu ${mtu} ${up ? 'up' : 'down'}`;
      }),
      ...kernel
        .addresses()
        .filter(({ index }) => own.has(index))
        .map(({ index, address, prefixLength }) => `${nameOf(index)} ${formatIp(address)}/${prefixLength}`),
      ...kernel
        .neighbours()
        .map((each) => `${formatIp(each.address)} at ${each.mac}${each.permanent ? ' permanent' : ''}`),
      ...kernel.forwardingEntries().map((entry) => `${entry.mac} behind ${formatIp(entry.destination)}`),
      ...kernel
        .routes(ROUTE_TABLE.main)
        .filter(({ protocol }) => protocol !== 2)
        .map((route) => formatRoute(route, nameOf)),
    ].sort();
  }

  #readTables(): void {
    this.dataplane.observeTunnelTables(this.kernel.neighbours(), this.kernel.forwardingEntries());
  }

  #open(): Carrier {
    const { kernel, told } = this;
    const programs: IpipPrograms = {
      install: ({ name, mtu }) => {
        const link = kernel.link(name) ?? kernel.addVeth({ name, mtu, peer: { name: `${name}-peer` } });
        kernel.setLinkUp(link.index, true);
        return { ...link, up: true };
      },
      setUplinks: (indexes) =>
        told.push(`uplinks ${indexes.map((index) => kernel.links().find((link) => link.index === index)?.name)}`),
      setHosts: (hosts) => told.push(`hosts ${hosts.map(formatIp)}`),
      remove: () => kernel.removeLink(linkOf(kernel, 'tunl0').index),
      close: () => undefined,
    };
    return new Carrier({
      kernel,
      openPrograms: () => programs,
      onLink: (link, removed) => this.dataplane.observeLink(link, removed),
    });
  }
}

function uplinkKernel(ipip: boolean, mtu = 1500): Kernel {
  const world = createFakeWorld({ ipip });
  world.addNamespace('/run/netns/peer');
  const kernel = world.open();
  const { index } = kernel.addVeth({ name: 'eth0', mtu, peer: { name: 'eth0', namespacePath: '/run/netns/peer' } });
  kernel.setLinkUp(index, true);
  kernel.addAddress(index, ip('192.168.100.100'), 24);
  kernel.addAddress(index, ip('fd00:100::100'), 64);
  return kernel;
}

function linkOf(kernel: Kernel, name: string) {
  const link = kernel.link(name);
  assert.ok(link !== undefined, `no ${name}`);
  return link;
}

/** A host that has converged. */
function converged(wishes: readonly Wish[], routes: readonly DesiredRoute[] = [], kernel?: Kernel): Rig {
  const rig = new Rig(kernel);
  rig.read();
  rig.dataplane.allowRemovals('store');
  rig.want(wishes, routes);
  rig.converge();
  return rig;
}

const VXLAN_SHOWN = [
  '172.17.10.0 at 66:00:00:00:00:0c permanent',
  '172.17.9.0 at 66:00:00:00:00:0b permanent',
  '172.17.9.0/24 via 172.17.9.0 dev vxlan.calico onlink proto 80',
  '66:00:00:00:00:0b behind 192.168.200.101',
  '66:00:00:00:00:0c behind 192.168.200.102',
  'vxlan.calico 172.17.8.0/32',
  'vxlan.calico vxlan id 4096 port 4789 local 192.168.100.100 66:00:00:00:00:0a mtu 1450 up',
];

describe('tunnels in the kernel', () => {
  it('VXLAN: device, address, both entries of each other end, then routes', () => {
    const rig = converged([['vxlan', VXLAN]], [TO_B]);
    assert.deepEqual(rig.shown(), VXLAN_SHOWN);
    assert.deepEqual([...rig.dataplane.tunnelsReady().keys()], ['vxlan']);
    assert.deepEqual(rig.dataplane.unsettled(), []);
    assert.equal(rig.kernel.readSysctl('ipv4/conf/vxlan.calico/rp_filter'), '2');
  });

  it('VXLAN over IPv6 stands beside it', () => {
    const rig = converged([
      ['vxlan', VXLAN],
      ['vxlan-v6', VXLAN_6],
    ]);
    const six = rig.shown().filter((line) => /v6|fd00/.test(line));
    assert.deepEqual(six, [
      '66:00:00:00:00:0b behind fd00:200::101',
      'fd00:17::9 at 66:00:00:00:00:0b permanent',
      'vxlan-v6.calico fd00:17::8/128',
      'vxlan-v6.calico vxlan id 4096 port 4789 local fd00:100::100 66:00:00:00:00:0a mtu 1430 up',
    ]);
  });

  it('IPIP by the kernel’s device', () => {
    const rig = converged([['ipip', IPIP]], [], uplinkKernel(true));
    assert.deepEqual(rig.shown(), ['tunl0 172.17.8.1/32', 'tunl0 ipip mtu 1480 up']);
    assert.deepEqual([...rig.dataplane.tunnelsReady().keys()], ['ipip']);
    assert.deepEqual(rig.told, []);
  });

  it('IPIP by programs, which are told hosts before devices', () => {
    const rig = converged([['ipip', IPIP]]);
    assert.deepEqual(rig.shown().slice(0, 1), ['tunl0 172.17.8.1/32']);
    assert.match(rig.shown().join(), /tunl0 veth mtu 1480 up/);
    assert.deepEqual(rig.told, ['hosts 192.168.200.101', 'uplinks eth0']);
    assert.deepEqual([...rig.dataplane.tunnelsReady().keys()], ['ipip']);
    rig.want([['ipip', { ...IPIP, hosts: [ip('192.168.200.102')] }]]);
    rig.converge();
    assert.deepEqual(rig.told.slice(2), ['hosts 192.168.200.102', 'uplinks eth0']);
  });

  it('nothing while the packet filter is not in force', () => {
    const rig = new Rig();
    rig.read();
    rig.want([['vxlan', VXLAN]], [TO_B]);
    rig.converge(false);
    assert.deepEqual(rig.shown(), []);
    assert.deepEqual([...rig.dataplane.tunnelsReady()], []);
  });

  it('a host without its own address waits, and says so', () => {
    const rig = new Rig();
    rig.read();
    rig.want([['vxlan', { ...VXLAN, local: ip('192.168.100.99') }]]);
    assert.deepEqual(rig.converge(), []);
    assert.match(
      rig.dataplane
        .unsettled()
        .map(({ object, error }) => `${object}: ${error}`)
        .join(),
      /vxlan.calico: no device/,
    );
    assert.deepEqual([...rig.dataplane.tunnelsReady()], []);
  });
});

describe('a second start', () => {
  const rows: [string, Wish[], boolean][] = [
    ['VXLAN', [['vxlan', VXLAN]], false],
    ['the kernel’s IPIP', [['ipip', IPIP]], true],
    ['IPIP by programs', [['ipip', IPIP]], false],
  ];
  for (const [name, wishes, ipip] of rows) {
    it(`changes nothing of ${name}, whether it is told of tunnels before or after the first reading`, () => {
      for (const isToldFirst of [true, false]) {
        const rig = converged(wishes, [], uplinkKernel(ipip));
        const before = rig.shown();
        rig.restart();
        if (isToldFirst) rig.want(wishes);
        rig.read();
        rig.dataplane.allowRemovals('store');
        if (!isToldFirst) assert.deepEqual(rig.converge(), [], 'what is not known to be unwanted stays');
        rig.want(wishes);
        const done = rig.converge().filter((line) => !line.startsWith('ipipPrograms')); // nobody can read what they were told
        assert.deepEqual(done, []);
        assert.deepEqual(rig.shown(), before);
        assert.deepEqual(rig.dataplane.unsettled(), []);
      }
    });
  }

  it('is the same after a second reading', () => {
    const rig = converged([['vxlan', VXLAN]], [TO_B]);
    rig.read();
    assert.deepEqual(rig.converge(), []);
  });
});

describe('what somebody has broken is put right', () => {
  const breaks: [string, (kernel: Kernel, index: ReturnType<typeof linkOf>['index']) => void][] = [
    ['the device is gone', (kernel, index) => kernel.removeLink(index)],
    ['the device is down', (kernel, index) => kernel.setLinkUp(index, false)],
    ['another MTU', (kernel, index) => kernel.setLinkMtu(index, 1400)],
    ['another MAC address', (kernel, index) => kernel.setLinkMac(index, mac('66:00:00:00:00:99'))],
    ['no address', (kernel, index) => kernel.removeAddress(index, ip('172.17.8.0'), 32)],
    ['a second address', (kernel, index) => kernel.addAddress(index, ip('172.17.8.9'), 32)],
    ['a neighbour is gone', (kernel, index) => kernel.removeNeighbour(index, ip('172.17.9.0'))],
    [
      'a neighbour is another one',
      (kernel, index) =>
        kernel.putNeighbour({ index, address: ip('172.17.9.0'), mac: mac('66:00:00:00:00:99'), permanent: true }),
    ],
    [
      'a neighbour may age',
      (kernel, index) => kernel.putNeighbour({ index, address: ip('172.17.9.0'), mac: REMOTE_B.mac, permanent: false }),
    ],
    [
      'a neighbour too many',
      (kernel, index) => kernel.putNeighbour({ index, address: ip('172.17.9.7'), mac: REMOTE_B.mac, permanent: true }),
    ],
    [
      'an entry is gone',
      (kernel, index) => kernel.removeForwardingEntry({ index, mac: REMOTE_B.mac, destination: REMOTE_B.host }),
    ],
    [
      'an entry leads elsewhere',
      (kernel, index) => kernel.putForwardingEntry({ index, mac: REMOTE_B.mac, destination: ip('192.168.200.9') }),
    ],
    [
      'an entry too many',
      (kernel, index) =>
        kernel.putForwardingEntry({ index, mac: mac('66:00:00:00:00:99'), destination: ip('192.168.200.9') }),
    ],
    [
      'another network',
      (kernel, index) => {
        kernel.removeLink(index);
        const parent = linkOf(kernel, 'eth0').index;
        const other = { name: 'vxlan.calico', vni: 7, port: 4789, local: ip('192.168.100.100'), parent };
        kernel.addVxlan({ ...other, mac: REMOTE_B.mac, mtu: 1450 });
      },
    ],
    [
      'a device of another kind',
      (kernel, index) => {
        kernel.removeLink(index);
        kernel.addBridge('vxlan.calico');
      },
    ],
  ];
  for (const [name, breakIt] of breaks) {
    it(name, () => {
      const rig = converged([['vxlan', VXLAN]], [TO_B]);
      breakIt(rig.kernel, linkOf(rig.kernel, 'vxlan.calico').index);
      assert.notDeepEqual(rig.shown(), VXLAN_SHOWN, 'it is broken');
      rig.read();
      rig.converge();
      rig.read(); // routes that went with a device are not told of
      rig.converge();
      assert.deepEqual(rig.shown(), VXLAN_SHOWN);
    });
  }
});

describe('tunnels change', () => {
  const changes: [string, DesiredTunnel, RegExp][] = [
    ['another port', { ...VXLAN, vxlan: { vni: 4096, port: 8472, mac: mac('66:00:00:00:00:0a') } }, /port 8472 .* up/],
    ['another network', { ...VXLAN, vxlan: { vni: 7, port: 4789, mac: mac('66:00:00:00:00:0a') } }, /id 7 .* up/],
    ['an MTU of its own', { ...VXLAN, mtu: 1400 }, /mtu 1400/],
    ['another address', { ...VXLAN, address: ip('172.17.8.77') }, /172\.17\.8\.77\/32/],
  ];
  for (const [name, tunnel, shows] of changes) {
    it(`to ${name}, with all other ends`, () => {
      const rig = converged([['vxlan', VXLAN]], [TO_B]);
      rig.want([['vxlan', tunnel]]);
      rig.converge();
      rig.read();
      rig.converge();
      const shown = rig.shown();
      assert.match(shown.join(), shows);
      assert.equal(shown.length, VXLAN_SHOWN.length, shown.join('\n'));
      assert.ok(shown.includes(VXLAN_SHOWN[3] ?? ''));
    });
  }

  it('a host that goes takes its entries with it', () => {
    const rig = converged([['vxlan', VXLAN]], [TO_B]);
    rig.want([['vxlan', { ...VXLAN, remotes: [REMOTE_B] }]]);
    rig.converge();
    assert.deepEqual(
      rig.shown(),
      VXLAN_SHOWN.filter((line) => !/0c/.test(line)),
    );
  });

  it('the MTU follows the uplink', () => {
    const rig = converged([['vxlan', VXLAN]]);
    const { index } = linkOf(rig.kernel, 'eth0');
    rig.kernel.setLinkMtu(index, 9000);
    rig.dataplane.observeLink(linkOf(rig.kernel, 'eth0'), false);
    rig.converge();
    assert.equal(linkOf(rig.kernel, 'vxlan.calico').mtu, 8950);
  });

  it('nothing is left of one that is wanted no more; routes leave it first', () => {
    for (const isNewProcess of [false, true]) {
      const rig = converged([['vxlan', VXLAN]], [TO_B]);
      if (isNewProcess) {
        rig.restart();
        rig.read();
        rig.dataplane.allowRemovals('store');
      }
      rig.dataplane.update({
        endpoints: new Map(),
        routes: new Map([['172.17.9.0/24', undefined]]),
        tunnels: new Map([['vxlan', undefined]]),
        services: new Map(),
        policy: { sets: new Map(), policies: new Map(), profiles: new Map(), hostEndpoints: new Map() },
        announcements: undefined,
      });
      const done = rig.converge();
      assert.deepEqual(rig.shown(), []);
      assert.deepEqual(done, ['route remove 172.17.9.0/24 table 254 metric 0', 'tunnel remove vxlan.calico']);
      assert.deepEqual(rig.dataplane.unsettled(), []);
    }
  });

  it('a route that must leave a tunnel goes, though there is no other way for it yet', () => {
    const rig = converged([['vxlan', VXLAN]], [TO_B]);
    const gateways = [{ address: ip('192.168.200.101'), deviceName: undefined }];
    rig.want([], [{ ...TO_B, target: { kind: 'gateways', gateways, protocol: 'felix' } }]);
    assert.deepEqual(rig.converge(), ['route remove 172.17.9.0/24 table 254 metric 0']);
  });

  it('IPIP by programs goes whole; the kernel’s device goes down and loses its address', () => {
    for (const [ipip, left] of [
      [false, []],
      [true, ['tunl0 ipip mtu 1480 down']],
    ] as const) {
      const rig = converged([['ipip', IPIP]], [], uplinkKernel(ipip));
      rig.want([['ipip', undefined]]);
      rig.converge();
      assert.deepEqual(rig.shown(), left);
      assert.deepEqual(rig.dataplane.unsettled(), []);
    }
  });

  it('a tunnel of the kernel’s that we have never wanted is left alone', () => {
    const rig = new Rig(uplinkKernel(true));
    const { index } = rig.kernel.addIpip({ name: 'tunl0', mtu: 1480 });
    rig.kernel.setLinkUp(index, true);
    rig.kernel.addAddress(index, ip('10.1.2.3'), 32);
    rig.read();
    rig.dataplane.allowRemovals('store');
    rig.want([['ipip', undefined]]);
    assert.deepEqual(rig.converge(), []);
    assert.deepEqual(rig.shown(), ['tunl0 10.1.2.3/32', 'tunl0 ipip mtu 1480 up']);
  });
});
