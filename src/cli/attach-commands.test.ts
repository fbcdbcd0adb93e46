/**
 * `muslin attach` and `detach` as a script meets them, with an agent of values behind real sockets: what is sent to it, what is
 * printed of its answers, and how each mistake ends.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer, type Server as SocketServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodeAnswer, type RequestFrame, RequestFrameDecoder } from '../cni/frame.ts';
import { fakeBgp } from '../node/bgp/bgp-control.suite.ts';
import type { EndpointSummary, PolicyControl } from '../node/control-api.ts';
import { startControlServer } from '../node/control-server.ts';
import { root, run } from './command-bench.suite.ts';
import { EXIT_CODE } from './exit-code.ts';

const directory = join(root, 'agent');
const SOCKET = join(directory, 'agent.sock');
const NOBODY = join(root, 'nobody', 'agent.sock');
const OWN = `/proc/${process.pid}/ns/net`;
const { ok, failure, usage, notFound, conflict, unreachable } = EXIT_CODE;

const RESULT = {
  cniVersion: '1.1.0',
  interfaces: [
    { name: 'cali0123456789a', mac: 'ee:ee:ee:ee:ee:ee', mtu: 1450 },
    { name: 'eth0', mac: '02:00:00:00:00:07', mtu: 1450, sandbox: '/run/netns/web' },
  ],
  ips: [
    { interface: 1, address: '10.1.0.7/32', gateway: '169.254.1.1' },
    { interface: 1, address: 'fd00::7/128', gateway: 'fe80::ecee:eeff:feee:eeee' },
  ],
};
/** Its device follows from its name. */
const WEB: EndpointSummary = {
  ...{ name: 'default/host--a-cni-web-eth0', workload: 'default/web', device: 'calie2aea397c70' },
  ...{ addresses: ['10.1.0.7/32'], inForce: true, pending: '', policies: 0 },
};

/** What the agent was asked, and what it answers to each request; undefined closes the connection. */
const asked: RequestFrame[] = [];
let answer: (frame: RequestFrame) => Uint8Array | undefined;
let endpoints: () => readonly EndpointSummary[] = () => [];
let agent: SocketServer;
let controlServer: Server;

const answers = (output: object, exitCode = 0) => {
  answer = () => encodeAnswer(exitCode, JSON.stringify(output));
};

before(async () => {
  mkdirSync(directory);
  agent = createServer({ allowHalfOpen: true }, (socket) => {
    const decoder = new RequestFrameDecoder();
    socket.on('data', (chunk) => {
      const state = decoder.push(chunk);
      if (state.kind !== 'complete') return;
      asked.push(state.frame);
      const bytes = answer(state.frame);
      if (bytes === undefined) socket.destroy();
      else socket.end(bytes);
    });
  });
  await new Promise<void>((resolve) => agent.listen(join(directory, 'cni.sock'), resolve));
  const policy: PolicyControl = {
    endpoints: () => endpoints(),
    ...{ endpoint: () => [], denials: () => [], policies: () => [], watchDrops: () => undefined },
  };
  const readiness = () => ({ ready: true, reasons: [] });
  controlServer = await startControlServer(SOCKET, { status: undefined, readiness, bgp: fakeBgp({}), policy });
});

after(() => {
  agent.close();
  controlServer.closeAllConnections();
  controlServer.close();
});

const muslin = (...words: string[]) => run([...words, '--socket', SOCKET]);

interface Sent {
  readonly words: readonly string[];
  /** What differs from the plain call. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly configuration?: object;
}

const PLAIN_IPAM = { type: 'muslin', assign_ipv4: 'true', assign_ipv6: 'false' };

const SENT: readonly Sent[] = [
  { words: [] },
  { words: ['--interface', 'net1'], environment: { CNI_IFNAME: 'net1' } },
  { words: ['--network', 'backend'], configuration: { name: 'backend' } },
  { words: ['-n', 'shop'], environment: { CNI_ARGS: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web' } },
  {
    words: ['--label', 'role=web', '--label', 'example.com/tier=', '--label', 'a=b'],
    configuration: {
      args: {
        cni: {
          labels: [
            { key: 'role', value: 'web' },
            { key: 'example.com/tier', value: '' },
            { key: 'a', value: 'b' },
          ],
        },
      },
    },
  },
  { words: ['--ip', '10.1.0.7'], configuration: { runtimeConfig: { ips: ['10.1.0.7'] } } },
  {
    words: ['--service', '203.0.113.10', '--service', '203.0.113.11'],
    configuration: {
      runtimeConfig: {
        'io.kubernetes.cri.pod-annotations': { 'muslin.io/service-addresses': '["203.0.113.10","203.0.113.11"]' },
      },
    },
  },
  {
    words: ['--ip', 'fd00::7', '--ip', '10.1.0.7', '--mac', '02:00:00:00:00:07'],
    configuration: {
      ipam: { ...PLAIN_IPAM, assign_ipv6: 'true' },
      runtimeConfig: { ips: ['fd00::7', '10.1.0.7'], mac: '02:00:00:00:00:07' },
    },
  },
  {
    words: ['--ip', 'fd00::7'],
    configuration: {
      ipam: { ...PLAIN_IPAM, assign_ipv4: 'false', assign_ipv6: 'true' },
      runtimeConfig: { ips: ['fd00::7'] },
    },
  },
  { words: ['--ipv6'], configuration: { ipam: { ...PLAIN_IPAM, assign_ipv6: 'true' } } },
  {
    words: ['--no-ipv4', '--ipv6', '--pool', 'six'],
    configuration: { ipam: { ...PLAIN_IPAM, assign_ipv4: 'false', assign_ipv6: 'true', ipv6_pools: ['six'] } },
  },
  {
    words: ['--ipv6', '--pool', '10.1.0.0/16', '--pool', 'named', '--pool', 'fd00::/64'],
    configuration: {
      ipam: { ...PLAIN_IPAM, assign_ipv6: 'true', ipv4_pools: ['10.1.0.0/16', 'named'], ipv6_pools: ['fd00::/64'] },
    },
  },
  { words: ['--mtu', '1400'], configuration: { mtu: 1400 } },
];

test('options become the call that a runtime would make', async () => {
  for (const { words, environment = {}, configuration = {} } of SENT) {
    asked.length = 0;
    answers(RESULT);
    const ended = await muslin('attach', '--name', 'web', '--netns', OWN, ...words);
    assert.equal(ended.exitCode, ok, ended.stderr);
    const [{ environment: variables, input } = assert.fail('nothing was asked')] = asked;
    const plain = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'web', CNI_NETNS: OWN, CNI_IFNAME: 'eth0', CNI_PATH: '/' };
    const args = { CNI_ARGS: 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web' };
    assert.deepEqual(Object.fromEntries(variables), { ...plain, ...args, ...environment }, words.join(' '));
    const network = { cniVersion: '1.1.0', name: 'muslin-attach', type: 'muslin', ipam: PLAIN_IPAM };
    assert.deepEqual(JSON.parse(input), { ...network, ...configuration }, words.join(' '));
  }
});

const WHERE: readonly [words: readonly string[], netns: string, tap: true | undefined][] = [
  [['--netns', OWN], OWN, undefined],
  [['--netns', `/proc/../proc/${process.pid}/ns/net`], OWN, undefined],
  [['--pid', String(process.pid)], OWN, undefined],
  [['--tap'], '/proc/thread-self/ns/net', true],
];

test('a namespace, a process or a tap is what the agent is led to', async () => {
  for (const [words, netns, tap] of WHERE) {
    asked.length = 0;
    answers(RESULT);
    assert.equal((await muslin('attach', '--name', 'web', ...words)).exitCode, ok);
    assert.equal(asked[0]?.environment.get('CNI_NETNS'), netns, words.join(' '));
    assert.equal(asked[0]?.environment.get('CNI_NETNS_OVERRIDE'), tap && '1', words.join(' '));
    assert.equal(JSON.parse(asked[0]?.input ?? '').tap, tap, words.join(' '));
  }
});

const WEB_AT = ['attach', '--name', 'web', '--netns', OWN];

/** Nothing of these gets as far as the agent. */
const MISTAKES: readonly [words: readonly string[], exitCode: number, message: RegExp][] = [
  [['attach', '--name', 'web'], usage, /^where to\? write one of --netns PATH, --pid PID and --tap$/],
  [[...WEB_AT, '--tap'], usage, /^only one at a time: write one of --netns PATH, --pid PID and --tap$/],
  [[...WEB_AT, '--pid', '1'], usage, /^only one at a time/],
  [['attach', '--netns', OWN], usage, /required option '--name <name>' not specified/],
  ...['Web', 'a_b', '-a', 'a-', 'a..b', 'a/b', '', 'ü', 'a'.repeat(101)].flatMap(
    (name): [string[], number, RegExp][] => [
      [['attach', '--name', name, '--netns', OWN], usage, /^--name: ".*" is malformed; lower-case letters and digits/],
      [['detach', '--name', name], usage, /^--name: ".*" is malformed/],
    ],
  ),
  [[...WEB_AT, '--interface', 'a/b'], usage, /^--interface: "a\/b" cannot name an interface: 1 to 15 /],
  [['detach', '--name', 'web', '--interface', 'a b'], usage, /^--interface: "a b" cannot name an interface/],
  [[...WEB_AT, '--network', 'a b'], usage, /^--network: "a b", which is malformed/],
  [[...WEB_AT, '--namespace', 'Shop'], usage, /^--namespace: "Shop" is no namespace; lower-case letters/],
  [[...WEB_AT, '--label', 'role'], usage, /^--label: "role" is no label; write one such as role=web$/],
  [[...WEB_AT, '--label', '=web'], usage, /^--label: "=web" is no label/],
  [[...WEB_AT, '--label', 'ro le=web'], usage, /^--label: "ro le" is not a label: at most 63/],
  [[...WEB_AT, '--label', 'role=a b'], usage, /^--label: "a b" is not a label value/],
  [[...WEB_AT, '--label', 'a=b', '--label', 'a=c'], usage, /^--label: "a" is there twice; write it once$/],
  [[...WEB_AT, '--ip', '10.1.0'], usage, /^--ip: "10.1.0" is not an IP address; "10.1.0.7"/],
  [[...WEB_AT, '--ip', '10.1.0.7', '--ip', '10.1.0.8'], usage, /^--ip: 10.1.0.7 and 10.1.0.8 are both IPv4/],
  [[...WEB_AT, '--service', 'web'], usage, /^--service: "web" is not an IP address/],
  [[...WEB_AT, '--service', 'fd00::7'], usage, /^--service: fd00::7 leads nowhere, .*; write --ipv6 as well$/],
  [[...WEB_AT, '--mac', 'ff:ff:ff:ff:ff:ff'], usage, /^--mac: "ff:ff:ff:ff:ff:ff" is not a unicast MAC/],
  [[...WEB_AT, '--mtu', '12'], usage, /^--mtu: 12 is not a number from 1280 to 65535$/],
  [[...WEB_AT, '--mtu', 'large'], usage, /^--mtu: "large" is not a number from 1280/],
  [[...WEB_AT, '--pool', 'Pool!'], usage, /^--pool: "Pool!" is neither an IPv4 CIDR nor the name of an IPPool$/],
  [[...WEB_AT, '--no-ipv4'], usage, /^--no-ipv4 leaves no family; write --ipv6 as well$/],
  [[...WEB_AT, '-o', 'name'], usage, /Allowed choices are table, json, yaml/],
  [['attach', '--name', 'web', '--pid', 'abc'], usage, /^--pid: "abc" is not the number of a process$/],
  [['attach', '--name', 'web', '--pid', '99999999'], notFound, /^--pid: there is no process 99999999$/],
  [
    ['attach', '--name', 'web', '--netns', 'muslin-nowhere'],
    notFound,
    /^--netns: there is no \/run\/netns\/muslin-nowhere; `ip netns` shows those/,
  ],
  [['attach', '--name', 'web', '--netns', './nowhere'], notFound, /^--netns: there is no \/.*\/nowhere;/],
  [['attach', '--name', 'web', '--netns', ''], usage, /^--netns: "" is no path/],
];

test('each mistake is one message and an exit code, and the agent is not asked', async () => {
  asked.length = 0;
  for (const [words, exitCode, message] of MISTAKES) {
    const ended = await muslin(...words);
    assert.equal(ended.exitCode, exitCode, `${words.join(' ')}: ${ended.stderr}`);
    assert.match(ended.stderr, message, words.join(' '));
    assert.equal(ended.stdout, '');
  }
  assert.equal(asked.length, 0);
});

const REFUSALS: readonly [code: number, message: string, details: string, exitCode: number, said: RegExp][] = [
  [999, 'x', 'attached', conflict, /^web: eth0 is attached already; to detach it: muslin detach --name web$/],
  [999, 'cannot assign', 'conflict', conflict, /^web: eth0 is attached already/],
  [
    999,
    'eth0 exists already in /x',
    'exists',
    conflict,
    /^eth0 exists already in \/x; --interface would give it another/,
  ],
  [999, '10.1.0.7 is taken', 'address-taken', conflict, /^10.1.0.7 is taken$/],
  [999, '10.9.9.9 is in no enabled pool', 'address-outside-pools', failure, /^10.9.9.9 is in no enabled pool$/],
  [999, '/etc/hostname is not a network namespace', 'EINVAL', failure, /^\/etc\/hostname is not a network namespace$/],
  [999, 'network namespace /x: ENOENT', 'ENOENT', notFound, /^network namespace \/x/],
  [8, 'CNI_NETNS: /x is the network namespace of', '', failure, /^\/x is the network namespace of$/],
  [11, 'the agent is not ready', '', unreachable, /^the agent is not ready; try again later$/],
];

test('what the agent refuses is said in its words, with an exit code for scripts', async () => {
  for (const [code, msg, details, exitCode, said] of REFUSALS) {
    answers({ cniVersion: '1.1.0', code, msg, details }, 1);
    const ended = await muslin(...WEB_AT);
    assert.equal(ended.exitCode, exitCode, msg);
    assert.match(ended.stderr, said);
  }
});

const BROKEN: readonly [title: string, answer: Uint8Array | undefined, said: RegExp][] = [
  ['goes away', undefined, /the agent does not answer: .*cni.sock: .*\nto start it: muslin node run/],
  ['says nothing at all', new Uint8Array(0), /the agent went away before it answered/],
  ['speaks something else', encodeAnswer(72, 'TTP/1.1 400'), /no agent answers like this: TTP/],
  ['has an error of no kind', encodeAnswer(1, '{}'), /no agent answers like this: \{\}/],
];

test('an agent that is not there, or is none, is unreachable', async () => {
  for (const [title, bytes, said] of BROKEN) {
    answer = () => bytes;
    const ended = await muslin(...WEB_AT);
    assert.equal(ended.exitCode, unreachable, title);
    assert.match(ended.stderr, said, title);
  }
  for (const words of [WEB_AT, ['detach', '--name', 'web']]) {
    const ended = await run([...words, '--socket', NOBODY]);
    assert.equal(ended.exitCode, unreachable);
    assert.match(ended.stderr, /no agent has made this socket\nto start it: muslin node run --config FILE/);
  }
  answers({ cniVersion: '1.1.0' });
  const ended = await muslin(...WEB_AT);
  assert.deepEqual(
    [ended.exitCode, ended.stderr],
    [failure, 'the agent answered {"cniVersion":"1.1.0"}, which is no CNI result'],
  );
});

test('what is attached is shown to people and to programs', async () => {
  answers(RESULT);
  const table = await muslin(...WEB_AT, '--network', 'backend');
  assert.equal(
    table.stdout,
    'NAME   INTERFACE   ADDRESS    DEVICE            GATEWAY                     MTU\n' +
      'web    eth0        10.1.0.7   cali0123456789a   169.254.1.1                 1450\n' +
      'web    eth0        fd00::7    cali0123456789a   fe80::ecee:eeff:feee:eeee   1450\n' +
      '\nto detach it: muslin detach --name web --network backend\n',
  );
  const common = {
    ...{ name: 'web', namespace: 'default', network: 'muslin-attach', interface: 'eth0', device: 'cali0123456789a' },
    ...{ mac: '02:00:00:00:00:07', mtu: 1450 },
    addresses: [
      { address: '10.1.0.7', gateway: '169.254.1.1' },
      { address: 'fd00::7', gateway: 'fe80::ecee:eeff:feee:eeee' },
    ],
  };
  const json = await muslin(...WEB_AT, '-o', 'json');
  assert.deepEqual(JSON.parse(json.stdout), { ...common, netns: OWN, guest: null });
  const yaml = await muslin(...WEB_AT, '-o', 'yaml');
  assert.match(yaml.stdout, /^name: web\nnamespace: default\n.*addresses:\n {2}- address: 10.1.0.7\n/s);
  const tap = await muslin('attach', '--name', 'web', '--tap', '-o', 'json');
  const commands = [
    'ip link set eth0 mtu 1450 up',
    'ip address add 10.1.0.7/32 dev eth0',
    'ip route add 169.254.1.1 dev eth0 scope link',
    'ip route add default via 169.254.1.1 dev eth0',
    'ip address add fd00::7/128 dev eth0 nodad',
    'ip route add default via fe80::ecee:eeff:feee:eeee dev eth0',
  ];
  const netdev = ['-netdev', 'tap,id=eth0,ifname=cali0123456789a,script=no,downscript=no'];
  const qemu = [...netdev, '-device', 'virtio-net-pci,netdev=eth0,mac=02:00:00:00:00:07'];
  assert.deepEqual(JSON.parse(tap.stdout), { ...common, netns: null, guest: { commands, qemu } });
  const people = await muslin('attach', '--name', 'web', '--tap');
  for (const line of [...commands, netdev.join(' ')]) assert.ok(people.stdout.includes(line), line);
});

test('detaching says whether there was something, and returns when the agent has forgotten it', async () => {
  endpoints = () => [WEB];
  let looks = 0;
  answer = () => {
    // The agent hears of it a little later.
    endpoints = () => (looks++ < 2 ? [WEB] : []);
    return encodeAnswer(0, '');
  };
  asked.length = 0;
  const ended = await muslin('detach', '--name', 'web');
  assert.equal(ended.stdout, 'web: eth0 is detached; 10.1.0.7 free again\n');
  assert.ok(looks > 2);
  assert.equal(asked[0]?.environment.get('CNI_COMMAND'), 'DEL');
  assert.deepEqual(JSON.parse(asked[0]?.input ?? ''), { cniVersion: '1.1.0', name: 'muslin-attach', type: 'muslin' });
  endpoints = () => [WEB];
  answer = () => encodeAnswer(0, '');
  const kept = await muslin('detach', '--name', 'web', '--network', 'backend');
  assert.equal(kept.exitCode, conflict);
  assert.match(kept.stderr, /^web: eth0 is still attached; if its network is not backend, write --network\. It is in/);
  endpoints = () => [];
  const again = await muslin('detach', '--name', 'web', '-o', 'json');
  assert.equal(again.exitCode, ok);
  const nothing = { name: 'web', interface: 'eth0', device: WEB.device, detached: false, addresses: [] };
  assert.deepEqual(JSON.parse(again.stdout), nothing);
  const text = await muslin('detach', '--name', 'web', '--interface', 'net1');
  assert.equal(text.stdout, 'web: net1 was not attached to this host; nothing is left of it\n');
});
