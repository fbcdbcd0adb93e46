import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FelixConfiguration, FelixConfigurationSpec } from '../../model/felix-configuration.ts';
import { effectiveFelix } from '../../model/felix-configuration.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { validateResource } from '../../model/validate.ts';
import { ip } from '../../net/ip.ts';
import type { Address, Link } from '../../net/kernel-objects.ts';
import { uplinkMtu, workloadMtu } from './workload-mtu.ts';

function resource<Kind>(kind: string, name: string, spec: object): Kind {
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  return validated.resource as Kind;
}

type Pool = Readonly<Record<string, unknown>>;

const PLAIN: Pool = { cidr: '10.1.0.0/16' };
const IPIP: Pool = { cidr: '10.2.0.0/16', ipipMode: 'Always' };
const VXLAN: Pool = { cidr: '10.3.0.0/16', vxlanMode: 'Always' };
const VXLAN_6: Pool = { cidr: 'fd00:3::/64', vxlanMode: 'Always' };

interface Row {
  readonly title: string;
  readonly uplink?: number;
  readonly pools?: readonly Pool[];
  readonly felix?: FelixConfigurationSpec;
  readonly mtu: number;
}

const ROWS: readonly Row[] = [
  { title: 'plain routes take all that the uplink can', uplink: 1500, pools: [PLAIN], mtu: 1500 },
  { title: 'and on a large one that is more', uplink: 9000, pools: [PLAIN], mtu: 9000 },
  { title: 'without pools it is the same', uplink: 1500, mtu: 1500 },
  { title: 'no uplink is taken for the smallest usual one', pools: [PLAIN], mtu: 1460 },
  { title: 'and has tunnels as well', pools: [IPIP], mtu: 1440 },
  { title: 'IPIP', uplink: 1500, pools: [IPIP], mtu: 1480 },
  { title: 'VXLAN', uplink: 1500, pools: [VXLAN], mtu: 1450 },
  { title: 'VXLAN over a large uplink', uplink: 9000, pools: [VXLAN], mtu: 8950 },
  { title: 'VXLAN over IPv6', uplink: 1500, pools: [VXLAN_6], mtu: 1430 },
  { title: 'CrossSubnet may encapsulate', uplink: 1500, pools: [{ ...IPIP, ipipMode: 'CrossSubnet' }], mtu: 1480 },
  { title: 'the narrowest of several counts', uplink: 1500, pools: [PLAIN, IPIP, VXLAN, VXLAN_6], mtu: 1430 },
  { title: 'a disabled pool still has containers', uplink: 1500, pools: [{ ...VXLAN, disabled: true }], mtu: 1450 },
  { title: 'a configured tunnel', uplink: 1500, pools: [IPIP], felix: { ipipMTU: 1400 }, mtu: 1400 },
  {
    title: 'a tunnel configured wider than computed',
    uplink: 1500,
    pools: [IPIP],
    felix: { ipipMTU: 1490 },
    mtu: 1490,
  },
  { title: 'but not wider than the uplink', uplink: 1500, pools: [VXLAN], felix: { vxlanMTU: 9000 }, mtu: 1500 },
  { title: 'a configured tunnel of no use', uplink: 1500, pools: [PLAIN], felix: { ipipMTU: 1400 }, mtu: 1500 },
  { title: 'of another family', uplink: 1500, pools: [VXLAN_6], felix: { vxlanMTU: 1400 }, mtu: 1430 },
  { title: 'of IPv6', uplink: 1500, pools: [VXLAN_6], felix: { vxlanMTUV6: 1400 }, mtu: 1400 },
  { title: 'IPIP switched off', uplink: 1500, pools: [IPIP], felix: { ipipEnabled: false }, mtu: 1500 },
  { title: 'IPIP switched on', uplink: 1500, pools: [PLAIN], felix: { ipipEnabled: true }, mtu: 1480 },
  { title: 'VXLAN switched off', uplink: 1500, pools: [VXLAN, VXLAN_6], felix: { vxlanEnabled: false }, mtu: 1500 },
  { title: 'VXLAN switched on', uplink: 1500, pools: [PLAIN], felix: { vxlanEnabled: true }, mtu: 1450 },
  { title: 'WireGuard', uplink: 1500, pools: [PLAIN], felix: { wireguardEnabled: true }, mtu: 1440 },
  { title: 'WireGuard over IPv6', uplink: 1500, pools: [PLAIN], felix: { wireguardEnabledV6: true }, mtu: 1420 },
];

for (const { title, uplink, pools = [], felix = {}, mtu } of ROWS) {
  test(`MTU: ${title}`, () => {
    const configuration = resource<FelixConfiguration>('FelixConfiguration', 'default', felix);
    const facts = {
      uplinkMtu: uplink,
      pools: pools.map((spec, index) => resource<IpPool>('IPPool', `pool-${index}`, spec)),
      felix: effectiveFelix([configuration]),
    };
    assert.equal(workloadMtu(facts), mtu);
  });
}

interface Device {
  readonly name: string;
  readonly mtu: number;
  readonly up?: boolean;
  readonly address?: string;
}

const LO: Device = { name: 'lo', mtu: 65536 };
const ETH0: Device = { name: 'eth0', mtu: 9000, address: '10.0.0.1' };
const ETH1: Device = { name: 'eth1', mtu: 1500 };
const CONTAINERS: Device = { name: 'cali1234', mtu: 1000 };
const TUNNEL: Device = { name: 'tunl0', mtu: 1400 };

const UPLINKS: readonly [
  title: string,
  own: string | undefined,
  devices: readonly Device[],
  mtu: number | undefined,
][] = [
  ['the device with the address of the node', '10.0.0.1', [LO, ETH0, ETH1], 9000],
  ['it counts while it is down, too', '10.0.0.1', [LO, { ...ETH0, up: false }, ETH1], 9000],
  ['with the address on lo the narrowest way', '10.0.0.9', [{ ...LO, address: '10.0.0.9' }, ETH0, ETH1], 1500],
  ['without an address the narrowest way', undefined, [LO, ETH0, ETH1, CONTAINERS, TUNNEL], 1500],
  ['of those that are up', undefined, [LO, ETH0, { ...ETH1, up: false }], 9000],
  ['nothing leads away', undefined, [LO, CONTAINERS], undefined],
];

for (const [title, own, devices, mtu] of UPLINKS) {
  test(`the uplink: ${title}`, () => {
    const links = devices.map(({ name, mtu: bytes, up = true }, place) => ({ index: place + 1, name, mtu: bytes, up }));
    const addresses = devices.flatMap(({ address }, place) =>
      address === undefined ? [] : [{ index: place + 1, address: ip(address) }],
    );
    // Of links and addresses nothing else is looked at.
    const found = uplinkMtu(
      own === undefined ? [] : [ip(own)],
      links as unknown as Link[],
      addresses as unknown as Address[],
    );
    assert.equal(found, mtu);
  });
}
