/** The kinds: which specs are taken, what they become, and what is said about the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpConfiguration } from './bgp-configuration.ts';
import { effectiveBgp } from './bgp-configuration.ts';
import { KINDS, kindByWord, unknownKindMessage } from './kinds.ts';
import { formatPath } from './problem.ts';
import { API_VERSION } from './resource.ts';
import { validateResource } from './validate.ts';

interface Row {
  readonly title: string;
  readonly kind: string;
  readonly metadata?: object;
  readonly spec?: unknown;
  /** What the spec must have become, as far as it is named here. */
  readonly becomes?: object;
  /** Every problem, as "path: message". */
  readonly problems?: readonly RegExp[];
}

const POOL = { cidr: '10.0.0.0/16' };
const ENDPOINT = { node: 'a', interfaceName: 'cali1' };

const ROWS: readonly Row[] = [
  {
    title: 'a pool gets its defaults',
    kind: 'IPPool',
    spec: POOL,
    becomes: {
      cidr: '10.0.0.0/16',
      vxlanMode: 'Never',
      ipipMode: 'Never',
      natOutgoing: false,
      disabled: false,
      disableBGPExport: false,
      blockSize: 26,
      nodeSelector: 'all()',
      allowedUses: ['Workload', 'Tunnel'],
      assignmentMode: 'Automatic',
    },
  },
  {
    title: 'an IPv6 pool is canonical and has its own block size',
    kind: 'IPPool',
    spec: { cidr: 'FD00:0::/48' },
    becomes: { cidr: 'fd00::/48', blockSize: 122 },
  },
  {
    title: 'host bits',
    kind: 'IPPool',
    spec: { cidr: '10.0.0.1/8' },
    problems: [/^spec.cidr: "10.0.0.1\/8" has host bits set; write 10.0.0.0\/8$/],
  },
  {
    title: 'no prefix',
    kind: 'IPPool',
    spec: { cidr: '10.0.0.1' },
    problems: [/^spec.cidr: "10.0.0.1" is not a prefix; write 10.0.0.1\/32/],
  },
  {
    title: 'too long a prefix',
    kind: 'IPPool',
    spec: { cidr: '10.0.0.0/33' },
    problems: [/its length must be 0 to 32/],
  },
  { title: 'no cidr', kind: 'IPPool', spec: {}, problems: [/^spec.cidr: is required$/] },
  { title: 'no spec', kind: 'IPPool', problems: [/^spec: is required$/] },
  { title: 'link-local', kind: 'IPPool', spec: { cidr: '169.254.1.0/24' }, problems: [/link-local/] },
  { title: 'all of IPv6 holds link-local', kind: 'IPPool', spec: { cidr: '::/0' }, problems: [/link-local/] },
  ...[
    ['10.0.0.0/8', 20, 32],
    ['fd00::/64', 116, 128],
  ].flatMap(([cidr, min, max]) => [
    { title: `${cidr} blocks of ${min}`, kind: 'IPPool', spec: { cidr, blockSize: min }, becomes: { blockSize: min } },
    { title: `${cidr} blocks of ${max}`, kind: 'IPPool', spec: { cidr, blockSize: max }, becomes: { blockSize: max } },
    {
      title: `${cidr} too large blocks`,
      kind: 'IPPool',
      spec: { cidr, blockSize: Number(min) - 1 },
      problems: [/^spec.blockSize: .* outside/],
    },
    {
      title: `${cidr} too small blocks`,
      kind: 'IPPool',
      spec: { cidr, blockSize: Number(max) + 1 },
      problems: [/^spec.blockSize: .* outside/],
    },
  ]),
  {
    title: 'a block larger than the pool',
    kind: 'IPPool',
    spec: { cidr: '10.0.0.0/27' },
    problems: [/^spec.blockSize: a block of \/26 does not fit in 10.0.0.0\/27; write 27 or more/],
  },
  { title: 'a pool of one block', kind: 'IPPool', spec: { cidr: '10.0.0.0/26' }, becomes: { blockSize: 26 } },
  {
    title: 'IPIP with IPv6',
    kind: 'IPPool',
    spec: { cidr: 'fd00::/48', ipipMode: 'Always' },
    problems: [/^spec.ipipMode: IPIP carries IPv4 only/],
  },
  {
    title: 'VXLAN with IPv6',
    kind: 'IPPool',
    spec: { cidr: 'fd00::/48', vxlanMode: 'CrossSubnet' },
    becomes: { vxlanMode: 'CrossSubnet' },
  },
  {
    title: 'two tunnels',
    kind: 'IPPool',
    spec: { ...POOL, ipipMode: 'Always', vxlanMode: 'CrossSubnet' },
    problems: [/^spec.vxlanMode: excludes ipipMode Always/],
  },
  {
    title: 'a selector that is none',
    kind: 'IPPool',
    spec: { ...POOL, nodeSelector: "rack = 'a'" },
    problems: [/^spec.nodeSelector: .*at character 6: .*"=="/],
  },
  {
    title: 'all mistakes at once',
    kind: 'IPPool',
    spec: { cidr: 'x', natOutgoing: 1, blocksize: 24, ipipMode: 'always' },
    problems: [
      /^spec.cidr/,
      /^spec.ipipMode: "always" is not one of .*did you mean Always\?/,
      /^spec.natOutgoing: must be true or false, not 1/,
      /^spec.blocksize: unknown field; did you mean blockSize\?$/,
    ],
  },
  {
    title: 'load balancer pool',
    kind: 'IPPool',
    spec: { ...POOL, allowedUses: ['LoadBalancer'] },
    becomes: { allowedUses: ['LoadBalancer'] },
  },
  {
    title: 'load balancer pool with everything wrong',
    kind: 'IPPool',
    spec: {
      ...POOL,
      allowedUses: ['LoadBalancer', 'Tunnel'],
      ipipMode: 'Always',
      nodeSelector: 'has(a)',
      disableBGPExport: true,
    },
    problems: [/allowedUses/, /ipipMode/, /nodeSelector/, /disableBGPExport/],
  },
  {
    title: 'no use',
    kind: 'IPPool',
    spec: { ...POOL, allowedUses: [] },
    problems: [/allowedUses: must name at least one/],
  },

  { title: 'a node without spec', kind: 'Node', becomes: {} },
  {
    title: 'a dotted AS number',
    kind: 'Node',
    spec: { bgp: { asNumber: '1.10' } },
    becomes: { bgp: { asNumber: 65546 } },
  },
  {
    title: 'an AS number as text',
    kind: 'Node',
    spec: { bgp: { asNumber: '64512' } },
    becomes: { bgp: { asNumber: 64512 } },
  },
  {
    title: 'an AS number that YAML has taken for a fraction',
    kind: 'Node',
    spec: { bgp: { asNumber: 1.1 } },
    problems: [/^spec.bgp.asNumber: 1.1 is not an AS number; put dotted numbers in quotes/],
  },
  ...[0, -1, 4294967296, '1.70000', '', 'x'].map((asNumber) => ({
    title: `AS ${asNumber}`,
    kind: 'Node',
    spec: { bgp: { asNumber } },
    problems: [/is not an AS number/],
  })),
  {
    title: 'an AS number of the wrong type',
    kind: 'Node',
    spec: { bgp: { asNumber: true } },
    problems: [/must be an AS number/],
  },
  {
    title: 'a host address keeps its host bits',
    kind: 'Node',
    spec: { bgp: { ipv4Address: '192.168.1.100/24', ipv6Address: 'FD00::1/64' } },
    becomes: { bgp: { ipv4Address: '192.168.1.100/24', ipv6Address: 'fd00::1/64' } },
  },
  {
    title: 'a bare host address',
    kind: 'Node',
    spec: { bgp: { ipv4Address: '192.168.1.100' } },
    becomes: { bgp: { ipv4Address: '192.168.1.100/32' } },
  },
  {
    title: 'the wrong family',
    kind: 'Node',
    spec: { bgp: { ipv4Address: 'fd00::1/64' } },
    problems: [/"fd00::1\/64" is IPv6; IPv4 is needed/],
  },
  { title: 'an empty bgp', kind: 'Node', spec: { bgp: {} }, problems: [/^spec.bgp: is empty/] },
  {
    title: 'an unknown field deep inside',
    kind: 'Node',
    spec: { bgp: { asnumber: 1 } },
    problems: [/^spec.bgp.asnumber: unknown field; did you mean asNumber\?/],
  },
  {
    title: 'a MAC address in upper case',
    kind: 'Node',
    spec: { vxlanTunnelMACAddr: '66:AA:00:00:00:01' },
    becomes: { vxlanTunnelMACAddr: '66:aa:00:00:00:01' },
  },
  {
    title: 'node addresses',
    kind: 'Node',
    spec: { addresses: [{ address: '10.0.0.1', type: 'InternalIP' }, { address: 'x' }] },
    problems: [/^spec.addresses\[1\].address: is not an IP address/],
  },

  {
    title: 'the default BGP configuration',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { asNumber: 65000, nodeToNodeMeshEnabled: false },
    becomes: { asNumber: 65000, nodeToNodeMeshEnabled: false },
  },
  {
    title: 'a BGP configuration of a node has no defaults',
    kind: 'BGPConfiguration',
    metadata: { name: 'node.a' },
    spec: { listenPort: 1790 },
    becomes: { listenPort: 1790, asNumber: undefined, logSeverityScreen: undefined },
  },
  {
    title: 'a BGP configuration of neither',
    kind: 'BGPConfiguration',
    metadata: { name: 'host-a' },
    spec: {},
    problems: [/^metadata.name: "host-a" is neither "default".* nor "node.NAME"/],
  },
  {
    title: 'network-wide fields on a node',
    kind: 'BGPConfiguration',
    metadata: { name: 'node.a' },
    spec: { asNumber: 1, nodeToNodeMeshEnabled: true },
    problems: [/^spec.asNumber: holds for the whole network/, /^spec.nodeToNodeMeshEnabled/],
  },
  {
    title: 'ports',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { listenPort: 65536 },
    problems: [/^spec.listenPort: 65536 is too big: at most 65535$/],
  },
  {
    title: 'communities',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: {
      communities: [{ name: 'x', value: '65535:65535' }],
      prefixAdvertisements: [{ cidr: '10.0.0.0/8', communities: ['x', '1:2:4294967295'] }],
    },
    becomes: {},
  },
  {
    title: 'communities that are none',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { communities: [{ name: 'x', value: '65536:1' }] },
    problems: [/^spec.communities\[0\].value: must be aa:nn/],
  },
  {
    title: 'communities without use',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { communities: [{ name: 'x', value: '1:1' }] },
    problems: [/prefixAdvertisements/],
  },
  {
    title: 'a community that nobody named',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { prefixAdvertisements: [{ cidr: '10.0.0.0/8', communities: ['y'] }] },
    problems: [/^spec.prefixAdvertisements\[0\].communities\[0\]: "y" is neither/],
  },
  {
    title: 'a length of time',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { nodeMeshMaxRestartTime: '120' },
    problems: [/write it with units: 120s/],
  },
  {
    title: 'a mesh password without mesh',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { nodeToNodeMeshEnabled: false, nodeMeshPassword: { secretKeyRef: { name: 'a', key: 'b' } } },
    problems: [/nodeMeshPassword: needs the mesh/],
  },

  {
    title: 'an endpoint is in the namespace default',
    kind: 'WorkloadEndpoint',
    spec: { ...ENDPOINT, ipNetworks: ['10.0.0.1/32', 'FD00::1', '10.0.0.2'] },
    becomes: { ipNetworks: ['10.0.0.1/32', 'fd00::1/128', '10.0.0.2/32'] },
  },
  {
    title: 'an endpoint with a network',
    kind: 'WorkloadEndpoint',
    spec: { ...ENDPOINT, ipNetworks: ['10.0.0.0/24'] },
    problems: [/^spec.ipNetworks\[0\]: "10.0.0.0\/24" is a network, and one address is needed/],
  },
  {
    title: 'a floating address',
    kind: 'WorkloadEndpoint',
    spec: { ...ENDPOINT, ipNetworks: ['10.0.0.1/32'], ipNATs: [{ internalIP: '10.0.0.1', externalIP: '1.2.3.4' }] },
    becomes: {},
  },
  {
    title: 'a floating address of nobody',
    kind: 'WorkloadEndpoint',
    spec: { ...ENDPOINT, ipNetworks: ['10.0.0.1/32'], ipNATs: [{ internalIP: '10.0.0.2', externalIP: 'fd00::1' }] },
    problems: [
      /internalIP: "10.0.0.2" is not an address of this endpoint; ipNetworks has 10.0.0.1/,
      /externalIP: .* another family/,
    ],
  },
  {
    title: 'a device name that is too long',
    kind: 'WorkloadEndpoint',
    spec: { ...ENDPOINT, interfaceName: 'cali567890123456' },
    problems: [/^spec.interfaceName: .* is not a device name/],
  },
  { title: 'no device', kind: 'WorkloadEndpoint', spec: { node: 'a' }, problems: [/^spec.interfaceName: is required/] },
  {
    title: 'ports of an endpoint',
    kind: 'WorkloadEndpoint',
    spec: { ...ENDPOINT, ports: [{ port: 80, protocol: 'tcp' }] },
    problems: [/^spec.ports\[0\].protocol: must be TCP, UDP/],
  },

  {
    title: 'a reservation',
    kind: 'IPReservation',
    spec: { reservedCIDRs: ['10.0.0.0/30'] },
    becomes: { reservedCIDRs: ['10.0.0.0/30'] },
  },
  {
    title: 'a reservation with host bits',
    kind: 'IPReservation',
    spec: { reservedCIDRs: ['10.0.0.0/30', '10.0.0.1/30'] },
    problems: [/^spec.reservedCIDRs\[1\]: /],
  },

  {
    title: 'a block',
    kind: 'IPAMBlock',
    metadata: { name: '10-0-0-0-31' },
    spec: {
      cidr: '10.0.0.0/31',
      affinity: 'host:a',
      allocations: [null, 0],
      unallocated: [0],
      attributes: [{ handle_id: 'h' }],
    },
    becomes: { deleted: false, attributes: [{ handle_id: 'h', secondary: {} }] },
  },
  {
    title: 'a block without owner',
    kind: 'IPAMBlock',
    metadata: { name: '10-0-0-0-32' },
    spec: { cidr: '10.0.0.0/32', affinity: null, allocations: [null], unallocated: [0], attributes: [] },
    becomes: { affinity: null },
  },
  {
    title: 'a block that does not add up',
    kind: 'IPAMBlock',
    metadata: { name: 'x' },
    spec: { cidr: '10.0.0.0/31', affinity: 'a', allocations: [null], unallocated: [], attributes: [] },
    problems: [/affinity: must be host:NODE/],
  },
  {
    title: 'a block whose parts disagree',
    kind: 'IPAMBlock',
    metadata: { name: 'x' },
    spec: {
      cidr: '10.0.0.0/31',
      affinity: null,
      allocations: [null, 1, 0],
      unallocated: [0, 0],
      attributes: [{ handle_id: 'h' }],
    },
    problems: [/name: must be 10-0-0-0-31/, /must have 2 entries/, /allocations\[1\]: 1 is no index/, /unallocated/],
  },
  {
    title: 'a claim',
    kind: 'BlockAffinity',
    metadata: { name: 'a-10-0-0-0-26' },
    spec: { node: 'a', cidr: '10.0.0.0/26', state: 'pending' },
    becomes: { state: 'pending', deleted: false },
  },
  {
    title: 'a claim of another name',
    kind: 'BlockAffinity',
    metadata: { name: 'b-10-0-0-0-26' },
    spec: { node: 'a', cidr: '10.0.0.0/26', state: 'pending' },
    problems: [/name: must be a-10-0-0-0-26/],
  },
  {
    title: 'a handle',
    kind: 'IPAMHandle',
    spec: { handleID: 'h', block: { '10.0.0.0/26': 2 } },
    becomes: { block: { '10.0.0.0/26': 2 } },
  },

  {
    title: 'metadata that Kubernetes adds is dropped',
    kind: 'Node',
    metadata: { name: 'a', generation: 3, managedFields: [], creationTimestamp: null, selfLink: '/x' },
    becomes: {},
  },
  {
    title: 'misspelt metadata',
    kind: 'Node',
    metadata: { name: 'A', lables: {} },
    problems: [
      /^metadata.name: "A" is not a name.*; write a$/,
      /^metadata.lables: unknown field; did you mean labels\?/,
    ],
  },
  { title: 'no name', kind: 'Node', metadata: {}, problems: [/^metadata.name: is required/] },
  {
    title: 'a namespace where there is none',
    kind: 'Node',
    metadata: { name: 'a', namespace: 'b' },
    problems: [/^metadata.namespace: Node has no namespace/],
  },
  {
    title: 'labels',
    kind: 'Node',
    metadata: { name: 'a', labels: { 'a b': 'x', ok: 'not ok', 'example.org/x': '', n: 1 } },
    problems: [/^metadata.labels.n: must be text, not 1; put it in quotes: '1'/],
  },
  {
    title: 'labels that are none',
    kind: 'Node',
    metadata: { name: 'a', labels: { 'a b': 'x', ok: 'not ok', 'example.org/x': '' } },
    problems: [/labels.a b: "a b" is not a label/, /labels.ok: "not ok" is not a label value/],
  },
];

for (const { title, kind, metadata = { name: 'x' }, spec, becomes, problems } of ROWS) {
  test(`${kind}: ${title}`, () => {
    const result = validateResource({ apiVersion: API_VERSION, kind, metadata, ...(spec !== undefined && { spec }) });
    if (problems === undefined) {
      assert.ok(result.ok, JSON.stringify(result));
      const found = result.resource.spec as Readonly<Record<string, unknown>>;
      for (const [field, value] of Object.entries(becomes ?? {})) assert.deepEqual(found[field], value, field);
      return;
    }
    assert.ok(!result.ok, 'taken, though it is wrong');
    const found = result.problems.map(({ path, message }) => `${formatPath(path)}: ${message}`);
    assert.equal(found.length, problems.length, found.join('\n'));
    for (const [index, expected] of problems.entries()) assert.match(found[index]!, expected);
  });
}

test('a resource that was validated is valid, and stays what it is', () => {
  for (const { kind, metadata = { name: 'x' }, spec, problems } of ROWS) {
    if (problems !== undefined) continue;
    const first = validateResource({ apiVersion: API_VERSION, kind, metadata, ...(spec !== undefined && { spec }) });
    assert.ok(first.ok);
    const second = validateResource(first.resource);
    assert.ok(second.ok);
    assert.deepEqual(second.resource, first.resource);
  }
});

test('every kind has words of its own, and is found by each', () => {
  const words = KINDS.flatMap((kind) => [kind.kind, kind.plural, ...kind.shortNames]);
  assert.equal(new Set(words).size, words.length);
  for (const kind of KINDS) {
    for (const word of [kind.kind, kind.kind.toUpperCase(), kind.plural, ...kind.shortNames]) {
      assert.equal(kindByWord(word), kind, word);
    }
  }
  assert.match(
    unknownKindMessage('ipool'),
    /^unknown kind "ipool"; did you mean IPPool\? \(known kinds: Node, .*IPAMHandle\)$/,
  );
  assert.match(unknownKindMessage('gadget'), /^unknown kind "gadget" \(known kinds/);
});

test('a node configuration overrides the default one field by field', () => {
  const named = (name: string, spec: BgpConfiguration['spec']): BgpConfiguration => ({
    apiVersion: API_VERSION,
    kind: 'BGPConfiguration',
    metadata: { name },
    spec,
  });
  assert.equal(effectiveBgp(undefined, undefined).asNumber, 64512);
  assert.equal(effectiveBgp(undefined, undefined).listenPort, 179);
  const both = effectiveBgp(named('default', { asNumber: 1, listenPort: 2 }), named('node.a', { listenPort: 3 }));
  assert.equal(both.asNumber, 1);
  assert.equal(both.listenPort, 3);
  assert.equal(both.nodeToNodeMeshEnabled, true);
});
