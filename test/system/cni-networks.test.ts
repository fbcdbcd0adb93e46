/**
 * Several networks and interfaces of one container, both families, and what a call says of a container beyond its address.
 *
 * Two networks are two configurations with names and pools of their own and one agent behind them. What is removed, checked or
 * refused in the one is not felt in the other. Labels, annotations and requested addresses are looked for in the
 * WorkloadEndpoint, which is what policy is computed from.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { ChainAttachment, ChainFailure, ChainOutcome, JsonObject } from './cni-fixture.ts';
import { addNamespace, Chain, removeNamespace } from './cni-fixture.ts';
import { MUSLIN, run, TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab('two-hosts-dual-stack');
const CONTAINER = `muslin-test-networks-${process.pid}`;
const NETNS = `/run/netns/${CONTAINER}`;
const STORE = ['--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`];
const POD_ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

/** Pools that no network takes addresses from unless it names them. */
const POOLS = ['red 10.81.0.0/24', 'blue 10.82.0.0/24']
  .map((text) => text.split(' '))
  .map(([name, cidr]) => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name },
    spec: { cidr, blockSize: 26, assignmentMode: 'Manual' },
  }));

function network(name: string, configuration: JsonObject = {}): Chain {
  const agentSocket = `/run/muslin/lab/${lab.name}/host-a/cni.sock`;
  const capabilities = { ips: true, mac: true, [POD_ANNOTATIONS]: true };
  const plugin = { type: 'muslin', agentSocket, capabilities, ...configuration };
  return new Chain({ hostNamespace: lab.namespace('host-a'), cniVersion: '1.0.0', name, plugins: [plugin] });
}

const RED = network('red', { ipam: { ipv4_pools: ['red'] } });
const BLUE = network('blue', { ipam: { ipv4_pools: ['10.82.0.0/24'] } });

const attachment = (more: Partial<ChainAttachment> = {}): ChainAttachment => ({
  ...{ containerId: 'networks-1', netns: NETNS, args: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart' },
  ...more,
});

/** The addresses of a result. */
function addressesOf(outcome: ChainOutcome): string[] {
  assert.ok('result' in outcome, JSON.stringify(outcome));
  return (outcome.result.ips as { address: string }[]).map(({ address }) => address);
}

function messageOf(failure: ChainFailure | undefined): string {
  return `${failure?.ended.answer?.code}: ${failure?.ended.answer?.msg}`;
}

const inside = (...words: string[]): string => {
  const outcome = run('ip', ['-n', CONTAINER, ...words]);
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome.stdout;
};

interface Endpoint {
  readonly metadata: { readonly labels: JsonObject; readonly annotations: JsonObject };
  readonly spec: JsonObject;
}

/** The container's endpoints as `muslin get` shows them. */
function endpoints(): Endpoint[] {
  const outcome = run(MUSLIN, ['get', 'workloadendpoints', '-n', 'shop', '-o', 'json', ...STORE]);
  assert.equal(outcome.code, 0, outcome.stderr);
  return JSON.parse(outcome.stdout).items;
}

describe('networks of a container', () => {
  before(() => {
    lab.up();
    const applied = run(
      MUSLIN,
      ['apply', '-f', '-', ...STORE],
      POOLS.map((pool) => JSON.stringify(pool)).join('\n---\n'),
    );
    assert.equal(applied.code, 0, applied.stderr);
    addNamespace(CONTAINER);
  });
  after(() => {
    removeNamespace(CONTAINER);
    lab.down();
  });
  afterEach(async (context) => {
    lab.dumpAfterFailure(context);
    for (const interfaceName of ['eth0', 'eth1']) {
      for (const each of [RED, BLUE, network('plain')]) await each.remove(attachment({ interfaceName }));
    }
  });

  it('have each its pool, its interface, its CHECK and its DEL', async () => {
    const first = attachment();
    const second = attachment({ interfaceName: 'eth1' });
    assert.match(addressesOf(await RED.add(first)).join(), /^10\.81\.0\.\d+\/32$/);
    assert.match(addressesOf(await BLUE.add(second)).join(), /^10\.82\.0\.\d+\/32$/);
    assert.match(inside('route'), /^default via 169\.254\.1\.1 dev eth0 $.*^default .* dev eth1 metric \d+ $/ms);
    assert.deepEqual([await RED.check(first), await BLUE.check(second)], [undefined, undefined]);
    assert.deepEqual(
      endpoints().map(({ spec }) => spec.endpoint),
      ['eth0', 'eth1'],
    );
    assert.equal(await BLUE.remove(second), undefined);
    assert.equal(await RED.check(first), undefined);
    assert.doesNotMatch(inside('link'), /eth1/);
    assert.equal(await RED.remove(first), undefined);
    assert.deepEqual(endpoints(), []);
  });

  it('do not take away each other’s interface, when one of them has found the name in use', async () => {
    const both = attachment();
    addressesOf(await RED.add(both));
    const refused = await BLUE.add(both);
    assert.match(
      messageOf('failure' in refused ? refused.failure : undefined),
      /^999: networks-1: eth0 is attached already, by device cali/,
    );
    assert.equal(await BLUE.remove(both), undefined, 'as a runtime cleans up');
    assert.equal(await RED.check(both), undefined);
    assert.equal(endpoints().length, 1);
  });

  it('tell in CHECK whose the interface is', async () => {
    const both = attachment();
    const outcome = await RED.add(both);
    assert.ok('result' in outcome);
    const blue = network('blue', { prevResult: outcome.result });
    assert.match(messageOf(await blue.check(both)), /^999: networks-1: the container is not attached to this network$/);
  });

  it('may have both families', async () => {
    const both = attachment();
    const dual = network('plain', { ipam: { assign_ipv6: 'true' } });
    const outcome = await dual.add(both);
    const [four = '', six = ''] = addressesOf(outcome);
    assert.match(four, /^172\.17\.8\.\d+\/32$/);
    assert.match(six, /^fd00:17:8::[0-9a-f]*\/128$/);
    assert.deepEqual('result' in outcome && outcome.result.routes, [
      { dst: '0.0.0.0/0', gw: '169.254.1.1' },
      { dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' },
    ]);
    assert.equal(await dual.check(both), undefined);
    for (const address of ['172.17.9.2', 'fd00:17:9::2']) {
      await lab.eventually(`${address} answers`, () => {
        return run('nsenter', [`--net=${NETNS}`, 'ping', '-c', '1', '-W', '1', address]).code === 0;
      });
    }
    inside('-6', 'route', 'del', 'default');
    assert.match(
      messageOf(await dual.check(both)),
      /there is no default route via fe80::ecee:eeff:feee:eeee dev eth0$/,
    );
    assert.equal(await dual.remove(both), undefined);
  });

  it('give a container the labels of the network, of the arguments, and of the pod', async () => {
    const plain = network('plain', {
      labels: { zone: 'a', app: 'network' },
      args: { cni: { labels: [{ key: 'app', value: 'arguments' }] } },
    });
    const annotations = { 'cni.muslin.io/labels': '{"tier":"web"}' };
    addressesOf(await plain.add(attachment({ capabilityArguments: { [POD_ANNOTATIONS]: annotations } })));
    const [endpoint] = endpoints();
    assert.deepEqual(endpoint?.metadata.labels, {
      ...{ zone: 'a', app: 'arguments', tier: 'web' },
      ...{ 'projectcalico.org/namespace': 'shop', 'projectcalico.org/orchestrator': 'cni' },
    });
    assert.equal(endpoint?.spec.pod, 'cart');
  });

  it('do for a pod what its annotations ask for', async () => {
    const annotations = {
      'cni.projectcalico.org/ipAddrs': '["10.82.0.42"]',
      'cni.projectcalico.org/hwAddr': '02:00:00:00:00:42',
      'cni.projectcalico.org/floatingIPs': '["203.0.113.42"]',
      'cni.projectcalico.org/allowedSourcePrefixes': '["10.99.0.0/24"]',
      'muslin.io/floating-ip-announce': 'true',
      'example.org/anything': 'else',
    };
    const asked = attachment({ capabilityArguments: { [POD_ANNOTATIONS]: annotations } });
    assert.deepEqual(addressesOf(await network('plain').add(asked)), ['10.82.0.42/32']);
    assert.match(inside('link', 'show', 'eth0'), /02:00:00:00:00:42/);
    const [endpoint] = endpoints();
    assert.deepEqual(endpoint?.spec.ipNATs, [{ internalIP: '10.82.0.42', externalIP: '203.0.113.42' }]);
    assert.deepEqual(endpoint?.spec.allowSpoofedSourcePrefixes, ['10.99.0.0/24']);
    assert.deepEqual(endpoint?.metadata.annotations, {
      'cni.muslin.io/network': 'plain',
      'muslin.io/floating-ip-announce': 'true',
    });
  });

  it('take addresses from the pools that a pod names', async () => {
    const annotations = { 'cni.projectcalico.org/ipv4pools': '["blue"]' };
    const asked = attachment({ capabilityArguments: { [POD_ANNOTATIONS]: annotations } });
    assert.match(addressesOf(await RED.add(asked)).join(), /^10\.82\.0\.\d+\/32$/);
  });
});
