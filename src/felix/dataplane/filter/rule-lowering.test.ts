import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../desired/filter-settings.ts';
import type { DesiredRule, PortRange, RuleEnd, SetId } from '../../desired/policy.ts';
import { setId } from '../../desired/policy.ts';
import type { Dialect } from './program.ts';
import { IPTABLES_DIALECT, NFTABLES_DIALECT } from './program.ts';
import { lowerRule } from './rule-lowering.ts';
import { ruleText } from './rule-text.suite.ts';
import { SetParts } from './set-parts.ts';

const [four, both, mixed, empty, absent, web] = ['s:four', 's:both', 's:mixed', 's:empty', 's:absent', 'n:web'].map(
  setId,
) as [SetId, SetId, SetId, SetId, SetId, SetId];
const MEMBERS: readonly [SetId, 'nets' | 'ports', string[]][] = [
  [four, 'nets', ['10.0.0.1']],
  [both, 'nets', ['10.0.0.1', 'fd00::1']],
  [mixed, 'nets', ['10.0.0.1', '10.1.0.0/16']],
  [empty, 'nets', []],
  [web, 'ports', ['10.0.0.1,tcp:80']],
];

const NO_END: RuleEnd = {
  nets: [],
  notNets: [],
  sets: [],
  notSets: [],
  ports: [],
  portSets: [],
  notPorts: [],
  notPortSets: [],
};

type End = Partial<Omit<RuleEnd, 'nets' | 'notNets' | 'ports' | 'notPorts'>> & {
  readonly nets?: string[];
  readonly notNets?: string[];
  readonly ports?: (number | [number, number])[];
  readonly notPorts?: (number | [number, number])[];
};

type Asked = Partial<Omit<DesiredRule, 'source' | 'destination'>> & { readonly from?: End; readonly to?: End };

function end({ nets = [], notNets = [], ports = [], notPorts = [], ...others }: End): RuleEnd {
  return {
    ...NO_END,
    ...others,
    nets: nets.map(cidr),
    notNets: notNets.map(cidr),
    ports: ports.map(range),
    notPorts: notPorts.map(range),
  };
}

function range(port: number | [number, number]): PortRange {
  return typeof port === 'number' ? { first: port, last: port } : { first: port[0], last: port[1] };
}

function rule({ from = {}, to = {}, ...asked }: Asked): DesiredRule {
  return {
    index: 0,
    action: 'allow',
    family: undefined,
    protocol: undefined,
    notProtocol: undefined,
    icmp: undefined,
    notIcmp: undefined,
    provenance: { origin: 'test' },
    ...asked,
    source: end(from),
    destination: end(to),
  };
}

function lowered(asked: Asked, dialect: Dialect): string[] {
  const sets = new SetParts(dialect);
  for (const [id, kind, added] of MEMBERS) sets.update(id, { kind, added, removed: [] });
  return lowerRule(rule(asked), { dialect, sets, marks: FILTER_SETTINGS_DEFAULTS.marks }).map((step) => {
    const action =
      step.kind === 'note'
        ? ({ kind: 'mark', set: step.set, clear: step.clear } as const)
        : ({ kind: 'accept' } as const);
    return ruleText({ matches: step.matches, action, comment: '', provenance: undefined, origin: undefined });
  });
}

const THIRTY = Array.from({ length: 16 }, (_, index) => 100 + index);
const CLEAR = 'clear scratch0+scratch1';

/** What, the rule, in nftables, in iptables; one list where both are the same. */
const rows: readonly [string, Asked, string[], string[]?][] = [
  ['everything', {}, ['=> accept']],
  ['a family', { family: 6 }, ['ip6 => accept']],
  ['a protocol', { protocol: 47 }, ['protocol 47 => accept']],
  ['not a protocol', { notProtocol: 6 }, ['!protocol 6 => accept']],
  ['a protocol that it is, and another that it is not', { protocol: 6, notProtocol: 17 }, ['protocol 6 => accept']],
  ['a protocol that it is and is not', { protocol: 6, notProtocol: 6 }, []],
  [
    'ports, which say the protocol',
    { protocol: 6, to: { ports: [80, [8000, 8080]] } },
    ['tcp dport 80,8000-8080 => accept'],
  ],
  ['no ports of a protocol', { protocol: 17, from: { notPorts: [53] } }, ['protocol 17 | !udp sport 53 => accept']],
  ['ICMP', { family: 4, protocol: 1, icmp: { type: 8, code: 0 } }, ['icmp4 8/0 => accept']],
  [
    'ICMP of no family has the family of its number',
    { protocol: 58, icmp: { type: 128, code: undefined } },
    ['icmp6 128 => accept'],
  ],
  [
    'not a type of ICMP',
    { family: 4, protocol: 1, notIcmp: { type: 8, code: undefined } },
    ['protocol 1 | !icmp4 8 => accept'],
  ],
  ['ICMPv6 over IPv4', { family: 4, protocol: 58, icmp: { type: 128, code: undefined } }, []],
  ['prefixes', { family: 4, from: { nets: ['10.0.0.0/8'] } }, ['src 10.0.0.0/8 => accept']],
  [
    'several prefixes',
    { from: { nets: ['10.0.0.0/8', 'fd00::/8', '11.0.0.0/8'] } },
    ['src 10.0.0.0/8,11.0.0.0/8 => accept', 'src fd00::/8 => accept'],
    ['src 10.0.0.0/8 => accept', 'src 11.0.0.0/8 => accept', 'src fd00::/8 => accept'],
  ],
  ['prefixes of the other family', { family: 6, from: { nets: ['10.0.0.0/8'] } }, []],
  [
    'a prefix that it must not be of, of one family',
    { to: { notNets: ['10.0.0.0/8'] } },
    ['!dst 10.0.0.0/8 => accept', 'ip6 => accept'],
  ],
  [
    'a prefix without a part of it: one rule cannot have both in iptables',
    { family: 4, protocol: 6, from: { nets: ['10.0.0.0/8'], notNets: ['10.1.0.0/16'] } },
    ['protocol 6 | src 10.0.0.0/8 | !src 10.1.0.0/16 => accept'],
    [
      'ip4 => set scratch0, clear scratch1',
      'src 10.1.0.0/16 => clear scratch0',
      'protocol 6 | src 10.0.0.0/8 | mark scratch0 => accept',
    ],
  ],
  [
    'a prefix at one end and none at the other',
    { family: 4, from: { nets: ['10.0.0.0/8'] }, to: { notNets: ['10.1.0.0/16'] } },
    ['src 10.0.0.0/8 | !dst 10.1.0.0/16 => accept'],
  ],
  [
    'two prefixes that it must not be of',
    { family: 4, from: { notNets: ['10.1.0.0/16', '10.2.0.0/16'] } },
    ['!src 10.1.0.0/16,10.2.0.0/16 => accept'],
    [
      'ip4 => set scratch0, clear scratch1',
      'src 10.1.0.0/16 => clear scratch0',
      'src 10.2.0.0/16 => clear scratch0',
      'ip4 | mark scratch0 => accept',
    ],
  ],
  [
    'a set with members of one family',
    { from: { sets: [four] } },
    ['src @s:four/4/addresses => accept'],
    ['src @s:four/4/all => accept'],
  ],
  [
    'a set with members of both families',
    { from: { sets: [both] }, family: 6 },
    ['src @s:both/6/addresses => accept'],
    ['src @s:both/6/all => accept'],
  ],
  [
    'a set with addresses and prefixes',
    { from: { sets: [mixed] } },
    ['src @s:mixed/4/addresses => accept', 'src @s:mixed/4/prefixes => accept'],
    ['src @s:mixed/4/all => accept'],
  ],
  [
    'not in a set with addresses and prefixes, of one family alone',
    { to: { notSets: [mixed] } },
    ['!dst @s:mixed/4/addresses | !dst @s:mixed/4/prefixes => accept', 'ip6 => accept'],
    ['!dst @s:mixed/4/all => accept', 'ip6 => accept'],
  ],
  [
    'a set without members',
    { to: { sets: [empty] } },
    ['dst @s:empty/4/addresses => accept'],
    ['dst @s:empty/4/all => accept'],
  ],
  ['a set without members, of IPv6', { family: 6, to: { sets: [empty] } }, []],
  ['a set that is not there', { to: { sets: [absent] } }, []],
  ['not in a set that is not there', { family: 4, to: { notSets: [absent] } }, ['ip4 => accept']],
  ['a named port', { protocol: 6, to: { portSets: [web] } }, ['protocol 6 | dst port @n:web/4 => accept']],
  [
    'a port or a named port',
    { family: 4, protocol: 6, to: { ports: [443], portSets: [web] } },
    ['ip4 | protocol 6 | tcp dport 443 => accept', 'protocol 6 | dst port @n:web/4 => accept'],
  ],
  [
    'a port or a named port of both families: IPv6 has no such name',
    { protocol: 6, to: { ports: [443], portSets: [web] } },
    [
      'ip4 | protocol 6 | tcp dport 443 => accept',
      'protocol 6 | dst port @n:web/4 => accept',
      'ip6 | protocol 6 | tcp dport 443 => accept',
    ],
  ],
  [
    'not a named port',
    { family: 4, protocol: 6, to: { notPortSets: [web] } },
    ['protocol 6 | !dst port @n:web/4 => accept'],
  ],
  [
    'more ports than a rule of iptables holds',
    { protocol: 6, to: { ports: THIRTY } },
    [`tcp dport ${THIRTY.join(',')} => accept`],
    [`tcp dport ${THIRTY.slice(0, 15).join(',')} => accept`, 'tcp dport 115 => accept'],
  ],
  [
    'two choices with few combinations are written out',
    { family: 4, from: { sets: [mixed] }, to: { sets: [mixed] } },
    [
      'src @s:mixed/4/addresses | dst @s:mixed/4/addresses => accept',
      'src @s:mixed/4/addresses | dst @s:mixed/4/prefixes => accept',
      'src @s:mixed/4/prefixes | dst @s:mixed/4/addresses => accept',
      'src @s:mixed/4/prefixes | dst @s:mixed/4/prefixes => accept',
    ],
    ['src @s:mixed/4/all | dst @s:mixed/4/all => accept'],
  ],
  [
    'eight combinations are judged step by step in nftables, too',
    { family: 4, protocol: 6, from: { sets: [mixed] }, to: { sets: [mixed], ports: [80], portSets: [web] } },
    [
      `ip4 => ${CLEAR}`,
      'src @s:mixed/4/addresses => set scratch0',
      'src @s:mixed/4/prefixes => set scratch0',
      'ip4 | mark scratch0 | tcp dport 80 => set scratch1',
      'mark scratch0 | dst port @n:web/4 => set scratch1',
      'ip4 | !mark scratch1 => clear scratch0',
      'ip4 => clear scratch1',
      'mark scratch0 | dst @s:mixed/4/addresses => set scratch1',
      'mark scratch0 | dst @s:mixed/4/prefixes => set scratch1',
      'ip4 | !mark scratch1 => clear scratch0',
      'ip4 | protocol 6 | mark scratch0 => accept',
    ],
    [
      'protocol 6 | src @s:mixed/4/all | dst @s:mixed/4/all | tcp dport 80 => accept',
      'protocol 6 | src @s:mixed/4/all | dst @s:mixed/4/all | dst port @n:web/4 => accept',
    ],
  ],
  [
    'many combinations are judged step by step',
    {
      family: 4,
      protocol: 6,
      from: { nets: ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'], notNets: ['10.1.1.0/24'] },
      to: { nets: ['10.4.0.0/16', '10.5.0.0/16'], ports: [80], portSets: [web] },
    },
    [
      'protocol 6 | src 10.1.0.0/16,10.2.0.0/16,10.3.0.0/16 | !src 10.1.1.0/24 | dst 10.4.0.0/16,10.5.0.0/16 | tcp dport 80 => accept',
      'protocol 6 | src 10.1.0.0/16,10.2.0.0/16,10.3.0.0/16 | !src 10.1.1.0/24 | dst 10.4.0.0/16,10.5.0.0/16 | dst port @n:web/4 => accept',
    ],
    [
      `ip4 => ${CLEAR}`,
      'src 10.1.0.0/16 => set scratch0',
      'src 10.2.0.0/16 => set scratch0',
      'src 10.3.0.0/16 => set scratch0',
      'ip4 | mark scratch0 | tcp dport 80 => set scratch1',
      'mark scratch0 | dst port @n:web/4 => set scratch1',
      'ip4 | !mark scratch1 => clear scratch0',
      'ip4 => clear scratch1',
      'mark scratch0 | dst 10.4.0.0/16 => set scratch1',
      'mark scratch0 | dst 10.5.0.0/16 => set scratch1',
      'ip4 | !mark scratch1 => clear scratch0',
      'src 10.1.1.0/24 => clear scratch0',
      'ip4 | protocol 6 | mark scratch0 => accept',
    ],
  ],
];

for (const [what, asked, nftables, iptables = nftables] of rows) {
  test(`nftables: ${what}`, () => assert.deepEqual(lowered(asked, NFTABLES_DIALECT), nftables));
  test(`iptables: ${what}`, () => assert.deepEqual(lowered(asked, IPTABLES_DIALECT), iptables));
}
