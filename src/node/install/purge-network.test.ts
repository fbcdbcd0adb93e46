import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { IpipPrograms } from '../../kernel/bpf/ipip-programs.ts';
import { createFakeKernel, createFakeWorld } from '../../kernel/fake-kernel.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { cidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import type { Route } from '../../net/kernel-objects.ts';
import { ROUTE_PROTOCOL, ROUTE_SCOPE, ROUTE_TABLE } from '../../net/kernel-objects.ts';
import { parseMac } from '../../net/mac.ts';
import { readSettingsRecord, recordSetting } from '../settings-record.ts';
import { devicesPart, routesPart, settingsPart } from './purge-network.ts';
import { tunnelsPart } from './purge-tunnels.ts';

const BLACKHOLE: Route = {
  destination: cidr('172.17.8.0/24'),
  type: 'blackhole',
  nextHops: [],
  protocol: ROUTE_PROTOCOL.bird,
  scope: ROUTE_SCOPE.universe,
  table: ROUTE_TABLE.main,
  metric: 0,
  source: undefined,
};

describe('purging the network', () => {
  let directory = '';
  let kernel: Kernel;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'muslin-test-purge-'));
    kernel = createFakeKernel();
  });
  afterEach(() => {
    kernel.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const record = () => join(directory, 'host-settings.json');

  it('takes devices of containers with their proxies, and no other', () => {
    const own = kernel.addVeth({ name: 'calia1', peer: { name: 'peer1' } });
    const other = kernel.addVeth({ name: 'veth0', peer: { name: 'peer0' } });
    for (const { index } of [own, other]) kernel.addNeighbourProxy(index, ip('169.254.1.1'));
    const part = devicesPart(kernel);
    const detail = 'its container loses its network';
    assert.deepEqual(part.list(), [
      { kind: 'device', name: 'calia1', detail },
      { kind: 'proxy', name: '169.254.1.1 dev calia1', detail: '' },
    ]);
    part.remove();
    assert.deepEqual(part.list(), []);
    assert.deepEqual(
      kernel.links().map(({ name }) => name),
      ['lo', 'peer0', 'veth0'].sort(),
    );
    assert.equal(kernel.neighbourProxies().length, 1);
  });

  it('takes routes with our mark, and says when the default route is one of them', () => {
    kernel.putRoute(BLACKHOLE);
    kernel.putRoute({ ...BLACKHOLE, destination: cidr('10.0.0.0/8'), protocol: ROUTE_PROTOCOL.static });
    kernel.putRoute({ ...BLACKHOLE, destination: cidr('172.17.9.0/24'), protocol: ROUTE_PROTOCOL.felix });
    const part = routesPart(kernel);
    assert.deepEqual(part.list(), [
      { kind: 'route', name: 'blackhole 172.17.8.0/24', detail: 'proto bird' },
      { kind: 'route', name: 'blackhole 172.17.9.0/24', detail: 'proto 80' },
    ]);
    assert.deepEqual(part.notes?.(), []);
    kernel.putRoute({ ...BLACKHOLE, destination: cidr('0.0.0.0/0') });
    assert.match(part.notes?.().join() ?? '', /the default route/);
    part.remove();
    assert.deepEqual(
      kernel.routes(ROUTE_TABLE.main).map(({ protocol }) => protocol),
      [ROUTE_PROTOCOL.static],
    );
  });

  it('takes tunnels by their names, and of the kernel’s IPIP what can be taken', async () => {
    const own = createFakeWorld({ ipip: true }).open();
    const mac = parseMac('66:00:00:00:00:01');
    assert.ok(mac !== undefined);
    const vxlan = { vni: 4096, port: 4789, local: ip('10.0.0.1'), parent: undefined, mac, mtu: 1450 };
    own.addVxlan({ ...vxlan, name: 'vxlan.calico' });
    own.addVxlan({ ...vxlan, name: 'others', vni: 7 });
    const { index } = own.addIpip({ name: 'tunl0', mtu: 1480 });
    own.setLinkUp(index, true);
    own.addAddress(index, ip('172.17.8.1'), 32);
    const part = tunnelsPart(own, () => assert.fail('no programs here'));
    assert.deepEqual(part.list(), [
      { kind: 'tunnel', name: 'tunl0', detail: 'to other hosts, by kernel ipip' },
      { kind: 'tunnel', name: 'vxlan.calico', detail: 'to other hosts, by kernel vxlan' },
    ]);
    part.remove();
    assert.deepEqual(part.list(), []);
    assert.deepEqual(
      own.links().map(({ name, up }) => `${name} ${up}`),
      ['lo false', 'others false', 'tunl0 false'],
    );
    assert.deepEqual(own.addresses(), []);
    own.setLinkUp(index, true);
    assert.equal((await part.list()).length, 1, 'one that is up without an address is as we leave none');
  });

  it('has programs take themselves away where they make IPIP', () => {
    const { index } = kernel.addVeth({ name: 'tunl0', peer: { name: 'tunl0-peer' } });
    const called: string[] = [];
    const programs = { remove: () => kernel.removeLink(index), close: () => called.push('close') } as unknown;
    const part = tunnelsPart(kernel, () => programs as IpipPrograms);
    assert.deepEqual(part.list(), [{ kind: 'tunnel', name: 'tunl0', detail: 'to other hosts, by eBPF programs' }]);
    part.remove();
    assert.deepEqual(part.list(), []);
    assert.deepEqual(called, ['close']);
  });

  it('puts settings back, and those that the kernel has changed along with them', () => {
    kernel.addVeth({ name: 'veth0', peer: { name: 'peer0' } });
    kernel.writeSysctl('ipv4/conf/veth0/forwarding', '1');
    recordSetting(record(), kernel, { name: 'ipv4/ip_forward', value: '1' });
    kernel.writeSysctl('ipv4/ip_forward', '1');
    const part = settingsPart(kernel, readSettingsRecord(record()));
    assert.deepEqual(part.list(), [{ kind: 'setting', name: 'ipv4/ip_forward', detail: '1, was 0 before' }]);
    part.remove();
    assert.deepEqual(part.list(), []);
    const values = ['ip_forward', 'conf/veth0/forwarding', 'conf/peer0/forwarding', 'conf/default/forwarding'].map(
      (name) => kernel.readSysctl(`ipv4/${name}`),
    );
    assert.deepEqual(values, ['0', '1', '0', '0']);
  });

  it('leaves a setting that somebody has changed since, and says so', () => {
    kernel.writeSysctl('ipv4/conf/all/rp_filter', '0');
    recordSetting(record(), kernel, { name: 'ipv4/conf/all/rp_filter', value: '1' });
    kernel.writeSysctl('ipv4/conf/all/rp_filter', '2');
    const part = settingsPart(kernel, readSettingsRecord(record()));
    assert.deepEqual(part.list(), []);
    assert.match(part.notes?.().join() ?? '', /all\/rp_filter is left at 2: somebody has changed it/);
    part.remove();
    assert.equal(kernel.readSysctl('ipv4/conf/all/rp_filter'), '2');
  });

  it('remembers what a setting was before the first of several changes', () => {
    recordSetting(record(), kernel, { name: 'ipv4/ip_forward', value: '1' });
    kernel.writeSysctl('ipv4/ip_forward', '1');
    recordSetting(record(), kernel, { name: 'ipv4/ip_forward', value: '1' });
    assert.deepEqual(
      readSettingsRecord(record()).map(({ before }) => before),
      ['0'],
    );
  });

  for (const text of [
    '',
    '{}',
    '[{"name": "ipv4/ip_forward"}]',
    '[{"name": "a", "before": "0", "written": "1"}]',
    '[7]',
  ]) {
    it(`takes the record ${JSON.stringify(text)} for none`, () => {
      writeFileSync(record(), text);
      assert.deepEqual(readSettingsRecord(record()), []);
    });
  }
});
