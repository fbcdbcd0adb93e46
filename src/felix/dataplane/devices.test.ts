/** Containers' devices as they come and go: what is left of one that is gone, and that is nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instant } from '../../lib/clock.ts';
import { cidr } from '../../net/cidr.ts';
import { ifIndex, type Link } from '../../net/kernel-objects.ts';
import type { DesiredEndpoint } from '../desired/desired.ts';
import { Devices } from './devices.ts';
import { Interfaces } from './interfaces.ts';
import { deviceSettings } from './settings.ts';

const ENDPOINT: DesiredEndpoint = {
  ...{
    id: 'default/a1',
    deviceName: 'calia1',
    addresses: [cidr('172.17.8.2/32')],
    floatingIps: [],
    allowedSources: [],
  },
  ...{ policy: { tiers: [], profiles: [] }, provenance: { origin: 'test' } },
};
const UP: Link = {
  index: ifIndex(7),
  name: 'calia1',
  mac: undefined,
  mtu: 1500,
  up: true,
  carrier: true,
  kind: 'veth',
};

/** The endpoint goes before its device, as when a container is detached; or after it, as when its namespace is removed. */
for (const order of ['endpoint', 'device'] as const) {
  test(`nothing differs for ever of a device whose ${order} went first`, () => {
    const interfaces = new Interfaces();
    const devices = new Devices(interfaces, { firstMs: 100, maxMs: 1000 }, () => 0);
    interfaces.putLink(UP);
    devices.claim(ENDPOINT, true);
    const keys = [...deviceSettings(ENDPOINT).keys()];
    for (const operation of devices.settings.operations(instant(0))) devices.settings.succeeded(operation);
    for (const operation of devices.proxies.operations(instant(0))) devices.proxies.succeeded(operation);
    assert.deepEqual(new Set(devices.statesOf(ENDPOINT, UP).map(([, { state }]) => state)), new Set(['done']));

    const detach = () => devices.claim(ENDPOINT, false);
    const unplug = () => {
      interfaces.removeLink(UP);
      devices.deviceChanged('calia1', UP);
    };
    for (const step of order === 'endpoint' ? [detach, unplug] : [unplug, detach]) step();
    const states = [
      ...keys.map((key) => devices.settings.status(key)),
      ...[devices.links.status('calia1'), devices.proxies.status('7 169.254.1.1')],
    ];
    assert.ok(
      states.every(({ state }) => state === 'done'),
      JSON.stringify(states),
    );
  });
}
