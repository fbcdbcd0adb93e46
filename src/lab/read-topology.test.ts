import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatCidr } from '../net/cidr.ts';
import { formatIp } from '../net/ip.ts';
import { LabError } from './lab-error.ts';
import { readTopology, TOPOLOGY_BYTES_MAX } from './read-topology.ts';

const LABS = new URL('../../labs/', import.meta.url);

function problems(text: string): string[] {
  try {
    readTopology('net.yaml', text);
    return [];
  } catch (error) {
    assert(error instanceof LabError && error.code === 'invalid');
    return error.message.split('\n');
  }
}

const HOST = 'hosts: { h: { links: { eth0: { segment: lan, addresses: [10.0.0.1/24] } } } }';

for (const file of readdirSync(LABS).filter((name) => name.endsWith('.yaml'))) {
  test(`the shipped topology ${file} is right and is called as its file`, () => {
    const topology = readTopology(file, readFileSync(new URL(file, LABS), 'utf8'));
    assert.equal(`${topology.name}.yaml`, file);
    assert.notEqual(topology.description, '');
    assert.notEqual(topology.checks.length, 0);
  });
}

test('two-hosts is what it says', () => {
  const topology = readTopology('two-hosts', readFileSync(new URL('two-hosts.yaml', LABS), 'utf8'));
  assert.deepEqual(
    topology.hosts.map((host) => [
      host.name,
      host.plugs.map((plug) => `${plug.interface} ${plug.addresses.map(({ address }) => formatIp(address))}`),
      host.blocks.map(formatCidr),
    ]),
    [
      ['host-a', ['eth0 192.168.100.100'], ['172.17.8.0/24']],
      ['host-b', ['eth0 192.168.100.101'], ['172.17.9.0/24']],
    ],
  );
  assert.deepEqual(
    topology.workloads.map(({ name, host, addresses }) => `${name} ${host} ${addresses.map(formatIp)}`),
    ['a1 host-a 172.17.8.2', 'a2 host-a 172.17.8.3', 'b1 host-b 172.17.9.2', 'b2 host-b 172.17.9.3'],
  );
});

const WRONG: readonly { title: string; text: string; says: readonly string[] }[] = [
  {
    title: 'an empty file',
    text: '# nothing\n',
    says: [
      'net.yaml:1:1: null is not right; write a mapping with the fields name, description, segments, hosts, routers, workloads, resources, checks',
    ],
  },
  {
    title: 'text that is not YAML, with its place',
    text: 'name: [x\nhosts: {}\n',
    says: ['net.yaml:2:1: '],
  },
  {
    title: 'a name given twice in one mapping',
    text: `name: x\nname: y\n${HOST}`,
    says: ['net.yaml:2:1: Map keys must be unique'],
  },
  {
    title: 'misspelt fields, all at once, with what was meant',
    text: `nam: x\nsegments: [lan]\nhosts:\n  h:\n    link: {}\n    links: { eth0: { segmnt: lan } }\n`,
    says: [
      'net.yaml:1:1: name: is missing; write a name: lower-case letters, digits and "-", beginning with a letter, at most 39',
      'net.yaml:1:6: nam: there is no such field; did you mean "name"?',
      'net.yaml:5:5: hosts.h.link: there is no such field; did you mean "links"?',
      'net.yaml:6:14: hosts.h.links.eth0.segment: is missing; write a name: lower-case letters, digits and "-", beginning with a letter, at most 39',
      'net.yaml:6:30: hosts.h.links.eth0.segmnt: there is no such field; did you mean "segment"?',
    ],
  },
  {
    title: 'names that cannot be names',
    text: `name: Two_Hosts\nsegments: [lan]\nhosts: { ${'h'.repeat(40)}: { links: { caliabc: { segment: lan } } } }`,
    says: [
      'net.yaml:1:7: name: "Two_Hosts" is not a name: ',
      `net.yaml:3:10: hosts.${'h'.repeat(40)}: "${'h'.repeat(40)}" is not a name: `,
    ],
  },
  {
    title: 'an interface whose name is taken',
    text: 'name: x\nsegments: [lan]\nhosts: { h: { links: { caliabc: { segment: lan } } } }',
    says: ['net.yaml:3:24: hosts.h.links.caliabc: "caliabc" is not an interface name: '],
  },
  {
    title: 'values that denote nothing',
    text: 'name: x\nsegments: [lan]\nhosts: { h: { asNumber: 0, blocks: [10.0.0.1/24], gateways: [10.0.0], links: { eth0: { segment: lan, addresses: [10.0.0.1] } } } }',
    says: [
      'net.yaml:3:25: hosts.h.asNumber: 0 is not an AS number: 1 to 4294967295',
      'net.yaml:3:37: hosts.h.blocks.0: "10.0.0.1/24" is not a prefix without host bits such as 172.17.8.0/24',
      'net.yaml:3:62: hosts.h.gateways.0: "10.0.0" is not an address such as 172.17.8.2',
      'net.yaml:3:114: hosts.h.links.eth0.addresses.0: "10.0.0.1" is not an address with its subnet such as 192.168.100.100/24',
    ],
  },
  {
    title: 'what a router cannot run, and a host cannot be',
    text: `name: x\nsegments: [lan]\nhosts:\n  h: { links: {}, addresses: [10.0.0.1], routeReflectorClusterID: "fd00::1" }\nrouters:\n  r: { links: {}, runs: { program: gated, configuration: "" } }\n  s: { links: {}, runs: { program: bird } }`,
    says: [
      'net.yaml:4:31: hosts.h.addresses.0: "10.0.0.1" is not an address with its subnet such as 192.168.100.100/24',
      'net.yaml:4:67: hosts.h.routeReflectorClusterID: "fd00::1" is not a cluster identifier such as 10.0.0.1',
      'net.yaml:6:36: routers.r.runs.program: "gated" is not right; write muslin-bgp or bird or frr',
      'net.yaml:7:19: routers.s.runs.configuration: is missing; write the configuration as the program reads it, after',
    ],
  },
  {
    title: 'an address of a machine given twice',
    text: `name: x\nsegments: [lan]\n${HOST}\nrouters:\n  r: { links: {}, addresses: [10.0.0.1/32] }`,
    says: [
      'net.yaml:5:31: routers.r.addresses.0: "10.0.0.1" is already given to hosts.h.links.eth0.addresses.0; each one needs its own',
    ],
  },
  {
    title: 'references to nothing',
    text: `name: x\nsegments: [lan]\nhosts: { h: { links: { eth0: { segment: lann } } } }\nworkloads: { w: { host: g } }\nchecks: [{ reach: [w, v] }, { route: { on: hh, shows: x } }]`,
    says: [
      'net.yaml:3:41: hosts.h.links.eth0.segment: there is no segment "lann"; did you mean "lan"?',
      'net.yaml:4:25: workloads.w.host: there is no host "g"; did you mean "h"?',
      'net.yaml:5:23: checks.0.reach.1: there is no host, router or workload "v"; did you mean "h"?',
      'net.yaml:5:44: checks.1.route.on: there is no host, router or workload "hh"; did you mean "h"?',
    ],
  },
  {
    title: 'a name and an address given twice',
    text: `name: x\nsegments: [lan]\n${HOST}\nworkloads:\n  lan: { host: h, addresses: [10.0.0.9] }\n  w: { host: h, addresses: [10.0.0.9] }\n  v: { host: h, addresses: [10.0.0.1] }`,
    says: [
      'net.yaml:5:3: workloads.lan: "lan" is already given to segments.0; each one needs its own',
      'net.yaml:6:29: workloads.w.addresses.0: "10.0.0.9" is already given to workloads.lan.addresses.0; each one needs its own',
      'net.yaml:7:29: workloads.v.addresses.0: "10.0.0.1" is already given to hosts.h.links.eth0.addresses.0; each one needs its own',
    ],
  },
  {
    title: 'a block with two owners and gateways that are no neighbours',
    text: `name: x\nsegments: [lan]\nhosts:\n  g: { links: {}, blocks: [10.9.0.0/24], gateways: [10.0.0.1] }\n  h: { links: {}, blocks: [10.9.0.0/26] }\nrouters:\n  r: { links: {}, routes: [{ to: 10.9.0.0/24, via: 10.0.0.1 }] }`,
    says: [
      "net.yaml:4:53: hosts.g.gateways.0: 10.0.0.1 is in no subnet of the machine's links; a gateway is a neighbour",
      'net.yaml:5:28: hosts.h.blocks.0: 10.9.0.0/26 overlaps 10.9.0.0/24 of g; a block has one owner',
      "net.yaml:7:52: routers.r.routes.0.via: 10.0.0.1 is in no subnet of the machine's links; a gateway is a neighbour",
    ],
  },
  {
    title: 'a check that is two',
    text: `name: x\nsegments: [lan]\n${HOST}\nchecks: [{ reach: [h], route: { on: h, shows: x } }, {}]`,
    says: [
      'net.yaml:4:10: checks.0: a check is one of reach, unreachable, sessions, route, neighbour; begin a list item for each',
      'net.yaml:4:54: checks.1: a check is one of reach, unreachable, sessions, route, neighbour; begin a list item for each',
    ],
  },
  {
    title: 'checks of what is not there, and of what cannot be counted',
    text: `name: x\nsegments: [lan]\n${HOST}\nrouters: { r: { links: {} } }\nchecks:\n  - unreachable: { from: h, to: hh }\n  - unreachable: { from: h, to: h }\n  - sessions: { on: rr, established: 1 }\n  - sessions: { on: r, established: 1 }`,
    says: [
      'net.yaml:6:33: checks.0.unreachable.to: there is no host, router or workload "hh"; did you mean "h"?',
      'net.yaml:7:33: checks.1.unreachable.to: "h" is where the pings start; write another one',
      'net.yaml:8:21: checks.2.sessions.on: there is no host "rr"; there is: h',
      'net.yaml:9:21: checks.3.sessions.on: there is no host "r"; did you mean "h"?',
    ],
  },
  {
    title: 'one of many, in the line of the many; a range that is none; a name that is given twice',
    text: `name: x\nsegments: [lan]\nhosts:\n  "h{1..2}": { links: { eth0: { segment: lan, addresses: ["10.0.0.25{n}/24", "10.0.{n}/24"] } } }\n  "g{2..1}": { links: {} }`,
    says: [
      'net.yaml:4:78: hosts.h1.links.eth0.addresses.1: "10.0.1/24" is not an address with its subnet',
      'net.yaml:4:78: hosts.h2.links.eth0.addresses.1: "10.0.2/24" is not an address with its subnet',
      'net.yaml:5:3: hosts.g{2..1}: "g{2..1}" is not a name: ',
    ],
  },
  {
    title: 'a name that is given by itself and by a range',
    text: `name: x\nsegments: [lan]\nhosts:\n  "h{1..2}": { links: {} }\n  h2: { links: {} }`,
    says: ['net.yaml:5:3: "h2" is given twice; write it once'],
  },
  {
    title: 'a number that is none, and a router that forwards something else',
    text: `name: x\nsegments: [lan]\n${HOST}\nrouters: { r: { links: {}, forwards: some } }\nchecks: [{ sessions: { on: h, established: many } }]`,
    says: [
      'net.yaml:4:38: routers.r.forwards: "some" is not right; write forwards: all, or forwards: assigned',
      'net.yaml:5:44: checks.0.sessions.established: "many" is not right; write how many sessions are up, such as 5',
    ],
  },
  {
    title: 'no host',
    text: 'name: x\nhosts: {}',
    says: ['net.yaml:2:1: hosts: a lab has at least one host; write it under its name'],
  },
  {
    title: 'a file that is no topology by its size',
    text: `# ${'x'.repeat(TOPOLOGY_BYTES_MAX)}`,
    says: [`net.yaml: longer than ${TOPOLOGY_BYTES_MAX} bytes, which no topology needs`],
  },
];

for (const { title, text, says } of WRONG) {
  test(`is refused: ${title}`, () => {
    const lines = problems(text);
    assert.equal(lines.length, says.length, lines.join('\n'));
    for (const [index, line] of lines.entries())
      assert(line.startsWith(says[index]!), `${line}\n  is not\n${says[index]}`);
  });
}

test('resources know their lines, rules theirs, and workloads their labels and annotations', () => {
  const text = `name: net
segments: [lan]
${HOST}
workloads: { a: { host: h, labels: { role: web } }, b: { host: h, annotations: { a/b: '[]' } } }
resources:
  - apiVersion: projectcalico.org/v3
    kind: IPPool
    metadata: { name: pool }
    spec: { cidr: 10.1.0.0/16 }
  - apiVersion: projectcalico.org/v3
    kind: GlobalNetworkPolicy
    metadata: { name: deny }
    spec:
      ingress:
        - action: Allow
          protocol: TCP
        - action: Deny
      egress: [{ action: Deny }]
`;
  const { resources, workloads } = readTopology('net.yaml', text);
  assert.deepEqual(
    resources.map(({ metadata }) => metadata.annotations),
    [
      { 'muslin.io/source': 'net.yaml:6' },
      { 'muslin.io/source': 'net.yaml:10', 'muslin.io/rule-lines': '{"ingress":[15,17],"egress":[18]}' },
    ],
  );
  assert.deepEqual(
    workloads.map(({ labels, annotations }) => [labels, annotations]),
    [
      [{ role: 'web' }, {}],
      [{}, { 'a/b': '[]' }],
    ],
  );
});

test('a range makes many of a host, workload, segment and check', () => {
  const text = `name: net
segments: ["s{1..2}"]
hosts:
  "h{1..2}":
    links: { eth0: { segment: "s{n}", addresses: ["10.0.{n}.1/24"] } }
    labels: { rack: "r{n}" }
workloads: { "w{1..2}": { host: "h{n}" }, v: { host: h1 } }
checks:
  - reach: ["w{1..2}", v]
  - sessions: { on: "h{1..2}", established: 0 }
  - route: { on: h1, shows: "{n}" }
`;
  const { segments, hosts, workloads, checks } = readTopology('net.yaml', text);
  assert.deepEqual(segments, ['s1', 's2']);
  assert.deepEqual(
    hosts.map(({ name, plugs, labels }) => [
      name,
      plugs.map(({ segment, addresses }) => `${segment} ${addresses.map(({ address }) => formatIp(address))}`),
      labels,
    ]),
    [
      ['h1', ['s1 10.0.1.1'], { rack: 'r1' }],
      ['h2', ['s2 10.0.2.1'], { rack: 'r2' }],
    ],
  );
  assert.deepEqual(
    workloads.map(({ name, host }) => `${name} ${host}`),
    ['w1 h1', 'w2 h2', 'v h1'],
  );
  assert.deepEqual(checks, [
    { kind: 'reach', among: ['w1', 'w2', 'v'] },
    { kind: 'sessions', on: 'h1', established: 0 },
    { kind: 'sessions', on: 'h2', established: 0 },
    { kind: 'route', on: 'h1', shows: '{n}' },
  ]);
});
