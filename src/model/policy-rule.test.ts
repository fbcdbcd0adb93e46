/** Rules of policies: each field, each end, and what goes with what. */
import type { KindRow } from './kind-rows.suite.ts';
import { checkRows } from './kind-rows.suite.ts';

const POLICY = { tier: 'default', order: null, selector: 'all()', ingress: [], egress: [] };
const ENDS = { source: {}, destination: {} };
const TCP = { protocol: 'TCP' };
const LONG = `a == "${'x'.repeat(1020)}"`;
const PROTOCOLS = 'TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a protocol number from 1 to 255';

/** An ingress rule that is taken, and what it has become as far as that differs. */
function taken(title: string, fields: object, becomes: object = {}): KindRow {
  const ingress = [{ action: 'Allow', ...ENDS, ...fields, ...becomes }];
  return [title, { ingress: [{ action: 'Allow', ...fields }] }, { ...POLICY, types: ['Ingress'], ingress }];
}

function takenEgress(title: string, fields: object): KindRow {
  const egress = [{ action: 'Allow', ...ENDS, ...fields }];
  return [title, { egress: [{ action: 'Allow', ...fields }] }, { ...POLICY, types: ['Egress'], egress }];
}

/** Rules that are refused: each problem is given without the place of the rule. */
function refused(title: string, fields: object, ...problems: string[]): KindRow {
  return [title, { ingress: [{ action: 'Allow', ...fields }] }, problems.map((problem) => `spec.ingress[0]${problem}`)];
}

function refusedEgress(title: string, fields: object, ...problems: string[]): KindRow {
  return [title, { egress: [{ action: 'Allow', ...fields }] }, problems.map((problem) => `spec.egress[0]${problem}`)];
}

const ACTIONS: readonly KindRow[] = [
  ...['Allow', 'Deny', 'Log', 'Pass'].map((action) => taken(`action ${action}`, { action })),
  refused(
    'lower case',
    { action: 'allow' },
    '.action: "allow" is not one of Allow, Deny, Log, Pass; did you mean Allow?',
  ),
  refused('the old name of Pass', { action: 'next-tier' }, '.action: "next-tier" is not one of Allow, Deny, Log, Pass'),
  ['no action', { ingress: [{}] }, ['spec.ingress[0].action: is required']],
  refused('an unknown field', { sources: {} }, '.sources: unknown field; did you mean source?'),
  ['no list', { ingress: {} }, ['spec.ingress: must be a list, not {}']],
  ['an empty rule list', { ingress: [] }, { ...POLICY, types: ['Ingress'] }],
  ['as many rules as there may be', rulesTimes(1024), { ...rulesBecome(1024) }],
  [
    'one rule more',
    rulesTimes(1025),
    [`spec.ingress: ${JSON.stringify(rulesTimes(1025).ingress).slice(0, 120)}… is too big: at most 1024 items`],
  ],
  taken('annotations', { metadata: { annotations: { why: 'because, of course' } } }),
  refused(
    'an annotation that is no text',
    { metadata: { annotations: { a: 1 } } },
    ".metadata.annotations.a: must be text, not 1; put it in quotes: '1'",
  ),
  refused('other metadata', { metadata: { name: 'x' } }, '.metadata.name: unknown field'),
];

function rulesTimes(count: number): { readonly ingress: readonly object[] } {
  return { ingress: Array.from({ length: count }, () => ({ action: 'Deny' })) };
}

function rulesBecome(count: number): object {
  return { ...POLICY, types: ['Ingress'], ingress: rulesTimes(count).ingress.map((rule) => ({ ...rule, ...ENDS })) };
}

const PROTOCOL_ROWS: readonly KindRow[] = [
  ...['TCP', 'UDP', 'SCTP', 'UDPLite', 2, 6, 255].map((protocol) => taken(`protocol ${protocol}`, { protocol })),
  ...['TCP', 'ICMPv6', 89].map((notProtocol) => taken(`notProtocol ${notProtocol}`, { notProtocol })),
  taken('ICMP is of IPv4', { protocol: 'ICMP' }, { ipVersion: 4 }),
  taken('ICMPv6 is of IPv6', { protocol: 'ICMPv6' }, { ipVersion: 6 }),
  taken('ICMP by number', { protocol: 1 }, { ipVersion: 4 }),
  taken('ICMPv6 by number', { protocol: 58 }, { ipVersion: 6 }),
  taken('ICMP with its version', { protocol: 'ICMP', ipVersion: 4 }),
  taken('IPv4', { ipVersion: 4 }),
  taken('IPv6', { ...TCP, ipVersion: 6 }),
  refused('protocol 0', { protocol: 0 }, '.protocol: 0 is too small: at least 1'),
  refused('protocol 256', { protocol: 256 }, '.protocol: 256 is too big: at most 255'),
  ...[1.5, 'tcp', '6', 'IGMP', '', true].map((protocol) =>
    refused(
      `protocol ${JSON.stringify(protocol)}`,
      { protocol },
      `.protocol: must be ${PROTOCOLS}, not ${JSON.stringify(protocol)}`,
    ),
  ),
  refused('notProtocol', { notProtocol: 'tcp' }, `.notProtocol: must be ${PROTOCOLS}, not "tcp"`),
  ...[0, 5, '4', null].map((ipVersion) =>
    refused(`IPv${ipVersion}`, { ipVersion }, `.ipVersion: must be 4 or 6, not ${JSON.stringify(ipVersion)}`),
  ),
  refused(
    'ICMP in IPv6',
    { protocol: 'ICMP', ipVersion: 6 },
    '.ipVersion: 6 does not go with protocol ICMP, which is of IPv4; write 4 or remove it',
  ),
  refused(
    'ICMPv6 in IPv4',
    { protocol: 'ICMPv6', ipVersion: 4 },
    '.ipVersion: 4 does not go with protocol ICMPv6, which is of IPv6; write 6 or remove it',
  ),
  refused(
    'ICMP by number in IPv6',
    { protocol: 1, ipVersion: 6 },
    '.ipVersion: 6 does not go with protocol 1, which is of IPv4; write 4 or remove it',
  ),
];

const ICMP = { protocol: 'ICMP', ipVersion: 4 };

const ICMP_ROWS: readonly KindRow[] = [
  ...[{ type: 8 }, { type: 0, code: 0 }, { type: 254, code: 255 }, {}].map((icmp) =>
    taken(`icmp ${JSON.stringify(icmp)}`, { ...ICMP, icmp }),
  ),
  taken('notICMP', { ...ICMP, notICMP: { type: 8, code: 0 } }),
  taken('ICMPv6', { protocol: 'ICMPv6', icmp: { type: 128 } }, { ipVersion: 6 }),
  refused('a type that is too big', { ...ICMP, icmp: { type: 255 } }, '.icmp.type: 255 is too big: at most 254'),
  refused('a type below 0', { ...ICMP, notICMP: { type: -1 } }, '.notICMP.type: -1 is too small: at least 0'),
  refused(
    'a code that is too big',
    { ...ICMP, icmp: { type: 3, code: 256 } },
    '.icmp.code: 256 is too big: at most 255',
  ),
  refused('a type by name', { ...ICMP, icmp: { type: 'echo' } }, '.icmp.type: must be a number, not "echo"'),
  refused('a code alone', { ...ICMP, icmp: { code: 1 } }, '.icmp.code: 1 means nothing without a type; set type, too'),
  refused(
    'a code alone, negated',
    { ...ICMP, notICMP: { code: 1 } },
    '.notICMP.code: 1 means nothing without a type; set type, too',
  ),
  refused('ICMP of TCP', { ...TCP, icmp: { type: 8 } }, '.icmp: needs protocol ICMP or ICMPv6, not TCP'),
  refused('ICMP of anything', { notICMP: { type: 8 } }, '.notICMP: needs protocol ICMP or ICMPv6'),
  refused('notIcmp', { ...ICMP, notIcmp: {} }, '.notIcmp: unknown field; did you mean notICMP?'),
];

const GET = { methods: ['GET'] };
const NO_PATH = 'is not a path; it begins with "/" and has no "?" or "#"';

const HTTP_ROWS: readonly KindRow[] = [
  taken('methods', { ...TCP, http: { methods: ['GET', 'PUT'] } }),
  taken('any protocol', { http: GET }),
  taken('TCP by number', { protocol: 6, http: GET }),
  taken('paths', { ...TCP, http: { paths: [{ exact: '/a' }, { prefix: '/b/' }] } }),
  taken('no match at all', { http: {} }),
  refused(
    'a method twice',
    { http: { methods: ['GET', 'PUT', 'GET'] } },
    '.http.methods[2]: "GET" is there twice; remove one of them',
  ),
  refused(
    'a method in lower case',
    { http: { methods: ['get'] } },
    '.http.methods[0]: must be a method in upper case, such as GET',
  ),
  refused(
    'too many methods',
    { http: { methods: words(21) } },
    `.http.methods: ${JSON.stringify(words(21)).slice(0, 120)} is too big: at most 20 items`,
  ),
  taken('as many methods as there may be', { http: { methods: words(20) } }),
  refused(
    'both kinds of path',
    { http: { paths: [{ exact: '/a', prefix: '/b' }] } },
    '.http.paths[0]: must have one of exact and prefix',
  ),
  refused('neither kind of path', { http: { paths: [{}] } }, '.http.paths[0]: must have one of exact and prefix'),
  refused('a path from nowhere', { http: { paths: [{ exact: 'a' }] } }, `.http.paths[0].exact: "a" ${NO_PATH}`),
  refused('a query', { http: { paths: [{ prefix: '/a?b=c' }] } }, `.http.paths[0].prefix: "/a?b=c" ${NO_PATH}`),
  refused('a fragment', { http: { paths: [{ exact: '/a#b' }] } }, `.http.paths[0].exact: "/a#b" ${NO_PATH}`),
  refused(
    'too many paths',
    { http: { paths: paths(21) } },
    `.http.paths: ${JSON.stringify(paths(21)).slice(0, 120)}… is too big: at most 20 items`,
  ),
  refused('another action', { action: 'Deny', http: GET }, '.http: needs action Allow, not Deny'),
  refused('another protocol', { protocol: 'UDP', http: GET }, '.http: needs protocol TCP, not UDP'),
  refusedEgress('another direction', { ...TCP, http: GET }, '.http: can stand in ingress rules only'),
];

function words(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String.fromCharCode(65 + index));
}

function paths(count: number): object[] {
  return Array.from({ length: count }, (_, index) => ({ exact: `/${index}` }));
}

const NETS_ROWS: readonly KindRow[] = [
  taken(
    'prefixes and addresses',
    { source: { nets: ['10.0.0.0/8', '192.0.2.1'] } },
    { source: { nets: ['10.0.0.0/8', '192.0.2.1/32'] } },
  ),
  taken(
    'canonical IPv6',
    { destination: { nets: ['FD00:0::/64', 'fd00::A'] } },
    { destination: { nets: ['fd00::/64', 'fd00::a/128'] } },
  ),
  taken('prefixes on both ends', {
    source: { nets: ['10.0.0.0/8'], notNets: ['10.1.0.0/16'] },
    destination: { notNets: ['192.0.2.0/24'] },
  }),
  taken('everything', { source: { nets: ['0.0.0.0/0'] } }),
  refused(
    'host bits',
    { source: { nets: ['10.0.0.1/8'] } },
    '.source.nets[0]: "10.0.0.1/8" has host bits set; write 10.0.0.0/8',
  ),
  refused(
    'no prefix',
    { source: { notNets: ['10.0.0.0/8', 'example.org'] } },
    '.source.notNets[1]: "example.org" is not a prefix; write ADDRESS/LENGTH',
  ),
  refused(
    'too long a prefix',
    { source: { nets: ['10.0.0.0/33'] } },
    '.source.nets[0]: "10.0.0.0/33" is not a prefix; its length must be 0 to 32',
  ),
  refused('a prefix and no list', { source: { nets: '10.0.0.0/8' } }, '.source.nets: must be a list, not "10.0.0.0/8"'),
  refused(
    'families mixed in a list',
    { source: { nets: ['10.0.0.0/8', 'fd00::/8'] } },
    '.source.nets[1]: "fd00::/8" is IPv6, but "10.0.0.0/8" in the same rule is IPv4; write a rule for each',
  ),
  refused(
    'families mixed in an end',
    { source: { nets: ['fd00::/8'], notNets: ['10.0.0.0/8'] } },
    '.source.notNets[0]: "10.0.0.0/8" is IPv4, but "fd00::/8" in the same rule is IPv6; write a rule for each',
  ),
  refused(
    'families mixed in a rule',
    { source: { nets: ['10.0.0.0/8'] }, destination: { nets: ['fd00::1'] } },
    '.destination.nets[0]: "fd00::1/128" is IPv6, but "10.0.0.0/8" in the same rule is IPv4; write a rule for each',
  ),
  refused(
    'not anything',
    { source: { notNets: ['0.0.0.0/0'] } },
    '.source.notNets[0]: "0.0.0.0/0" leaves nothing to match; remove it, or the rule',
  ),
  refused(
    'not anything of IPv6',
    { destination: { notNets: ['::/0'] } },
    '.destination.notNets[0]: "::/0" leaves nothing to match; remove it, or the rule',
  ),
  taken('as many prefixes as there may be', { source: { nets: nets(256) } }),
  refused(
    'too many prefixes',
    { source: { nets: nets(257) } },
    `.source.nets: ${JSON.stringify(nets(257)).slice(0, 120)}… is too big: at most 256 items`,
  ),
];

function nets(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `10.0.${index >> 8}.${index & 255}/32`);
}

const ALONE = 'global() must stand alone; write two rules, one with global() and one with the rest';
const ELSEWHERE = 'global() has a meaning only as the namespaceSelector of a source or destination';

const SELECTOR_ROWS: readonly KindRow[] = [
  taken('selectors', { source: { selector: "app == 'web'", notSelector: 'has(old)', namespaceSelector: 'all()' } }),
  taken('global()', { source: { namespaceSelector: 'global()', selector: 'has(a)' } }),
  taken('an empty selector', { destination: { selector: '' } }),
  ...['selector', 'notSelector', 'namespaceSelector'].map((field) =>
    refused(
      `no ${field}`,
      { source: { [field]: 'app = 1' } },
      `.source.${field}: "app = 1" is not a selector: at character 5: expected an operator after the label "app": ==, !=, in, not in, contains, starts with or ends with; equality is written "=="`,
    ),
  ),
  ...['selector', 'notSelector'].map((field) =>
    refused(`global() as ${field}`, { source: { [field]: 'global()' } }, `.source.${field}: "global()": ${ELSEWHERE}`),
  ),
  ...['global() || has(a)', '!global()', 'has(b) && (global() || all())'].map((text) =>
    refused(text, { source: { namespaceSelector: text } }, `.source.namespaceSelector: "${text}": ${ALONE}`),
  ),
  taken('a selector of the greatest length', { source: { selector: LONG.slice(0, 1023).concat('"') } }),
  refused(
    'too long a selector',
    { source: { selector: LONG } },
    `.source.selector: is ${LONG.length} characters long; at most 1024`,
  ),
  taken('service accounts', { source: { serviceAccounts: { names: ['a', 'b'], selector: 'has(x)' } } }),
  taken('any service account', { source: { serviceAccounts: {} } }),
  refused(
    'service accounts that are none',
    { source: { serviceAccounts: { names: ['A'], selector: 'has x' } } },
    '.source.serviceAccounts.names[0]: "A" is not a name: lower-case letters, digits, "-" and ".", with a letter or digit at each end; write a',
    '.source.serviceAccounts.selector: "has x" is not a selector: at character 5: expected an operator after the label "has": ==, !=, in, not in, contains, starts with or ends with',
  ),
];

const SERVICE = { services: { name: 'dns', namespace: 'kube-system' } };
const NOT_BESIDE = 'cannot stand beside services; write a rule for each';

const SERVICE_ROWS: readonly KindRow[] = [
  taken('a service as source of ingress', { source: SERVICE }),
  taken('a service in the own namespace', { source: { services: { name: 'dns' } } }),
  taken('a service and ports of the source', { ...TCP, source: { ...SERVICE, ports: [53] } }),
  takenEgress('a service as destination of egress', { destination: SERVICE }),
  refused(
    'as destination of ingress',
    { destination: SERVICE },
    '.destination.services: an ingress rule can name a service as its source only',
  ),
  refusedEgress(
    'as source of egress',
    { source: SERVICE },
    '.source.services: an egress rule can name a service as its destination only',
  ),
  ...Object.entries({
    selector: 'all()',
    notSelector: 'has(a)',
    namespaceSelector: 'all()',
    nets: ['10.0.0.0/8'],
    notNets: ['10.0.0.0/8'],
    serviceAccounts: {},
  }).map(([field, value]) =>
    refusedEgress(
      `beside ${field}`,
      { destination: { ...SERVICE, [field]: value } },
      `.destination.${field}: ${NOT_BESIDE}`,
    ),
  ),
  ...['ports', 'notPorts'].map((field) =>
    refusedEgress(
      `beside ${field}`,
      { ...TCP, destination: { ...SERVICE, [field]: [53] } },
      `.destination.${field}: cannot stand beside services: the service says which ports; remove one of the two`,
    ),
  ),
  refusedEgress('no name', { destination: { services: {} } }, '.destination.services.name: is required'),
];

const NO_PORT = 'is not a port; write a number from 1 to 65535, or "first:last"';

const PORT_ROWS: readonly KindRow[] = [
  taken(
    'ports of each form',
    { ...TCP, destination: { ports: [80, '443', '8000:8080', 'http', '90:90'] } },
    { destination: { ports: [80, 443, '8000:8080', 'http', 90] } },
  ),
  taken('the first and the last port', { protocol: 'UDP', source: { ports: [1, 65535, '1:65535'] } }),
  taken('negated ports', { protocol: 'SCTP', source: { notPorts: [22] } }),
  taken('TCP by number', { protocol: 6, source: { ports: [22] } }),
  taken('named ports of any protocol', { destination: { ports: ['http', 'h.t_t-p'] } }),
  taken('as many ports as there may be', { ...TCP, source: { ports: numbers(50) } }),
  refused(
    'too many ports',
    { ...TCP, source: { ports: numbers(51) } },
    `.source.ports: ${JSON.stringify(numbers(51)).slice(0, 120)}… is too big: at most 50 items`,
  ),
  ...[0, 65536, -1, 1.5, '0', '80:', '1:65536', '1:2:3', '80a'].map((port) =>
    refused(
      `port ${JSON.stringify(port)}`,
      { ...TCP, source: { ports: [port] } },
      `.source.ports[0]: ${JSON.stringify(port)} ${NO_PORT}`,
    ),
  ),
  refused('a dash', { ...TCP, source: { ports: ['80-90'] } }, '.source.ports[0]: "80-90" is not a port; write "80:90"'),
  refused(
    'backwards',
    { ...TCP, source: { ports: ['90:80'] } },
    '.source.ports[0]: "90:80" runs backwards; write "80:90"',
  ),
  ...['', 'a b', 'x'.repeat(129), '-1:2'].map((port) =>
    refused(
      `port name ${JSON.stringify(port)}`,
      { ...TCP, source: { ports: [port] } },
      `.source.ports[0]: ${quoted(port)} is not a port; write a number, "first:last", or the name of a port`,
    ),
  ),
  refused(
    'no port',
    { ...TCP, source: { ports: [true] } },
    '.source.ports[0]: must be a port: 80, "8000:8080", or the name of a port',
  ),
  refused(
    'a number without protocol',
    { source: { ports: [80] } },
    '.source.ports: port 80 needs a protocol: set protocol to TCP, UDP or SCTP',
  ),
  refused(
    'a range without protocol',
    { destination: { notPorts: ['http', '1:2'] } },
    '.destination.notPorts: port 1:2 needs a protocol: set protocol to TCP, UDP or SCTP',
  ),
  refused(
    'a negated protocol',
    { notProtocol: 'TCP', source: { ports: [80] } },
    '.source.ports: port 80 needs a protocol: set protocol to TCP, UDP or SCTP',
  ),
  ...['ICMP', 'UDPLite', 89].map((protocol) =>
    refused(
      `ports of ${protocol}`,
      { protocol, destination: { ports: [80] } },
      `.destination.ports: protocol ${protocol} has no ports; TCP, UDP and SCTP have`,
    ),
  ),
  refused(
    'named ports of ICMP',
    { protocol: 'ICMP', destination: { notPorts: ['http'] } },
    '.destination.notPorts: protocol ICMP has no ports; TCP, UDP and SCTP have',
  ),
];

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

function quoted(text: string): string {
  const json = JSON.stringify(text);
  return json.length > 120 ? `${json.slice(0, 120)}…` : json;
}

for (const rows of [ACTIONS, PROTOCOL_ROWS, ICMP_ROWS, HTTP_ROWS, NETS_ROWS, SELECTOR_ROWS, SERVICE_ROWS, PORT_ROWS]) {
  checkRows('NetworkPolicy', rows, 'x');
}
