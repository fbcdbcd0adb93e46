/**
 * Many of a kind, and long ones: policies that share a chain, rules, prefixes, sets, names that the kernel has no room for.
 *
 * Policies that stand one after another with one selector are called from one chain, which returns after every few of them.
 */
import type { Situation } from '../situation.ts';
import { calico, globalPolicy, networkSet, tier } from './cast.ts';

const APPS = ['api', 'db', 'mon', 'dev', 'guest'];

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** A policy for web, one of many; `order` is its place among them. */
function one(order: number, rule: string, place = ''): string {
  return globalPolicy(
    `many-${order}`,
    `${place} order: ${order}, selector: "app == 'web'", types: [Ingress], ingress: [${rule}]`,
  );
}

const from = (action: string, app: string) => `{ action: ${action}, source: { selector: "app == '${app}'" } }`;
const nothing = (number: number) => `{ action: Allow, source: { nets: [192.0.2.${number}/32] } }`;

/** Fourteen policies, of which those at the places in `rules` say something else than the others. */
function fourteen(rules: Readonly<Record<number, string>>, place = ''): string {
  return numbers(14)
    .map((number) => one(number, rules[number] ?? nothing(number), place))
    .join('');
}

const LONG = 'a-policy-whose-name-is-much-longer-than-what-a-chain-of-the-kernel-may-be-called';

export const MANY: readonly Situation[] = [
  {
    name: 'fourteen policies with one selector: the first, the middle and the last allow',
    resources: fourteen({ 0: from('Allow', 'api'), 6: from('Allow', 'db'), 13: from('Allow', 'mon') }),
    expect: ['deny *,outside > web', 'allow api,db,mon > web'],
  },
  {
    name: 'fourteen policies: what an early one denies no later one allows, and the other way round',
    resources: fourteen({
      2: from('Deny', 'api'),
      3: from('Allow', 'db'),
      9: '{ action: Deny, source: { selector: "app == \'db\'" } }',
      11: '{ action: Allow }',
    }),
    expect: ['deny api > web'],
  },
  {
    name: 'fourteen policies: Pass from the middle of them',
    resources: tier('first', 'order: 10') + fourteen({ 4: from('Pass', 'dev'), 5: '{ action: Deny }' }, 'tier: first,'),
    expect: ['deny *,outside > web', 'allow dev > web'],
  },
  {
    name: 'fourteen policies with a staged one among them',
    resources:
      fourteen({ 13: '{ action: Allow }' }) +
      calico(
        'StagedGlobalNetworkPolicy',
        'staged',
        `order: 6.5, selector: "app == 'web'", types: [Ingress], ingress: [{ action: Deny }]`,
      ),
    expect: ['allow *,outside > web'],
  },
  {
    name: 'policies with one selector, and one with another between them',
    resources:
      fourteen({ 1: from('Allow', 'api'), 12: '{ action: Allow }' }) +
      globalPolicy('between', 'order: 6.5, selector: has(tier), types: [Ingress], ingress: [{ action: Deny }]'),
    expect: ['deny *,outside > web,api,db', 'allow api > web'],
  },
  {
    name: 'policies with one selector, and one of the other direction between them',
    resources:
      fourteen({ 12: '{ action: Allow }' }) +
      globalPolicy(
        'between',
        `order: 6.5, selector: "app == 'web'", types: [Egress], egress: [{ action: Deny, protocol: TCP }, { action: Allow }]`,
      ),
    expect: ['deny web > *,outside tcp'],
  },
  {
    name: 'a hundred rules, of which the last but one allows',
    resources: one(
      1,
      [...numbers(98).map((number) => nothing(number)), from('Allow', 'guest'), '{ action: Deny }'].join(', '),
    ),
    expect: ['deny *,outside > web', 'allow guest > web'],
  },
  {
    name: 'two hundred prefixes in one rule, the right ones last',
    resources: one(
      1,
      `{ action: Allow, source: { nets: [${numbers(200)
        .map((number) => `192.0.2.${number}/32`)
        .join(', ')}, 10.65.1.1/32, 10.65.0.2/32] } }`,
    ),
    expect: ['deny *,outside > web', 'allow db,api > web v4'],
  },
  {
    name: 'two hundred prefixes that are not to match',
    resources: one(
      1,
      `{ action: Allow, source: { notNets: [${numbers(200)
        .map((number) => `192.0.2.${number}/32`)
        .join(', ')}, 10.65.1.1/32] } }`,
    ),
    expect: ['deny *,outside > web v6', 'deny db > web'],
  },
  {
    name: 'many prefixes and many ports, denied',
    resources: one(
      1,
      `{ action: Deny, protocol: TCP, source: { nets: [10.65.1.1/32, 10.65.0.2/32, 192.0.2.0/24] }, destination: { ports: [${numbers(
        20,
      )
        .map((number) => 100 + 2 * number)
        .join(', ')}, 443] } }, { action: Allow }`,
    ),
    expect: ['deny db,api > web tcp/443 v4'],
  },
  {
    name: 'many prefixes and many ports, passed and logged',
    resources:
      tier('first', 'order: 10') +
      one(
        1,
        ['Log', 'Pass']
          .map(
            (action) =>
              `{ action: ${action}, protocol: TCP, source: { nets: [10.65.1.1/32, 10.65.0.2/32, 192.0.2.0/24] }, destination: { ports: [${numbers(
                20,
              )
                .map((number) => 100 + 2 * number)
                .join(', ')}, 443] } }`,
          )
          .join(', '),
        'tier: first,',
      ),
    expect: ['deny *,outside > web', 'allow db,api > web tcp/443 v4'],
  },
  {
    name: 'a set of a thousand prefixes',
    resources:
      one(1, '{ action: Allow, source: { selector: has(listed) } }') +
      networkSet(
        'large',
        'listed: "yes"',
        [
          ...numbers(1000).map((number) => `172.${16 + (number >> 8)}.${number & 255}.0/25`),
          '198.51.100.0/24',
          '"2001:db8:99::/64"',
        ].join(', '),
      ),
    expect: [
      'deny *,outside > web',
      'allow outside as 198.51.100.7 > web',
      'allow outside as 2001:db8:99::7 > web',
      'deny outside as 203.0.113.9 > web',
    ],
  },
  {
    name: 'a rule for each app, each with a set of its own',
    resources: one(
      1,
      APPS.map(
        (app, index) => `{ action: ${index % 2 === 0 ? 'Allow' : 'Deny'}, source: { selector: "app == '${app}'" } }`,
      ).join(', '),
    ),
    expect: ['deny *,outside > web', 'allow api,mon,guest > web'],
  },
  {
    name: 'names that are longer than chains may be called, and differ at the end only',
    resources:
      globalPolicy(
        `${LONG}-1`,
        `order: 1, selector: "app == 'web'", types: [Ingress], ingress: [${from('Allow', 'api')}]`,
      ) +
      globalPolicy(
        `${LONG}-2`,
        `order: 1, selector: "app == 'db'", types: [Ingress], ingress: [${from('Allow', 'web')}]`,
      ) +
      calico(
        'NetworkPolicy',
        `shop/${LONG}-1`,
        `order: 2, selector: "app == 'web'", types: [Ingress], ingress: [{ action: Allow, source: { selector: "app == 'db'" } }]`,
      ) +
      calico(
        'NetworkPolicy',
        `ops/${LONG}-1`,
        `order: 2, selector: "app == 'mon'", types: [Ingress], ingress: [{ action: Deny }]`,
      ),
    expect: ['deny *,outside > web,db,mon', 'allow api,db > web', 'allow web > db'],
  },
  {
    name: 'one policy of a name in each namespace, and a global one',
    resources: ['shop/same', 'ops/same', 'partner/same']
      .map((name) =>
        calico(
          'NetworkPolicy',
          name,
          'order: 1, types: [Ingress], ingress: [{ action: Allow, source: { selector: all() } }]',
        ),
      )
      .concat(
        globalPolicy(
          'same',
          'order: 2, types: [Ingress], ingress: [{ action: Allow, source: { selector: "app == \'guest\'" } }]',
        ),
      )
      .join(''),
    expect: ['deny *,outside > *', 'allow web,api,db > web,api,db', 'allow mon,dev > mon,dev', 'allow guest > *'],
  },
  {
    name: 'twelve tiers, each passing on what the next decides',
    resources: numbers(12)
      .map(
        (number) =>
          tier(`tier-${number}`, `order: ${number}`) +
          globalPolicy(
            `of-${number}`,
            `tier: tier-${number}, selector: "app == 'web'", types: [Ingress], ingress: [${APPS[number] === undefined ? '' : `${from('Deny', APPS[number])}, `}{ action: Pass }]`,
          ),
      )
      .join(''),
    expect: ['deny * > web'],
  },
  {
    name: 'a rule that only a proxy could enforce allows nothing',
    isBeyondNaive: true,
    resources: one(
      1,
      `{ action: Allow, protocol: TCP, http: { methods: [GET], paths: [{ prefix: /public }] } }, ${from('Allow', 'db')}`,
    ),
    expect: ['deny *,outside > web', 'allow db > web'],
  },
];
