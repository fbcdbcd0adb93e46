/**
 * The BGP that networks are taught with, as whole files: what users bring must apply as it stands, and all of it together.
 *
 * Each manifest is a design or a step of one: a router for all, a router for one, a rack's own router, route reflectors in
 * place of the mesh, an AS number per rack, communities, passwords, filters.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDocuments } from './documents.ts';
import { neighbourProblems } from './network-rules.ts';
import { valueOfResource } from './resource-entry.ts';
import { validateResource } from './validate.ts';

const HEAD = 'apiVersion: projectcalico.org/v3';

/** By what the manifest shows; the resources that it makes, in order. */
const MANIFESTS: Readonly<Record<string, readonly [text: string, makes: string]>> = {
  'a pool of routed addresses': [
    `
${HEAD}
kind: IPPool
metadata:
  name: containers
spec:
  cidr: 172.17.0.0/16
  ipipMode: Never
  natOutgoing: true
`,
    'IPPool containers',
  ],
  'the mesh off, and an AS number for the network': [
    `
${HEAD}
kind: BGPConfiguration
metadata:
  name: default
spec:
  logSeverityScreen: Info
  nodeToNodeMeshEnabled: false
  asNumber: 64512
  serviceClusterIPs:
  - cidr: 10.96.0.0/12
  listenPort: 179
  bindMode: NodeIP
  communities:
  - name: from-containers
    value: 64512:300
  - name: large
    value: 64512:300:100
  prefixAdvertisements:
  - cidr: 172.17.0.0/16
    communities: [from-containers, large, "64512:120"]
`,
    'BGPConfiguration default',
  ],
  'a port of its own for one node': [
    `
${HEAD}
kind: BGPConfiguration
metadata: {name: node.rack1-host1}
spec: {listenPort: 1790}
`,
    'BGPConfiguration node.rack1-host1',
  ],
  'a router that all nodes peer with': [
    `
${HEAD}
kind: BGPPeer
metadata:
  name: core-router
spec:
  peerIP: 192.20.30.40
  asNumber: 64567
`,
    'BGPPeer core-router',
  ],
  'a router of one node': [
    `
${HEAD}
kind: BGPPeer
metadata:
  name: rack1-host1-aside
spec:
  peerIP: "[aa:bb::ff]:1790"
  node: rack1-host1
  asNumber: 64514
  sourceAddress: None
  ttlSecurity: 1
`,
    'BGPPeer rack1-host1-aside',
  ],
  'the router on top of each rack': [
    `
${HEAD}
kind: BGPPeer
metadata:
  name: rack1-tor
spec:
  peerIP: 192.20.30.1
  asNumber: 64513
  nodeSelector: rack == 'rack-1'
  filters: [no-export]
---
${HEAD}
kind: BGPPeer
metadata:
  name: rack2-tor
spec:
  peerIP: 192.20.31.1
  asNumber: 64514
  nodeSelector: rack == 'rack-2'
  nextHopMode: Self
  maxRestartTime: 10s
`,
    'BGPPeer rack1-tor, BGPPeer rack2-tor',
  ],
  'an AS number per rack': [
    `
${HEAD}
kind: Node
metadata:
  name: rack1-host1
  labels: {rack: rack-1}
spec:
  bgp:
    asNumber: 64513
    ipv4Address: 192.20.30.11/24
---
${HEAD}
kind: Node
metadata:
  name: rack2-host1
  labels: {rack: rack-2}
spec:
  bgp:
    asNumber: "1.10"
    ipv4Address: 192.20.31.11/24
`,
    'Node rack1-host1, Node rack2-host1',
  ],
  'route reflectors in place of the mesh': [
    `
${HEAD}
kind: Node
metadata:
  name: reflector-1
  labels: {route-reflector: "true"}
spec:
  bgp:
    ipv4Address: 192.20.30.21/24
    routeReflectorClusterID: 244.0.0.1
---
${HEAD}
kind: BGPPeer
metadata:
  name: peer-with-route-reflectors
spec:
  nodeSelector: all()
  peerSelector: route-reflector == 'true'
`,
    'Node reflector-1, BGPPeer peer-with-route-reflectors',
  ],
  'a password': [
    `
${HEAD}
kind: BGPPeer
metadata:
  name: guarded
spec:
  peerIP: 192.20.30.50
  asNumber: 64567
  password:
    secretKeyRef:
      name: bgp-secrets
      key: rr-password
`,
    'BGPPeer guarded',
  ],
  'a router behind another': [
    `
${HEAD}
kind: BGPPeer
metadata: {name: spine}
spec:
  peerIP: 10.255.0.1:179
  reachableBy: 192.20.30.1
  asNumber: 64999
  numAllowedLocalASNumbers: 1
  keepOriginalNextHop: true
`,
    'BGPPeer spine',
  ],
  'nothing sent to a peer': [
    `
${HEAD}
kind: BGPFilter
metadata:
  name: no-export
spec:
  exportV4:
  - action: Reject
  exportV6:
  - action: Reject
`,
    'BGPFilter no-export',
  ],
  'chosen routes': [
    `
${HEAD}
kind: BGPFilter
metadata:
  name: chosen
spec:
  importV4:
  - cidr: 10.0.0.0/8
    matchOperator: In
    prefixLength: {min: 16, max: 24}
    peerType: eBGP
    action: Accept
    operations:
    - addCommunity: {value: "64512:300"}
    - setPriority: {value: 512}
  - communities: {values: ["64999:666"]}
    action: Reject
  exportV4:
  - source: RemotePeers
    action: Reject
  - interface: "*.calico"
    action: Reject
  - asPathPrefix: [64513]
    action: Accept
    operations:
    - prependASPath: {prefix: [64512, 64512]}
`,
    'BGPFilter chosen',
  ],
  'no pool told to anybody': [
    `
${HEAD}
kind: IPPool
metadata: {name: quiet}
spec: {cidr: 172.18.0.0/16, disableBGPExport: true}
`,
    'IPPool quiet',
  ],
  'settings beside': [
    `
${HEAD}
kind: FelixConfiguration
metadata: {name: default}
spec:
  defaultEndpointToHostAction: ACCEPT
  failsafeInboundHostPorts:
  - {protocol: tcp, port: 22, net: 192.20.0.0/16}
  - {protocol: tcp, port: 179}
  programClusterRoutes: Enabled
  routeRefreshInterval: 30s
---
${HEAD}
kind: IPAMConfiguration
metadata: {name: default}
spec: {strictAffinity: true, maxBlocksPerHost: 4}
---
${HEAD}
kind: ClusterInformation
metadata: {name: default}
spec: {clusterGUID: 1fe3, datastoreReady: true}
---
${HEAD}
kind: CalicoNodeStatus
metadata: {name: rack1-host1}
spec: {node: rack1-host1, classes: [Agent, BGP, Routes], updatePeriodSeconds: 10}
status: {agent: {birdV4: {state: Ready}}}
`,
    'FelixConfiguration default, IPAMConfiguration default, ClusterInformation default, CalicoNodeStatus rack1-host1',
  ],
};

function read(text: string) {
  const parsed = parseDocuments(text, 'f.yaml');
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.problems.join('\n'));
  return parsed.resources.map(({ resource }) => resource);
}

for (const [title, [text, makes]] of Object.entries(MANIFESTS)) {
  test(`a manifest applies: ${title}`, () => {
    const resources = read(text);
    assert.equal(resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`).join(', '), makes);
    for (const resource of resources) {
      const again = validateResource(valueOfResource(resource));
      assert.ok(again.ok);
      assert.deepEqual(again.resource, resource);
    }
  });
}

test('all manifests apply together', () => {
  const all = read(
    Object.values(MANIFESTS)
      .map(([text]) => text)
      .join('---\n'),
  );
  assert.equal(all.length, 20);
  for (const resource of all) assert.deepEqual(neighbourProblems(resource, all), []);
});
