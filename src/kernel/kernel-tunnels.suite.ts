/**
 * The part of the Kernel's compliance suite about tunnels: their devices, and who is behind which address.
 *
 * Called by kernel.suite.ts, for the fake kernel and the real one. Whether a kernel has IPIP devices differs from machine to
 * machine, and so both answers are right; what may not be is a third.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatIp, ip } from '../net/ip.ts';
import type { ForwardingEntry } from '../net/kernel-objects.ts';
import { type Mac, parseMac } from '../net/mac.ts';
import { type Kernel, KernelError } from './kernel.ts';
import { connect, linkOf, NO_LINK, type SuiteWorld, throwsCode, worldOf } from './kernel-suite-world.ts';

const MAC = parseMac('66:00:00:00:00:01') as Mac;
const OTHER_MAC = parseMac('66:00:00:00:00:02') as Mac;

export function tunnelSuite(makeWorld: () => SuiteWorld): void {
  describe('tunnels', () => {
    const world = worldOf(makeWorld, (fresh) => connect(fresh, true));
    deviceTests(world);
    forwardingTests(world);
    removalTests(world);
  });
}

function vxlan(kernel: Kernel, name = 'vxlan.calico', vni = 4096) {
  const parent = linkOf(kernel, 'cali1').index;
  return { name, vni, port: 4789, local: ip('10.0.0.1'), parent, mac: MAC, mtu: 1450 };
}

function deviceTests(world: () => SuiteWorld): void {
  it('a VXLAN device has what it was made with, over IPv4 and over IPv6', () => {
    const { kernel } = world();
    const parent = linkOf(kernel, 'cali1').index;
    const made = kernel.addVxlan(vxlan(kernel));
    assert.deepEqual([made.name, made.kind, made.mac, made.mtu, made.up], ['vxlan.calico', 'vxlan', MAC, 1450, false]);
    const expected = { vni: 4096, port: 4789, local: ip('10.0.0.1'), parent, learning: false };
    assert.deepEqual(made.vxlan, expected);
    assert.deepEqual(kernel.link('vxlan.calico'), made);
    const six = kernel.addVxlan({ ...vxlan(kernel, 'vxlan-v6.calico'), local: ip('fd00::1'), parent: undefined });
    assert.equal(formatIp(six.vxlan?.local ?? ip('::')), 'fd00::1');
    assert.equal(six.vxlan?.parent, undefined);
    kernel.removeLink(six.index);
  });

  it('refuses what cannot be, with the reason', () => {
    const { kernel } = world();
    const rows: [string, () => unknown, string, RegExp][] = [
      ['a name that is taken', () => kernel.addVxlan(vxlan(kernel, 'cali1', 5)), 'EEXIST', /cali1/],
      ['a network that is taken', () => kernel.addVxlan(vxlan(kernel, 'other')), 'EEXIST', /other/],
      [
        'a parent that is not there',
        () => kernel.addVxlan({ ...vxlan(kernel, 'other', 5), parent: NO_LINK }),
        'ENODEV',
        /other|9999/,
      ],
      ['a name too long', () => kernel.addVxlan(vxlan(kernel, 'sixteencharacter', 5)), 'EINVAL', /sixteen/],
      ['a MAC address for no link', () => kernel.setLinkMac(NO_LINK, MAC), 'ENODEV', /9999/],
      ['ARP of no link', () => kernel.setLinkArp(NO_LINK, false), 'ENODEV', /9999/],
    ];
    for (const [what, work, code, text] of rows) throwsCode(work, code, text, what);
  });

  it('another MAC address is taken, and ARP switched off', () => {
    const { kernel } = world();
    const { index } = linkOf(kernel, 'vxlan.calico');
    kernel.setLinkMac(index, OTHER_MAC);
    assert.equal(linkOf(kernel, 'vxlan.calico').mac, OTHER_MAC);
    kernel.setLinkArp(index, false);
    kernel.setLinkArp(index, true);
  });

  it('an IPIP device is made and found again, or the kernel has none', () => {
    const { kernel } = world();
    try {
      const made = kernel.addIpip({ name: 'tunl0', mtu: 1480 });
      assert.deepEqual([made.name, made.kind, made.mtu], ['tunl0', 'ipip', 1480]);
      assert.equal(kernel.addIpip({ name: 'tunl0', mtu: 1400 }).mtu, 1400);
    } catch (error) {
      assert.ok(error instanceof KernelError);
      assert.equal(error.code, 'EOPNOTSUPP', error.message);
      assert.equal(kernel.link('tunl0'), undefined);
    }
  });
}

function forwardingTests(world: () => SuiteWorld): void {
  it('who is behind which MAC address is put, moved, read back and removed', () => {
    const { kernel } = world();
    const { index } = linkOf(kernel, 'vxlan.calico');
    const entry = (destination: string): ForwardingEntry => ({ index, mac: MAC, destination: ip(destination) });
    const shown = () => kernel.forwardingEntries().map(({ mac, destination }) => `${mac} ${formatIp(destination)}`);
    assert.deepEqual(shown(), []);
    kernel.putForwardingEntry(entry('10.0.0.7'));
    kernel.putForwardingEntry(entry('10.0.0.8'));
    assert.deepEqual(shown(), [`${MAC} 10.0.0.8`]);
    kernel.removeForwardingEntry(entry('10.0.0.8'));
    assert.deepEqual(shown(), []);
    throwsCode(() => kernel.removeForwardingEntry(entry('10.0.0.8')), 'ENOENT', /66:00/);
    throwsCode(() => kernel.putForwardingEntry({ ...entry('10.0.0.8'), index: NO_LINK }), 'ENODEV', /9999/);
    kernel.putForwardingEntry(entry('10.0.0.9'));
  });

  it('neighbours are removed', () => {
    const { kernel } = world();
    const { index } = linkOf(kernel, 'vxlan.calico');
    kernel.setLinkUp(index, true);
    const permanent = () => kernel.neighbours().filter((each) => each.permanent && each.index === index);
    for (const address of [ip('172.17.9.0'), ip('fd00:17::9')]) {
      kernel.putNeighbour({ index, address, mac: MAC, permanent: true });
      assert.equal(permanent().length, 1);
      kernel.removeNeighbour(index, address);
      assert.deepEqual(permanent(), []);
      throwsCode(() => kernel.removeNeighbour(index, address), 'ENOENT', /neighbour/);
    }
  });
}

function removalTests(world: () => SuiteWorld): void {
  it('addresses are removed, each with its connected route', () => {
    const { kernel } = world();
    const { index } = linkOf(kernel, 'cali2');
    const connected = () => kernel.routes(254).filter(({ nextHops }) => nextHops[0]?.index === index).length;
    const before = connected();
    for (const [address, length] of [['10.7.0.1', 24] as const, ['10.8.0.1', 32] as const, ['fd07::1', 64] as const]) {
      const connectedBefore = connected();
      kernel.addAddress(index, ip(address), length);
      const isThere = () => kernel.addresses().some((each) => formatIp(each.address) === address);
      assert.equal(isThere(), true);
      const code = 'EADDRNOTAVAIL';
      throwsCode(() => kernel.removeAddress(index, ip(address), length - 1), code, /not found|not avail/i, address);
      kernel.removeAddress(index, ip(address), length);
      assert.equal(isThere(), false);
      assert.equal(connected(), connectedBefore);
    }
    assert.equal(connected(), before);
  });

  it('what hung on a tunnel device goes with it', () => {
    const { kernel } = world();
    const { index } = linkOf(kernel, 'vxlan.calico');
    assert.equal(kernel.forwardingEntries().length, 1);
    kernel.removeLink(index);
    assert.deepEqual(kernel.forwardingEntries(), []);
  });
}
