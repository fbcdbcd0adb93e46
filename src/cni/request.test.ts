/** Calls as runtimes make them, good and bad: environment and configuration rows against the request or the error's code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp } from '../net/ip.ts';
import { encodeError, encodeVersions } from './cni-error.ts';
import { type CniRequest, parseRequest, type RequestResult } from './request.ts';

type Variables = Readonly<Record<string, string | undefined>>;
type Document = Readonly<Record<string, unknown>>;

const ENVIRONMENT: Variables = {
  CNI_CONTAINERID: 'c-1',
  CNI_NETNS: '/run/netns/a',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};
const DOCUMENT: Document = { cniVersion: '1.0.0', name: 'net', type: 'muslin' };

/** A call of `command` with the usual variables and configuration, changed as given; undefined takes away. */
function call(command: string, variables: Variables = {}, document: Document | string = {}): RequestResult {
  const environment = new Map<string, string>();
  for (const [name, value] of Object.entries({ CNI_COMMAND: command, ...ENVIRONMENT, ...variables })) {
    if (value !== undefined) environment.set(name, value);
  }
  const input = typeof document === 'string' ? document : JSON.stringify({ ...DOCUMENT, ...document });
  return parseRequest({ environment, input });
}

function accepted(result: RequestResult): CniRequest {
  assert.ok(result.ok, result.ok ? '' : result.error.message);
  return result.request;
}

const V110 = { cniVersion: '1.1.0' };
const PREVIOUS = { ips: [{ address: '10.1.0.7/32', interface: 1 }, { address: 'fd00::7/128' }] };

const REFUSED: readonly [code: number, message: RegExp, RequestResult][] = [
  [4, /^CNI_COMMAND: "FOO" is none of ADD, DEL, CHECK, GC, STATUS, VERSION$/, call('FOO')],
  [4, /^CNI_COMMAND: "add"/, call('add')],
  [4, /^CNI_COMMAND: ""/, call('', { CNI_COMMAND: undefined })],
  [4, /^ADD needs CNI_CONTAINERID in/, call('ADD', { CNI_CONTAINERID: undefined })],
  [4, /^ADD needs CNI_NETNS in/, call('ADD', { CNI_NETNS: '' })],
  [4, /^ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH in/, parseCommandOnly('ADD')],
  [4, /^DEL needs CNI_CONTAINERID, CNI_IFNAME, CNI_PATH in/, parseCommandOnly('DEL')],
  [4, /^CHECK needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH in/, parseCommandOnly('CHECK')],
  [4, /^GC needs CNI_PATH in/, parseCommandOnly('GC')],
  [4, /^STATUS needs CNI_PATH in/, parseCommandOnly('STATUS')],
  ...['../etc', 'a/b', '-x', 'a b', 'é', `a${'b'.repeat(100)}`].map((id): [number, RegExp, RequestResult] => [
    4,
    /^CNI_CONTAINERID: ".*, which is malformed; a letter or digit/,
    call('ADD', { CNI_CONTAINERID: id }),
  ]),
  ...['0123456789abcdef', 'a/b', 'a:b', 'a b', '.', '..', 'é2345678é12345'].map(
    (name): [number, RegExp, RequestResult] => [
      4,
      /^CNI_IFNAME: ".*" cannot name an interface: 1 to 15 bytes/,
      call('DEL', { CNI_IFNAME: name }),
    ],
  ),
  [4, /^CNI_NETNS: "run\/netns\/a" is not an absolute path/, call('ADD', { CNI_NETNS: 'run/netns/a' })],
  [4, /^CNI_ARGS: FOO is not known; IgnoreUnknown=1/, call('ADD', { CNI_ARGS: 'FOO=BAR' })],
  [4, /^CNI_ARGS: FOO is not known/, call('ADD', { CNI_ARGS: 'IgnoreUnknown=0;FOO=BAR' })],
  [4, /^CNI_ARGS: "IgnoreUnknown" is not KEY=VALUE/, call('ADD', { CNI_ARGS: 'IgnoreUnknown' })],
  [4, /^CNI_ARGS: IP: "10.1" is not an IP address/, call('ADD', { CNI_ARGS: 'IP=10.1' })],
  [4, /^CNI_ARGS: IP: 10.1.0.7 and 10.1.0.8 are both IPv4/, call('ADD', { CNI_ARGS: 'IP=10.1.0.7,10.1.0.8' })],
  [4, /^CNI_ARGS: MAC: "ff:ff:ff:ff:ff:ff" is not a unicast MAC/, call('ADD', { CNI_ARGS: 'MAC=ff:ff:ff:ff:ff:ff' })],
  [6, /^the network configuration on stdin is not JSON: /, call('ADD', {}, '')],
  [6, /is not JSON: /, call('DEL', {}, '{nope')],
  [6, /is not a JSON object$/, call('ADD', {}, '[]')],
  [6, /is not a JSON object$/, call('ADD', {}, 'null')],
  [7, /^name: missing; a letter or digit/, call('ADD', {}, { name: undefined })],
  [7, /^name: "a\/b", which is malformed/, call('DEL', {}, { name: 'a/b' })],
  [7, /^name: 7, which is malformed/, call('ADD', {}, { name: 7 })],
  [
    1,
    /^cniVersion "9.9.9" is not supported; supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0$/,
    call('ADD', {}, { cniVersion: '9.9.9' }),
  ],
  [1, /^cniVersion "one" is not supported/, call('DEL', {}, { cniVersion: 'one' })],
  [1, /^cniVersion "0.2.0" is not supported/, call('ADD', {}, { cniVersion: '0.2.0' })],
  [1, /^cniVersion is missing, which means 0.1.0;/, call('ADD', {}, { cniVersion: undefined })],
  [
    1,
    /^CHECK does not exist in cniVersion 0.3.1, but in 0.4.0, 1.0.0, 1.1.0$/,
    call('CHECK', {}, { cniVersion: '0.3.1' }),
  ],
  [1, /^GC does not exist in cniVersion 1.0.0, but in 1.1.0$/, call('GC')],
  [1, /^STATUS does not exist in cniVersion 1.0.0/, call('STATUS')],
  [7, /^mtu: 1200 is not a number from 1280 to 65535$/, call('ADD', {}, { mtu: 1200 })],
  [7, /^mtu: "1500" is not a number/, call('ADD', {}, { mtu: '1500' })],
  [7, /^ipam: "muslin" is not an object$/, call('ADD', {}, { ipam: 'muslin' })],
  [7, /^ipam.type: "host-local" is not supported: leave/, call('ADD', {}, { ipam: { type: 'host-local' } })],
  [
    2,
    /^ipam.subnet: "usePodCidr" is not supported; there are type, assign_ipv4/,
    call('ADD', {}, { ipam: { subnet: 'usePodCidr' } }),
  ],
  [
    7,
    /^ipam.assign_ipv6: "yes" is neither "true" nor "false"$/,
    call('STATUS', {}, { ...V110, ipam: { assign_ipv6: 'yes' } }),
  ],
  [7, /^ipam.assign_ipv4: .* one of them must be "true"$/, call('ADD', {}, { ipam: { assign_ipv4: 'false' } })],
  [
    7,
    /^ipam.ipv4_pools: "10.0.0.0\/8" is not a list of at most 64/,
    call('ADD', {}, { ipam: { ipv4_pools: '10.0.0.0/8' } }),
  ],
  [
    7,
    /^ipam.ipv4_pools\[1\]: "fd00::\/64" is neither an IPv4 CIDR/,
    call('ADD', {}, { ipam: { ipv4_pools: ['a', 'fd00::/64'] } }),
  ],
  [7, /^ipam.ipv6_pools\[0\]: "Pool!" is neither an IPv6 CIDR/, call('ADD', {}, { ipam: { ipv6_pools: ['Pool!'] } })],
  [7, /^runtimeConfig: \[\] is not an object$/, call('ADD', {}, { runtimeConfig: [] })],
  [
    7,
    /^runtimeConfig.ips: "10.1.0.7" is not a list of addresses$/,
    call('ADD', {}, { runtimeConfig: { ips: '10.1.0.7' } }),
  ],
  [
    7,
    /^runtimeConfig.ips: "10.1.0" is not an IP address; "10.1.0.7"/,
    call('ADD', {}, { runtimeConfig: { ips: ['10.1.0'] } }),
  ],
  [
    7,
    /^runtimeConfig.ips: fd00::1 and fd00::2 are both IPv6/,
    call('ADD', {}, { runtimeConfig: { ips: ['fd00::1', 'fd00::2'] } }),
  ],
  [
    7,
    /^runtimeConfig.mac: "01:00:5e:00:00:01" is not a unicast MAC/,
    call('ADD', {}, { runtimeConfig: { mac: '01:00:5e:00:00:01' } }),
  ],
  [
    7,
    /^runtimeConfig.mac: "00:00:00:00:00:00" is not a unicast MAC/,
    call('ADD', {}, { runtimeConfig: { mac: '00:00:00:00:00:00' } }),
  ],
  [7, /^prevResult: muslin makes the interface/, call('ADD', {}, { prevResult: PREVIOUS })],
  [7, /^prevResult: missing or without "ips"/, call('CHECK')],
  [7, /^prevResult.ips: 3 is not an IP address/, call('CHECK', {}, { prevResult: { ips: [3] } })],
  [7, /^cni.dev\/valid-attachments: not a list/, call('GC', {}, { ...V110, 'cni.dev/valid-attachments': {} })],
  [
    7,
    /^cni.dev\/valid-attachments\[0\]: not \{"containerID"/,
    call('GC', {}, { ...V110, 'cni.dev/valid-attachments': [{ ifname: 'a' }] }),
  ],
];

function parseCommandOnly(command: string): RequestResult {
  return parseRequest({ environment: new Map([['CNI_COMMAND', command]]), input: JSON.stringify(DOCUMENT) });
}

test('a wrong call has the code that the specification gives it, and a message that says what would be right', () => {
  for (const [code, message, result] of REFUSED) {
    assert.equal(result.ok, false, `accepted, though it should be: ${message}`);
    if (result.ok) continue;
    assert.match(result.error.message, message);
    assert.equal(result.error.code, code, result.error.message);
  }
});

test('of several errors the first is the answer', () => {
  const result = call('ADD', { CNI_ARGS: 'x' }, { mtu: 1, ipam: { type: 'x' } });
  assert.match(result.ok ? '' : result.error.message, /^ipam.type/);
});

test('an error is answered in the version of the caller, or in the newest when we do not speak it', () => {
  assert.equal(call('ADD', {}, { cniVersion: '0.4.0', mtu: 1 }).version, '0.4.0');
  assert.equal(call('ADD', {}, { cniVersion: '9.9.9' }).version, '1.1.0');
  assert.equal(
    encodeError('0.4.0', { code: 7, message: 'mtu: "\n"', details: '' }),
    '{"cniVersion":"0.4.0","code":7,"msg":"mtu: \\"\\n\\"","details":""}\n',
  );
});

test('an ADD with nothing but the necessary gets the defaults', () => {
  for (const cniVersion of ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
    assert.deepEqual(accepted(call('ADD', {}, { cniVersion })), {
      command: 'ADD',
      containerId: 'c-1',
      interfaceName: 'eth0',
      networkName: 'net',
      netns: '/run/netns/a',
      pod: undefined,
      configuration: { families: [4], pools: { 4: [], 6: [] }, mtu: undefined, requestedAddresses: [], mac: undefined },
    });
  }
});

/** What differs from the defaults, in text. */
function summary(request: CniRequest): string {
  if (request.command !== 'ADD' && request.command !== 'STATUS') return request.command;
  const { families, pools, mtu, requestedAddresses, mac } = request.configuration;
  const pod = request.command === 'ADD' ? request.pod : undefined;
  return [
    `families ${families.join(',')}`,
    ...(pools[4].length + pools[6].length > 0 ? [`pools ${[...pools[4], ...pools[6]].join(',')}`] : []),
    ...(mtu === undefined ? [] : [`mtu ${mtu}`]),
    ...(requestedAddresses.length > 0 ? [`addresses ${requestedAddresses.map(formatIp).join(',')}`] : []),
    ...(mac === undefined ? [] : [`mac ${mac}`]),
    ...(pod === undefined ? [] : [`pod ${pod.namespace}/${pod.name}`]),
  ].join(' ');
}

const ACCEPTED: readonly [string, RequestResult][] = [
  ['families 4,6', call('ADD', {}, { ipam: { type: 'muslin', assign_ipv4: 'true', assign_ipv6: 'true' } })],
  ['families 6', call('ADD', {}, { ipam: { assign_ipv4: false, assign_ipv6: true } })],
  ['families 4', call('STATUS', { CNI_CONTAINERID: undefined }, V110)],
  [
    'families 4 pools 10.1.0.0/16,pool-a,fd00::/64',
    call('ADD', {}, { ipam: { ipv4_pools: ['10.1.0.0/16', 'pool-a'], ipv6_pools: ['fd00::/64'] } }),
  ],
  ['families 4 mtu 1480', call('ADD', {}, { mtu: 1480, unheardOf: true, capabilities: {} })],
  ['families 4', call('ADD', {}, { mtu: 0, runtimeConfig: null, prevResult: null })],
  [
    'families 4 addresses 10.1.0.7,fd00::7 mac 02:00:00:00:00:0a',
    call(
      'ADD',
      {},
      { runtimeConfig: { ips: ['10.1.0.7/16', 'fd00:0::7'], mac: '02:00:00:00:00:0A', portMappings: [] } },
    ),
  ],
  [
    'families 4 addresses 10.1.0.9 mac 02:00:00:00:00:09 pod undefined/web_1',
    call('ADD', { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=web_1;MAC=02:00:00:00:00:09;IP=10.1.0.9;X=Y' }),
  ],
  [
    'families 4 pod default/web',
    call('ADD', { CNI_ARGS: 'K8S_POD_UID=1;K8S_POD_NAMESPACE=default;K8S_POD_INFRA_CONTAINER_ID=2;K8S_POD_NAME=web' }),
  ],
  // The runtime's capability arguments come before the older CNI_ARGS.
  [
    'families 4 addresses 10.1.0.7 mac 02:00:00:00:00:07',
    call(
      'ADD',
      { CNI_ARGS: 'IP=10.1.0.9;MAC=02:00:00:00:00:09' },
      { runtimeConfig: { ips: ['10.1.0.7'], mac: '02:00:00:00:00:07' } },
    ),
  ],
  ['VERSION', call('VERSION', { CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy' }, '')],
];

test('what a call asks for is read from the configuration, runtimeConfig and CNI_ARGS', () => {
  for (const [expected, result] of ACCEPTED) assert.equal(summary(accepted(result)), expected);
});

test('DEL needs no namespace, and works with a configuration that is broken by now', () => {
  const broken = { mtu: 'x', ipam: { type: 'y' }, prevResult: 7 };
  const attachment = { command: 'DEL', containerId: 'c-1', interfaceName: 'eth0', networkName: 'net' };
  assert.deepEqual(accepted(call('DEL', { CNI_ARGS: '!' }, broken)), { ...attachment, netns: '/run/netns/a' });
  assert.deepEqual(accepted(call('DEL', { CNI_NETNS: '' })), { ...attachment, netns: undefined });
  assert.deepEqual(accepted(call('DEL', { CNI_NETNS: undefined })), { ...attachment, netns: undefined });
});

test('CHECK knows what ADD answered', () => {
  const request = accepted(call('CHECK', {}, { prevResult: PREVIOUS }));
  assert.deepEqual(request.command === 'CHECK' && request.previousAddresses.map(formatIp), ['10.1.0.7', 'fd00::7']);
});

test('GC tells an empty list from no list, and reads both names of it', () => {
  const list = [{ containerID: 'a', ifname: 'eth0' }];
  const rows: [Document, unknown][] = [
    [{}, undefined],
    [{ 'cni.dev/valid-attachments': [] }, []],
    [{ 'cni.dev/valid-attachments': list }, [{ containerId: 'a', interfaceName: 'eth0' }]],
    [{ 'cni.dev/attachments': list }, [{ containerId: 'a', interfaceName: 'eth0' }]],
  ];
  for (const [document, valid] of rows) {
    const request = accepted(
      call('GC', { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined }, { ...V110, ...document }),
    );
    assert.deepEqual(request, { command: 'GC', networkName: 'net', valid });
  }
});

test('VERSION is answered with every version that is spoken', () => {
  const expected = { cniVersion: '1.1.0', supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] };
  assert.deepEqual(JSON.parse(encodeVersions()), expected);
});
