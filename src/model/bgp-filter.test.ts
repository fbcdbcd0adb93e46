/** BGPFilter: conditions, actions and operations of rules. */
import type { KindRow } from './kind-rows.suite.ts';
import { checkRows } from './kind-rows.suite.ts';

const ACCEPT = { action: 'Accept' };
const IN = { action: 'Accept', cidr: '10.0.0.0/8', matchOperator: 'In' };
const operations = (...list: object[]) => ({ importV4: [{ ...ACCEPT, operations: list }] });
const ONE_OF = 'each item must be one of addCommunity, prependASPath, setPriority';

/** Rules of IPv4 that are taken as they stand. */
const PLAIN: readonly object[] = [
  ACCEPT,
  { action: 'Reject' },
  ...['Equal', 'NotEqual', 'In', 'NotIn'].map((matchOperator) => ({ ...IN, matchOperator })),
  { ...IN, prefixLength: { min: 16, max: 24 } },
  { ...IN, prefixLength: { max: 7 } },
  { ...IN, prefixLength: { min: 24, max: 24 } },
  { ...IN, prefixLength: { min: 0 } },
  { ...IN, prefixLength: {} },
  { ...ACCEPT, source: 'RemotePeers' },
  { ...ACCEPT, interface: '*.calico' },
  { ...ACCEPT, interface: 'eth0' },
  { ...ACCEPT, peerType: 'eBGP' },
  { ...ACCEPT, peerType: 'iBGP' },
  { ...ACCEPT, communities: { values: ['65000:100'] } },
  { ...ACCEPT, communities: { values: ['4294967295:1:0'] } },
  { ...ACCEPT, asPathPrefix: [65000, 65001] },
  { ...ACCEPT, priority: 1 },
  { ...ACCEPT, priority: 2147483646 },
  { ...ACCEPT, operations: [{ addCommunity: { value: '65000:1' } }] },
  { ...ACCEPT, operations: [{ prependASPath: { prefix: [65000, 65000] } }, { setPriority: { value: 512 } }] },
];

const rule = (title: string, fields: object, ...problems: string[]): KindRow => [
  title,
  { importV4: [ACCEPT, fields] },
  problems.map((problem) => `spec.importV4[1]${problem}`),
];

const ROWS: readonly KindRow[] = [
  ['no rules', undefined, {}],
  ...PLAIN.map((fields): KindRow => [JSON.stringify(fields), { exportV4: [fields] }, { exportV4: [fields] }]),
  [
    'IPv6',
    { importV6: [{ ...IN, cidr: 'FD00::/8', prefixLength: { min: 64, max: 128 } }], exportV6: [ACCEPT] },
    { importV6: [{ ...IN, cidr: 'fd00::/8', prefixLength: { min: 64, max: 128 } }], exportV6: [ACCEPT] },
  ],
  [
    'dotted AS numbers',
    { importV4: [{ ...ACCEPT, asPathPrefix: ['1.0'] }] },
    { importV4: [{ ...ACCEPT, asPathPrefix: [65536] }] },
  ],

  rule('no action', {}, '.action: is required'),
  rule('an action of policies', { action: 'Allow' }, '.action: "Allow" is not one of Accept, Reject'),
  rule(
    'a prefix without operator',
    { ...ACCEPT, cidr: '10.0.0.0/8' },
    '.matchOperator: is required with cidr: Equal, NotEqual, In or NotIn',
  ),
  rule('an operator without prefix', { ...ACCEPT, matchOperator: 'In' }, '.cidr: is required with matchOperator In'),
  rule(
    'an operator in the wrong case',
    { ...IN, matchOperator: 'in' },
    '.matchOperator: "in" is not one of Equal, NotEqual, In, NotIn; did you mean In?',
  ),
  rule('lengths without prefix', { ...ACCEPT, prefixLength: { min: 8 } }, '.cidr: is required with prefixLength'),
  rule(
    'lengths of IPv6',
    { ...IN, prefixLength: { min: 33, max: 64 } },
    '.prefixLength.min: 33 is too big: at most 32',
    '.prefixLength.max: 64 is too big: at most 32',
  ),
  rule('a negative length', { ...IN, prefixLength: { min: -1 } }, '.prefixLength.min: -1 is too small: at least 0'),
  rule(
    'swapped lengths',
    { ...IN, prefixLength: { min: 24, max: 16 } },
    '.prefixLength: min 24 is more than max 16; swap the two',
  ),
  rule('the wrong family', { ...IN, cidr: 'fd00::/8' }, '.cidr: "fd00::/8" is IPv6; IPv4 is needed'),
  rule('host bits', { ...IN, cidr: '10.0.0.1/8' }, '.cidr: "10.0.0.1/8" has host bits set; write 10.0.0.0/8'),
  rule('a source that is none', { ...ACCEPT, source: 'Remote' }, '.source: "Remote" is not one of RemotePeers'),
  rule(
    'a peer type in the wrong case',
    { ...ACCEPT, peerType: 'EBGP' },
    '.peerType: "EBGP" is not one of eBGP, iBGP; did you mean eBGP?',
  ),
  rule(
    'a device that is none',
    { ...ACCEPT, interface: 'eth 0' },
    '.interface: "eth 0" is not a device or a pattern of devices; write eth0, or cali* for all that begin so',
  ),
  rule(
    'no community',
    { ...ACCEPT, communities: { values: [] } },
    '.communities.values: [] is too small: at least 1 items',
  ),
  rule(
    'two communities',
    { ...ACCEPT, communities: { values: ['1:1', '1:2'] } },
    '.communities.values: ["1:1","1:2"] is too big: at most 1 items',
  ),
  rule(
    'a community that is none',
    { ...ACCEPT, communities: { values: ['65536:1'] } },
    '.communities.values[0]: must be aa:nn (each up to 65535) or aa:nn:mm (each up to 4294967295)',
  ),
  rule(
    'an AS number that is none',
    { ...ACCEPT, asPathPrefix: [0] },
    '.asPathPrefix[0]: 0 is not an AS number; write a number from 1 to 4294967295',
  ),
  rule('priority 0', { ...ACCEPT, priority: 0 }, '.priority: 0 is too small: at least 1'),
  rule(
    'a priority too big',
    { ...ACCEPT, priority: 2147483647 },
    '.priority: 2147483647 is too big: at most 2147483646',
  ),
  rule(
    'operations on what is rejected',
    { action: 'Reject', operations: [{ setPriority: { value: 1 } }] },
    '.operations: change routes, and this rule rejects them; remove one of the two',
  ),
  rule('a misspelt condition', { ...ACCEPT, match: 'In' }, '.match: unknown field'),

  ['no operations', operations(), ['spec.importV4[0].operations: [] is too small: at least 1 items']],
  [
    'ten operations',
    operations(...Array(10).fill({ setPriority: { value: 1 } })),
    operations(...Array(10).fill({ setPriority: { value: 1 } })),
  ],
  [
    'eleven operations',
    operations(...Array(11).fill({ setPriority: { value: 1 } })),
    [
      `spec.importV4[0].operations: ${JSON.stringify(Array(11).fill({ setPriority: { value: 1 } })).slice(0, 120)}… is too big: at most 10 items`,
    ],
  ],
  ['an empty operation', operations({}), [`spec.importV4[0].operations[0]: is empty; ${ONE_OF}`]],
  [
    'two operations in one',
    operations({ setPriority: { value: 1 }, addCommunity: { value: '1:1' } }),
    [`spec.importV4[0].operations[0]: has addCommunity and setPriority; ${ONE_OF}`],
  ],
  [
    'eleven AS numbers',
    operations({ prependASPath: { prefix: Array(11).fill(1) } }),
    ['spec.importV4[0].operations[0].prependASPath.prefix: [1,1,1,1,1,1,1,1,1,1,1] is too big: at most 10 items'],
  ],
  [
    'nothing to prepend',
    operations({ prependASPath: { prefix: [] } }),
    ['spec.importV4[0].operations[0].prependASPath.prefix: [] is too small: at least 1 items'],
  ],
  [
    'a priority to set that is none',
    operations({ setPriority: { value: 0 } }),
    ['spec.importV4[0].operations[0].setPriority.value: 0 is too small: at least 1'],
  ],
  ['a misspelt list', { importv4: [ACCEPT] }, ['spec.importv4: unknown field; did you mean importV4?']],
  ['a rule that is a list', { importV4: ACCEPT }, ['spec.importV4: must be a list, not {"action":"Accept"}']],
];

checkRows('BGPFilter', ROWS, 'filter');
