/**
 * The compliance suite of the Kernel interface: what holds for the real kernel must hold for the fake one.
 *
 * Run on the fake by fake-kernel.test.ts, and as root on the real one by test/system/kernel.test.ts. What the real kernel
 * adds by itself and the fake leaves out (link-local IPv6, the local table) is not looked at. Routes and tunnels have
 * files of their own, kernel-routes.suite.ts and kernel-tunnels.suite.ts.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cidr, containsIp } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import { ifIndex, type Link, ROUTE_PROTOCOL, ROUTE_TABLE, sameRoute } from '../net/kernel-objects.ts';
import { type Mac, parseMac, WORKLOAD_HOST_MAC } from '../net/mac.ts';
import type { Kernel } from './kernel.ts';
import { routeSuite } from './kernel-routes.suite.ts';
import {
  connect,
  LOOPBACK,
  linkChange,
  linkOf,
  NO_LINK,
  recordEvents,
  route,
  type SuiteWorld,
  shown,
  throwsCode,
  via,
  worldOf,
} from './kernel-suite-world.ts';
import { tunnelSuite } from './kernel-tunnels.suite.ts';

const WAIT_MS = 10_000;

/** Declares the suite's tests; `makeWorld` gives a fresh world to each. */
export function kernelSuite(name: string, makeWorld: () => SuiteWorld): void {
  describe(name, () => {
    linkTests(makeWorld);
    addressTests(makeWorld);
    routeSuite(makeWorld);
    neighbourTests(makeWorld);
    sysctlTests(makeWorld);
    tunnelSuite(makeWorld);
    eventTests(makeWorld);
  });
}

function linkTests(makeWorld: () => SuiteWorld): void {
  describe('links', () => {
    const world = worldOf(makeWorld);

    it('an empty namespace has only lo, which is down', () => {
      const [lo, ...others] = world().kernel.links();
      assert.deepEqual(others, []);
      assert.equal(lo?.name, 'lo');
      assert.equal(lo?.index, LOOPBACK);
      assert.deepEqual([lo?.up, lo?.carrier, lo?.mtu, lo?.kind], [false, false, 65536, undefined]);
    });

    it('a veth is made with both ends named, addressed and sized, the far end in the other namespace', () => {
      const { kernel, peer, peerPath } = world();
      const mac = parseMac('02:11:22:33:44:55') as Mac;
      const near = kernel.addVeth({
        name: 'cali1',
        mac: WORKLOAD_HOST_MAC,
        mtu: 1400,
        peer: { name: 'eth0', mac, namespacePath: peerPath },
      });
      const far = peer.link('eth0');
      assert.deepEqual({ ...near, index: 0 }, { ...veth('cali1'), mac: WORKLOAD_HOST_MAC });
      assert.deepEqual({ ...far, index: 0 }, { ...veth('eth0'), mac });
      assert.deepEqual(kernel.link('cali1'), near);
      assert.equal(kernel.link('eth0'), undefined);
      assert.deepEqual(
        kernel
          .links()
          .map((link) => link.name)
          .sort(),
        ['cali1', 'lo'],
      );
    });

    it('a veth has a carrier when both ends are up', () => {
      const { kernel, peer } = world();
      const near = linkOf(kernel, 'cali1').index;
      const far = linkOf(peer, 'eth0').index;
      const state = (): unknown => {
        const { up, carrier } = linkOf(kernel, 'cali1');
        return { up, carrier };
      };
      kernel.setLinkUp(near, true);
      assert.deepEqual(state(), { up: true, carrier: false });
      peer.setLinkUp(far, true);
      assert.deepEqual(state(), { up: true, carrier: true });
      peer.setLinkUp(far, false);
      assert.deepEqual(state(), { up: true, carrier: false });
      kernel.setLinkUp(near, false);
      assert.deepEqual(state(), { up: false, carrier: false });
    });

    it('the MTU can be changed within what the device allows', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      kernel.setLinkMtu(index, 1300);
      assert.equal(linkOf(kernel, 'cali1').mtu, 1300);
      for (const mtu of [67, 65536]) throwsCode(() => kernel.setLinkMtu(index, mtu), 'EINVAL', /mtu/i);
      assert.equal(linkOf(kernel, 'cali1').mtu, 1300);
    });

    it('a bridge takes ports, and has a carrier by them', { timeout: WAIT_MS }, async () => {
      const { kernel } = world();
      const bridge = kernel.addBridge('br0');
      assert.deepEqual([bridge.name, bridge.kind, bridge.up], ['br0', 'bridge', false]);
      const { index } = kernel.addVeth({ name: 'port', peer: { name: 'far' } });
      kernel.setLinkMaster(index, bridge.index);
      for (const link of ['br0', 'port', 'far']) kernel.setLinkUp(linkOf(kernel, link).index, true);
      // The kernel tells a bridge of its ports' carrier later, from a queue.
      await linkChange(kernel, () => linkOf(kernel, 'br0').carrier);
      kernel.setLinkUp(index, false);
      await linkChange(kernel, () => !linkOf(kernel, 'br0').carrier);
    });

    it('refuses what cannot be, with the reason', () => {
      const { kernel, peerPath } = world();
      const { index } = linkOf(kernel, 'cali1');
      const add = (name: string, peer: string, namespacePath?: string) => () =>
        kernel.addVeth({ name, peer: namespacePath === undefined ? { name: peer } : { name: peer, namespacePath } });
      const group = parseMac('01:00:00:00:00:01') as Mac;
      const rows: [string, () => unknown, string, RegExp][] = [
        ['a name that is taken', add('cali1', 'new'), 'EEXIST', /cali1/],
        ['a far name that is taken there', add('new', 'eth0', peerPath), 'EEXIST', /eth0/],
        ['both ends of one name', add('new', 'new'), 'EEXIST', /new/],
        ['a name of 16 characters', add('sixteencharacter', 'new'), 'EINVAL', /"sixteencharacter".*15/],
        ['a far name with a slash', add('new', 'a/b'), 'EINVAL', /"a\/b"/],
        ['a name that the kernel would fill in', add('new%d', 'far'), 'EINVAL', /"new%d"/],
        ['an empty name', add('', 'far'), 'EINVAL', /""/],
        ['a namespace that is not there', add('new', 'far', '/no/such'), 'ENOENT', /\/no\/such/],
        [
          'a group address',
          () => kernel.addVeth({ name: 'new', mac: group, peer: { name: 'far' } }),
          'EADDRNOTAVAIL',
          /new/,
        ],
        ['an MTU too large', () => kernel.addVeth({ name: 'new', mtu: 65536, peer: { name: 'far' } }), 'EINVAL', /new/],
        ['a bridge with a name that is taken', () => kernel.addBridge('cali1'), 'EEXIST', /cali1/],
        ['no such link to set up', () => kernel.setLinkUp(NO_LINK, true), 'ENODEV', /9999/],
        ['no such link to resize', () => kernel.setLinkMtu(NO_LINK, 1400), 'ENODEV', /9999/],
        ['no such link to remove', () => kernel.removeLink(NO_LINK), 'ENODEV', /9999/],
        ['lo is not removed', () => kernel.removeLink(LOOPBACK), 'EOPNOTSUPP', /1/],
        ['no such bridge', () => kernel.setLinkMaster(index, NO_LINK), 'EINVAL', /9999/],
        [
          'a port of what is no bridge',
          () => kernel.setLinkMaster(index, linkOf(kernel, 'far').index),
          'EOPNOTSUPP',
          /./,
        ],
        ['a name too long to look for', () => kernel.link('sixteencharacter'), 'EINVAL', /sixteen/],
      ];
      const before = kernel.links().length;
      for (const [what, work, code, text] of rows) throwsCode(work, code, text, what);
      assert.equal(kernel.links().length, before);
    });

    it('removing one end of a veth removes the other', () => {
      const { kernel, peer } = world();
      kernel.removeLink(linkOf(kernel, 'cali1').index);
      assert.equal(kernel.link('cali1'), undefined);
      assert.equal(peer.link('eth0'), undefined);
    });
  });
}

function addressTests(makeWorld: () => SuiteWorld): void {
  describe('addresses', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, false));
    const texts = (kernel: Kernel): string[] =>
      kernel
        .addresses()
        .filter(({ address }) => !containsIp(cidr('fe80::/10'), address))
        .map(({ index, address, prefixLength }) => `${formatIp(address)}/${prefixLength} on ${index}`)
        .sort();
    const connected = (kernel: Kernel): string[] =>
      shown(kernel).filter((line) => line.endsWith(`proto ${ROUTE_PROTOCOL.kernel}`));

    it('lo gets its addresses when it is set up', () => {
      const { kernel } = world();
      assert.deepEqual(texts(kernel), []);
      kernel.setLinkUp(LOOPBACK, true);
      assert.deepEqual(texts(kernel), ['127.0.0.1/8 on 1', '::1/128 on 1']);
      assert.deepEqual(connected(kernel), []);
    });

    it('an address brings its connected route while its device is up', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      for (const [address, length] of [
        ['10.0.0.1', 24] as const,
        ['10.9.0.1', 32] as const,
        ['fd00::1', 64] as const,
      ]) {
        kernel.addAddress(index, ip(address), length);
      }
      assert.deepEqual(connected(kernel), []);
      kernel.setLinkUp(index, true);
      assert.deepEqual(connected(kernel), ['10.0.0.0/24 dev cali1 proto 2', 'fd00::/64 dev cali1 proto 2']);
      kernel.addAddress(index, ip('fd09::1'), 128);
      assert.equal(connected(kernel).includes('fd09::1/128 dev cali1 proto 2'), true);
      const [route] = kernel.routes(ROUTE_TABLE.main);
      assert.deepEqual([route?.scope, route?.metric, formatIp(route?.source ?? ip('::'))], [253, 0, '10.0.0.1']);
    });

    it('refuses an address twice, a prefix too long, a device that is not there', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      const add =
        (address: string, length: number, on = index) =>
        () =>
          kernel.addAddress(on, ip(address), length);
      const rows: [() => unknown, string, RegExp][] = [
        [add('10.0.0.1', 24), 'EEXIST', /10\.0\.0\.1\/24.*already assigned/i],
        [add('fd00::1', 64), 'EEXIST', /fd00::1\/64.*already assigned/i],
        [add('fd00::1', 48), 'EEXIST', /fd00::1\/48.*already assigned/i],
        [add('10.0.0.7', 33), 'EINVAL', /Invalid prefix length/],
        [add('fd00::7', 129), 'EINVAL', /Invalid prefix length/],
        [add('10.0.0.7', 24, NO_LINK), 'ENODEV', /9999/],
      ];
      for (const [work, code, text] of rows) throwsCode(work, code, text);
      kernel.addAddress(index, ip('10.0.0.1'), 16);
    });

    it('a device that goes down keeps its IPv4 addresses and loses its IPv6 ones', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      kernel.setLinkUp(index, false);
      assert.deepEqual(
        texts(kernel).filter((text) => text.endsWith(`on ${index}`)),
        ['10.0.0.1/16', '10.0.0.1/24', '10.9.0.1/32'].map((text) => `${text} on ${index}`),
      );
      assert.deepEqual(connected(kernel), []);
      kernel.setLinkUp(index, true);
      assert.deepEqual(connected(kernel), ['10.0.0.0/16 dev cali1 proto 2', '10.0.0.0/24 dev cali1 proto 2']);
      kernel.removeLink(index);
      assert.deepEqual(texts(kernel), ['127.0.0.1/8 on 1', '::1/128 on 1']);
    });
  });
}

function neighbourTests(makeWorld: () => SuiteWorld): void {
  describe('neighbours', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, true));
    const mac = parseMac('02:00:00:00:00:09') as Mac;

    it('are put, put again with another address, and read back', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      for (const address of [ip('169.254.1.1'), ip('fe80::1')]) {
        kernel.putNeighbour({ index, address, mac, permanent: true });
        kernel.putNeighbour({ index, address, mac: WORKLOAD_HOST_MAC, permanent: true });
        assert.deepEqual(
          kernel.neighbours().filter((known) => known.permanent && formatIp(known.address) === formatIp(address)),
          [{ index, address, mac: WORKLOAD_HOST_MAC, permanent: true }],
        );
      }
    });

    it('proxies are kept apart from neighbours, and adding one twice is no error', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      for (const address of [ip('169.254.1.2'), ip('fd00::99')]) {
        kernel.addNeighbourProxy(index, address);
        kernel.addNeighbourProxy(index, address);
      }
      assert.deepEqual(
        kernel.neighbourProxies().map((proxy) => [proxy.index, formatIp(proxy.address)]),
        [
          [index, '169.254.1.2'],
          [index, 'fd00::99'],
        ],
      );
      assert.ok(kernel.neighbours().every((known) => formatIp(known.address) !== '169.254.1.2'));
    });

    it('are refused on a device that is not there, or without an address to lead to', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      const address = ip('10.0.0.9');
      const rows: [() => unknown, string, RegExp][] = [
        [() => kernel.putNeighbour({ index: NO_LINK, address, mac, permanent: true }), 'ENODEV', /./],
        [
          () => kernel.putNeighbour({ index, address, mac: undefined, permanent: true }),
          'EINVAL',
          /No link layer address/,
        ],
        [() => kernel.addNeighbourProxy(NO_LINK, address), 'ENODEV', /./],
      ];
      for (const [work, code, text] of rows) throwsCode(work, code, text);
    });

    it('go when their device goes down', () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      kernel.setLinkUp(index, false);
      for (const entry of [...kernel.neighbourProxies(), ...kernel.neighbours()]) assert.notEqual(entry.index, index);
    });
  });
}

function sysctlTests(makeWorld: () => SuiteWorld): void {
  describe('sysctls', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, false));

    it('are of this namespace, and of each device', () => {
      const { kernel, peer } = world();
      const name = 'ipv4/conf/cali1/proxy_arp';
      for (const value of ['1', '0']) {
        kernel.writeSysctl(name, value);
        assert.equal(kernel.readSysctl(name), value);
      }
      assert.equal(peer.readSysctl(name), undefined);
      assert.notEqual(peer.readSysctl('ipv4/conf/eth0/proxy_arp'), undefined);
    });

    it('forwarding for all is forwarding for each', () => {
      const { kernel, peer } = world();
      for (const [all, one] of [
        ['ipv4/ip_forward', 'ipv4/conf/cali1/forwarding'] as const,
        ['ipv6/conf/all/forwarding', 'ipv6/conf/cali1/forwarding'] as const,
      ]) {
        for (const value of ['1', '0', '1']) {
          kernel.writeSysctl(all, value);
          assert.equal(kernel.readSysctl(one), value);
        }
      }
      peer.writeSysctl('ipv4/ip_forward', '0');
      assert.equal(kernel.readSysctl('ipv4/ip_forward'), '1');
    });

    it('are refused when there is no such file or value', () => {
      const { kernel } = world();
      assert.equal(kernel.readSysctl('ipv4/no_such_thing'), undefined);
      throwsCode(() => kernel.writeSysctl('ipv4/no_such_thing', '1'), 'ENOENT', /no_such_thing/);
      throwsCode(() => kernel.writeSysctl('ipv4/conf/cali1/proxy_arp', 'x'), 'EINVAL', /"x".*proxy_arp/);
      throwsCode(() => kernel.readSysctl('../kernel/hostname'), 'EINVAL', /\.\.\/kernel\/hostname/);
      throwsCode(() => kernel.writeSysctl('/ipv4/ip_forward', '1'), 'EINVAL', /ipv4\/ip_forward/);
    });
  });
}

function eventTests(makeWorld: () => SuiteWorld): void {
  describe('events', { timeout: WAIT_MS }, () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, true));

    it('tell of links, addresses and routes, after the call that caused them', async () => {
      const { kernel } = world();
      const { index } = linkOf(kernel, 'cali1');
      const events = recordEvents(kernel);
      const wanted = route('10.80.0.0/16', { nextHops: [via('10.0.0.2', index)] });

      const bridge = kernel.addBridge('br1');
      assert.deepEqual(events.seen, []);
      await events.until(({ kind }) => kind === 'link');
      kernel.addAddress(bridge.index, ip('10.81.0.1'), 24);
      await events.until(({ kind }) => kind === 'address');
      kernel.putRoute(wanted);
      await events.until((event) => event.kind === 'route' && !event.removed && sameRoute(event.route, wanted));
      kernel.removeRoute(wanted);
      await events.until((event) => event.kind === 'route' && event.removed && sameRoute(event.route, wanted));
      events.stop();
    });

    it('tell of what happens to the far end', async () => {
      const { kernel, peer } = world();
      const events = recordEvents(kernel);
      peer.setLinkUp(linkOf(peer, 'eth0').index, false);
      await events.until(({ kind }) => kind === 'link');
      assert.equal(linkOf(kernel, 'cali1').carrier, false);
      events.stop();
    });

    it('end when the watch is stopped; then another may watch, but not two at once', async () => {
      const { kernel } = world();
      const first = recordEvents(kernel);
      assert.throws(() => kernel.watch(() => undefined), /one watcher/);
      first.stop();
      const second = recordEvents(kernel);
      kernel.addBridge('br2');
      await second.until(({ kind }) => kind === 'link');
      assert.deepEqual(first.seen, []);
      second.stop();
    });
  });
}

function veth(name: string): Omit<Link, 'mac'> {
  return { index: ifIndex(0), name, mtu: 1400, up: false, carrier: false, kind: 'veth' };
}
