/** Calls as runtimes make them, good and bad: environment and configuration rows against the request or the error's code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatCidr } from '../net/cidr.ts';
import { formatIp } from '../net/ip.ts';
import { CNI_VERSIONS, encodeError, encodeVersions } from './cni-error.ts';
import { type CniRequest, parseRequest, type RequestResult } from './request.ts';
import { encodeResult } from './result.ts';

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
const PREVIOUS = {
  interfaces: [{ name: 'cali1' }, { name: 'eth0', sandbox: '/run/netns/a' }],
  ips: [
    { address: '10.1.0.7/32', interface: 1 },
    { address: 'fd00::7/128', interface: 1 },
  ],
};

const ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

/** A configuration whose runtime hands on these annotations of the pod. */
function annotated(annotations: unknown, more: Document = {}): Document {
  return { ...more, runtimeConfig: { [ANNOTATIONS]: annotations } };
}

const BAD_ANNOTATIONS: readonly [name: string, text: string, message: RegExp][] = [
  ['cni.projectcalico.org/ipAddrs', '10.1.0.7', /^annotation cni.projectcalico.org\/ipAddrs: "10.1.0.7" is not JSON: /],
  [
    'cni.projectcalico.org/ipAddrs',
    '"10.1.0.7"',
    /^annotation cni.projectcalico.org\/ipAddrs: .* is not a list of at most 64/,
  ],
  ['cni.projectcalico.org/ipAddrs', '["10.1.0.7","10.1.0.8"]', /ipAddrs: 10.1.0.7 and 10.1.0.8 are both IPv4/],
  ['cni.projectcalico.org/ipv4pools', '["fd00::/64"]', /ipv4pools\[0\]: "fd00::\/64" is neither an IPv4 CIDR/],
  ['cni.projectcalico.org/ipv6pools', '[7]', /ipv6pools\[0\]: 7 is neither/],
  ['cni.projectcalico.org/hwAddr', 'x', /^annotation cni.projectcalico.org\/hwAddr: "x" is not a unicast MAC/],
  ['cni.projectcalico.org/floatingIPs', '["x"]', /floatingIPs: "x" is not an IP address/],
  [
    'cni.projectcalico.org/floatingIPs',
    '["fd00::7"]',
    /floatingIPs: fd00::7 leads nowhere, .* set ipam.assign_ipv6 to "true"$/,
  ],
  ['muslin.io/service-addresses', '203.0.113.10', /^annotation muslin.io\/service-addresses: .* is not JSON/],
  ['muslin.io/service-addresses', '["web"]', /service-addresses: "web" is not an IP address/],
  ['muslin.io/service-addresses', '["fd00::7"]', /service-addresses: fd00::7 leads nowhere, .* ipam.assign_ipv6/],
  [
    'muslin.io/service-addresses',
    JSON.stringify(Array.from({ length: 17 }, (_, index) => `203.0.113.${index}`)),
    /service-addresses: 17 addresses are too many; at most 16$/,
  ],
  [
    'cni.projectcalico.org/allowedSourcePrefixes',
    '["10.9.0.1/16"]',
    /allowedSourcePrefixes\[0\]: "10.9.0.1\/16" is not a prefix/,
  ],
  ['cni.muslin.io/labels', '["a"]', /^annotation cni.muslin.io\/labels: .* is not an object of strings$/],
  ['cni.muslin.io/labels', '{"a":"b c"}', /^annotation cni.muslin.io\/labels: a: "b c" is not a label value/],
];

/** That many labels. */
function numbered(count: number): [string, string][] {
  return Array.from({ length: count }, (_, index) => [`label-${index}`, 'x']);
}

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
  ...['0123456789abcdef', 'a/b', 'a:b', 'a b', '.', '..', 'é', 'eth%d'].map((name): [number, RegExp, RequestResult] => [
    4,
    /^CNI_IFNAME: ".*" cannot name an interface: 1 to 15 printable ASCII/,
    call('DEL', { CNI_IFNAME: name }),
  ]),
  [4, /^CNI_NETNS: "run\/netns\/a" is not an absolute path/, call('ADD', { CNI_NETNS: 'run/netns/a' })],
  [4, /^CNI_ARGS: FOO is not known; IgnoreUnknown=1/, call('ADD', { CNI_ARGS: 'FOO=BAR' })],
  [4, /^CNI_ARGS: FOO is not known/, call('ADD', { CNI_ARGS: 'IgnoreUnknown=0;FOO=BAR' })],
  [4, /^CNI_ARGS: "IgnoreUnknown" is not KEY=VALUE/, call('ADD', { CNI_ARGS: 'IgnoreUnknown' })],
  ...['../x', 'Shop', 'a.b', '-a', 'a'.repeat(64)].map((namespace): [number, RegExp, RequestResult] => [
    4,
    /^CNI_ARGS: K8S_POD_NAMESPACE: ".*" is not a namespace: at most 63/,
    call('ADD', { CNI_ARGS: `K8S_POD_NAME=a;K8S_POD_NAMESPACE=${namespace}` }),
  ]),
  [
    4,
    /^CNI_ARGS: K8S_POD_NAME: 254 characters; at most 253/,
    call('ADD', { CNI_ARGS: `K8S_POD_NAME=${'a'.repeat(254)}` }),
  ],
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
    /^cniVersion "9.9.9" is not supported; supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0$/,
    call('ADD', {}, { cniVersion: '9.9.9' }),
  ],
  [1, /^cniVersion "one" is not supported/, call('DEL', {}, { cniVersion: 'one' })],
  [1, /^cniVersion 7 is not supported/, call('ADD', {}, { cniVersion: 7 })],
  [1, /^CHECK does not exist in cniVersion 0.1.0/, call('CHECK', {}, { cniVersion: undefined })],
  [1, /^CHECK does not exist in cniVersion 0.2.0/, call('CHECK', {}, { cniVersion: '0.2.0' })],
  [
    1,
    /^CHECK does not exist in cniVersion 0.3.1, but in 0.4.0, 1.0.0, 1.1.0$/,
    call('CHECK', {}, { cniVersion: '0.3.1' }),
  ],
  [1, /^GC does not exist in cniVersion 1.0.0, but in 1.1.0$/, call('GC')],
  [1, /^STATUS does not exist in cniVersion 1.0.0/, call('STATUS')],
  [7, /^mtu: 1200 is not a number from 1280 to 65535$/, call('ADD', {}, { mtu: 1200 })],
  [7, /^mtu: "1500" is not a number/, call('ADD', {}, { mtu: '1500' })],
  [7, /^tap: "true" is neither true nor false$/, call('ADD', {}, { tap: 'true' })],
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
    /^runtimeConfig.ips: "10.1.0.7" is not a list of at most 64 addresses$/,
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
  [7, /^prevResult: an earlier plugin has made eth0 already; .*before/, call('ADD', {}, { prevResult: PREVIOUS })],
  [7, /^prevResult: 3 is not the result of a plugin$/, call('ADD', {}, { prevResult: 3 })],
  [7, /^prevResult.ips: \{"a":1\} is not an address: /, call('ADD', {}, { prevResult: { ips: [{ a: 1 }] } })],
  [7, /^prevResult.routes: \{\} is not a list of objects$/, call('ADD', {}, { prevResult: { routes: {} } })],
  [7, /^prevResult.dns: "x" is not an object$/, call('ADD', {}, { prevResult: { dns: 'x' } })],
  [7, /^prevResult: missing; CHECK needs/, call('CHECK')],
  [7, /^prevResult.ips: \[3\] is not a list of objects/, call('CHECK', {}, { prevResult: { ips: [3] } })],
  [7, /^prevResult.ips: "x" is not an IP address/, call('CHECK', {}, { prevResult: { ips: [{ address: 'x' }] } })],
  [7, /^prevResult.ips: none is on eth1; CHECK/, call('CHECK', { CNI_IFNAME: 'eth1' }, { prevResult: PREVIOUS })],
  [
    2,
    /^runtimeConfig.portMappings: \[\{"hostPort":80\}\] is not for muslin: take "capabilities": .* "portmap" after it$/,
    call('ADD', {}, { runtimeConfig: { portMappings: [{ hostPort: 80 }] } }),
  ],
  [2, /^runtimeConfig.bandwidth: .*"bandwidth" after it$/, call('ADD', {}, { runtimeConfig: { bandwidth: { a: 1 } } })],
  [7, /^labels: \[\] is not an object of strings$/, call('ADD', {}, { labels: [] })],
  [7, /^labels: "-a" is not a label: at most 63/, call('ADD', {}, { labels: { '-a': 'b' } })],
  [7, /^labels: app: "a b" is not a label value: at most 63/, call('ADD', {}, { labels: { app: 'a b' } })],
  [7, /^labels: app: 7 is not a label value/, call('ADD', {}, { labels: { app: 7 } })],
  [
    7,
    /^labels: projectcalico.org\/namespace is set by/,
    call('ADD', {}, { labels: { 'projectcalico.org/namespace': 'x' } }),
  ],
  [7, /^labels: 129 labels; at most 128/, call('ADD', {}, { labels: Object.fromEntries(numbered(129)) })],
  [7, /^args.cni: 7 is not an object$/, call('ADD', {}, { args: { cni: 7 } })],
  [7, /^args.cni.labels: nothing is not a label: /, call('ADD', {}, { args: { cni: { labels: [{ value: 'x' }] } } })],
  [7, /^args.cni.labels: nothing is not a label: /, call('ADD', {}, { args: { cni: { labels: ['app'] } } })],
  [7, /^args.cni.ips: "x" is not an IP address/, call('ADD', {}, { args: { cni: { ips: ['x'] } } })],
  [7, /^args.cni.mac: "x" is not a unicast MAC/, call('ADD', {}, { args: { cni: { mac: 'x' } } })],
  [
    7,
    /^dns.nameservers: "10.1.0.53" is not a list of at most 64 texts$/,
    call('ADD', {}, { dns: { nameservers: '10.1.0.53' } }),
  ],
  [7, /^dns.search: 7 is not a text$/, call('ADD', {}, { dns: { search: [7] } })],
  [
    7,
    /^runtimeConfig.io.kubernetes.cri.pod-annotations: \{"a":1\} is not an object of strings$/,
    call('ADD', {}, annotated({ a: 1 })),
  ],
  ...BAD_ANNOTATIONS.map(([name, text, message]): [number, RegExp, RequestResult] => [
    7,
    message,
    call('ADD', {}, annotated({ [name]: text })),
  ]),
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
  for (const cniVersion of [undefined, '0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
    assert.deepEqual(accepted(call('ADD', {}, { cniVersion })), {
      command: 'ADD',
      containerId: 'c-1',
      interfaceName: 'eth0',
      networkName: 'net',
      netns: '/run/netns/a',
      mayBeOwnNamespace: false,
      pod: undefined,
      previous: undefined,
      configuration: {
        ...{ families: [4], pools: { 4: [], 6: [] }, mtu: undefined, requestedAddresses: [], mac: undefined },
        ...{
          labels: {},
          annotations: {},
          floatingAddresses: [],
          serviceAddresses: [],
          allowedSources: [],
          dns: undefined,
          tap: false,
        },
      },
    });
  }
});

/** What differs from the defaults, in text. */
function summary(request: CniRequest): string {
  if (request.command !== 'ADD' && request.command !== 'STATUS') return request.command;
  const { families, pools, mtu, requestedAddresses, mac, tap, labels, annotations } = request.configuration;
  const { floatingAddresses, allowedSources } = request.configuration;
  const texts = (record: Readonly<Record<string, string>>) =>
    Object.entries(record).map(([name, text]) => `${name}=${text}`);
  const pod = request.command === 'ADD' ? request.pod : undefined;
  return [
    `families ${families.join(',')}`,
    ...(pools[4].length + pools[6].length > 0 ? [`pools ${[...pools[4], ...pools[6]].join(',')}`] : []),
    ...(mtu === undefined ? [] : [`mtu ${mtu}`]),
    ...(requestedAddresses.length > 0 ? [`addresses ${requestedAddresses.map(formatIp).join(',')}`] : []),
    ...(mac === undefined ? [] : [`mac ${mac}`]),
    ...(tap ? ['tap'] : []),
    ...(pod === undefined ? [] : [`pod ${pod.namespace}/${pod.name}`]),
    ...texts(labels),
    ...texts(annotations),
    ...(floatingAddresses.length > 0 ? [`floating ${floatingAddresses.map(formatIp).join(',')}`] : []),
    ...(allowedSources.length > 0 ? [`sources ${allowedSources.map(formatCidr).join(',')}`] : []),
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
  // An annotation stands between the two, and the configuration's arguments between annotation and CNI_ARGS.
  [
    'families 4 addresses 10.1.0.7 mac 02:00:00:00:00:07',
    call(
      'ADD',
      { CNI_ARGS: 'IP=10.1.0.9;MAC=02:00:00:00:00:09' },
      {
        args: { cni: { ips: ['10.1.0.8'], mac: '02:00:00:00:00:08' } },
        runtimeConfig: {
          ...{ ips: ['10.1.0.7'], mac: '02:00:00:00:00:07' },
          [ANNOTATIONS]: {
            'cni.projectcalico.org/ipAddrs': '["10.1.0.6"]',
            'cni.projectcalico.org/hwAddr': '02:00:00:00:00:06',
          },
        },
      },
    ),
  ],
  [
    'families 4 addresses 10.1.0.6 mac 02:00:00:00:00:06',
    call(
      'ADD',
      { CNI_ARGS: 'IP=10.1.0.9;MAC=02:00:00:00:00:09' },
      annotated(
        { 'cni.projectcalico.org/ipAddrs': '["10.1.0.6"]', 'cni.projectcalico.org/hwAddr': '02:00:00:00:00:06' },
        { args: { cni: { ips: ['10.1.0.8'], mac: '02:00:00:00:00:08' } } },
      ),
    ),
  ],
  [
    'families 4 addresses 10.1.0.8 mac 02:00:00:00:00:08',
    call(
      'ADD',
      { CNI_ARGS: 'IP=10.1.0.9;MAC=02:00:00:00:00:09' },
      { args: { cni: { ips: ['10.1.0.8'], mac: '02:00:00:00:00:08' } } },
    ),
  ],
  // Of labels each source adds to the one below it.
  [
    'families 4 a=network b=arguments c=pod d=pod',
    call(
      'ADD',
      {},
      annotated(
        { 'cni.muslin.io/labels': '{"c":"pod","d":"pod"}' },
        {
          labels: { a: 'network', b: 'network', c: 'network' },
          args: {
            cni: {
              labels: [
                { key: 'b', value: 'arguments' },
                { key: 'c', value: 'arguments' },
              ],
            },
          },
        },
      ),
    ),
  ],
  [
    'families 4 pools pool-b,fd00::/64 muslin.io/floating-ip-announce=true floating 203.0.113.7,203.0.113.8 sources 10.9.0.0/16',
    call(
      'ADD',
      {},
      annotated(
        {
          'cni.projectcalico.org/ipv4pools': '["pool-b"]',
          'cni.projectcalico.org/floatingIPs': '["203.0.113.7","203.0.113.8/32"]',
          'cni.projectcalico.org/allowedSourcePrefixes': '["10.9.0.0/16"]',
          'muslin.io/floating-ip-announce': 'true',
          'kubectl.kubernetes.io/last-applied-configuration': '{',
        },
        { ipam: { ipv4_pools: ['pool-a'], ipv6_pools: ['fd00::/64'] } },
      ),
    ),
  ],
  [
    'families 4 muslin.io/service-addresses=["203.0.113.10","203.0.113.11"]',
    call('ADD', {}, annotated({ 'muslin.io/service-addresses': '["203.0.113.10/32", "203.0.113.11"]' }, {})),
  ],
  ['families 4', call('ADD', {}, annotated(null, { labels: null, args: null, dns: null }))],
  ['families 4 tap', call('ADD', {}, { tap: true })],
  ['families 4', call('ADD', {}, { tap: false })],
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

test('a caller may say that the namespace is the agent’s own, as libcni lets it', () => {
  for (const [text, expected] of [
    ['TRUE', true],
    ['1', true],
    ['true', true],
    ['0', false],
    ['', false],
  ] as const) {
    const request = accepted(call('ADD', { CNI_NETNS_OVERRIDE: text }));
    assert.equal(request.command === 'ADD' && request.mayBeOwnNamespace, expected, text);
  }
});

test('ADD after other plugins knows what they made', () => {
  const prevResult = { interfaces: [{ name: 'eth0' }, { name: 'lo', sandbox: '/run/netns/a' }] };
  const request = accepted(call('ADD', {}, { prevResult }));
  assert.deepEqual(request.command === 'ADD' && request.previous?.interfaces, prevResult.interfaces);
});

test('a message stays readable, however long the value that it quotes', () => {
  const long = 'x'.repeat(100_000);
  const calls = [
    call('ADD', { CNI_ARGS: long }),
    call('ADD', { CNI_ARGS: `${long}=1` }),
    call('ADD', { CNI_CONTAINERID: long }),
    call('ADD', { CNI_IFNAME: long }),
    call('ADD', {}, { name: long }),
    call('ADD', {}, { ipam: { [long]: 1 } }),
    call('ADD', {}, { cniVersion: long }),
  ];
  for (const result of calls) {
    const message = result.ok ? '' : result.error.message;
    assert.ok(message.length > 0 && message.length <= 1000, `${message.length} characters`);
  }
});

test('CHECK knows what ADD answered, whatever else the chain has made', () => {
  const chain = {
    interfaces: [{ name: 'lo', sandbox: '/run/netns/a' }, ...PREVIOUS.interfaces, { name: 'eth0' }],
    ips: [
      { address: '127.0.0.1/8', interface: 0 },
      { address: '10.1.0.7/32', interface: 2 },
      { address: 'fd00::7/128', interface: 2 },
      { address: '10.1.0.1/32', interface: 3 },
    ],
  };
  const bare = { ips: [{ address: '10.1.0.7/32' }, { address: 'fd00::7/128' }] };
  for (const prevResult of [PREVIOUS, chain, bare]) {
    const request = accepted(call('CHECK', {}, { prevResult }));
    assert.deepEqual(request.command === 'CHECK' && request.previousAddresses.map(formatIp), ['10.1.0.7', 'fd00::7']);
  }
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
  const expected = {
    cniVersion: '1.1.0',
    supportedVersions: ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
  };
  assert.deepEqual(JSON.parse(encodeVersions()), expected);
});

/** Values of every shape, deep ones too, where a call has its own. */
const PLACES: readonly ((value: unknown) => Document)[] = [
  ...['name', 'cniVersion', 'mtu', 'ipam', 'labels', 'args', 'dns', 'runtimeConfig', 'prevResult'].map(
    (key) => (value: unknown) => ({ [key]: value }),
  ),
  (value) => ({ args: { cni: value } }),
  (value) => ({ args: { cni: { labels: [value], ips: value, mac: value } } }),
  (value) => ({ ipam: { ipv4_pools: value, assign_ipv6: value } }),
  (value) => ({ runtimeConfig: { ips: value, mac: value, portMappings: value } }),
  (value) => annotated(value),
  (value) => annotated({ 'cni.projectcalico.org/ipAddrs': JSON.stringify(value), 'cni.muslin.io/labels': value }),
  (value) => ({ prevResult: { interfaces: [value], ips: [value], routes: [value], dns: value } }),
  (value) => ({ prevResult: { ip4: { ip: '10.1.0.7/32', routes: value }, ip6: value } }),
  (value) => ({ 'cni.dev/valid-attachments': value }),
];

test('a call is answered whatever its values are, and its result can be printed', () => {
  const values = fc.anything({ maxDepth: 4, withNullPrototype: false });
  fc.assert(
    fc.property(
      values,
      fc.nat(PLACES.length - 1),
      fc.constantFrom('ADD', 'CHECK', 'DEL', 'GC', 'STATUS'),
      (value, place, command) => {
        const document = { ...V110, ...PLACES[place]?.(jsonOf(value)) };
        const result = call(command, {}, document);
        if (!result.ok) assert.ok(result.error.message.length <= 1000);
        else if (result.request.command === 'ADD') {
          const nothing = { interfaces: [], addresses: [], routes: [] };
          const surroundings = { previous: result.request.previous, dns: result.request.configuration.dns };
          for (const version of CNI_VERSIONS) JSON.parse(encodeResult(version, nothing, surroundings));
        }
      },
    ),
    { numRuns: 3000 },
  );
});

/** A value as it would come out of JSON. */
function jsonOf(value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value) ?? 'null');
  } catch {
    return null; // a number too large for JSON, for one
  }
}

test('what is nested beyond all bounds is no JSON to us, wherever it is', () => {
  const deep = '['.repeat(200_000) + ']'.repeat(200_000);
  for (const input of [
    `{"cniVersion":"1.0.0","name":${deep}}`,
    `{"cniVersion":${deep}}`,
    `{"cniVersion":"1.0.0","name":"net","prevResult":{"interfaces":[{"x":${deep}}]}}`,
    JSON.stringify({ ...DOCUMENT, ...annotated({ 'cni.projectcalico.org/ipAddrs': deep }) }),
    JSON.stringify({ ...DOCUMENT, ...annotated({ 'cni.muslin.io/labels': `{"a":${deep}}` }) }),
  ]) {
    const result = call('ADD', {}, input);
    assert.match(result.ok ? '' : result.error.message, /is not JSON: nested more than 64 deep$/);
  }
});
