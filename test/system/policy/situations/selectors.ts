/**
 * Whom selectors choose: as endpoints that a policy is for, and as the other side of its rules.
 *
 * A rule's selector in a policy of a namespace chooses in that namespace alone, unless a namespaceSelector stands beside it.
 * Negations choose those without the label, too.
 */
import type { Situation } from '../situation.ts';
import { calico, changed, globalPolicy } from './cast.ts';

interface Row {
  readonly selector: string;
  /** Of the cast, who is chosen. */
  readonly chosen: string;
}

const OPERATORS: readonly Row[] = [
  { selector: "app == 'web'", chosen: 'web' },
  { selector: "env != 'prod'", chosen: 'dev,guest' },
  { selector: "app in { 'web', 'mon', 'nobody' }", chosen: 'web,mon' },
  { selector: "env not in { 'prod', 'test' }", chosen: 'dev,guest' },
  { selector: "app contains 'e'", chosen: 'web,dev,guest' },
  { selector: "app starts with 'd'", chosen: 'db,dev' },
  { selector: "app ends with 'b'", chosen: 'web,db' },
  { selector: 'has(tier)', chosen: 'web,api,db' },
  { selector: '!has(env)', chosen: 'guest' },
  { selector: "tier == 'back' && has(secret)", chosen: 'db' },
  { selector: "app == 'guest' || role == 'monitoring'", chosen: 'guest,mon' },
  { selector: "!(tier == 'back' || env == 'dev') && has(env)", chosen: 'web,mon' },
  { selector: "projectcalico.org/namespace == 'ops'", chosen: 'mon,dev' },
];

/** Whoever is chosen takes TCP alone. */
function asEndpoints({ selector, chosen }: Row): Situation {
  return {
    name: `a policy for ${selector}`,
    resources: globalPolicy('chosen', `selector: "${selector}", ingress: [{ action: Allow, protocol: TCP }]`),
    expect: [`deny *,outside > ${chosen}`, `allow *,outside > ${chosen} tcp`],
  };
}

/** Whoever is chosen may send to everybody. */
function asSenders({ selector, chosen }: Row): Situation {
  return {
    name: `a rule for senders that are ${selector}`,
    resources: globalPolicy(
      'senders',
      `types: [Ingress], ingress: [{ action: Allow, source: { selector: "${selector}" } }]`,
    ),
    expect: ['deny *,outside > *', `allow ${chosen} > *`],
  };
}

/** What reaches web, by rules of a policy of its namespace. */
function inShop(...rules: string[]): string {
  return calico('NetworkPolicy', 'shop/to-web', `selector: "app == 'web'", ingress: [${rules.join(', ')}]`);
}

function toWeb(...rules: string[]): string {
  return globalPolicy('to-web', `selector: "app == 'web'", ingress: [${rules.join(', ')}]`);
}

const allow = (match: string) => `{ action: Allow, source: { ${match} } }`;

const PEERS: readonly Situation[] = [
  {
    name: 'a selector in a namespace’s policy chooses in the namespace',
    resources: inShop(allow('selector: "env == \'prod\'"')),
    expect: ['deny *,outside > web', 'allow api,db > web'],
  },
  {
    name: 'with a namespaceSelector it chooses in those namespaces',
    resources: inShop(allow(`selector: "env == 'prod'", namespaceSelector: "team == 'blue'"`)),
    expect: ['deny *,outside > web', 'allow mon > web'],
  },
  {
    name: 'a namespaceSelector alone chooses all in those namespaces',
    resources: inShop(allow('namespaceSelector: "has(trusted)"')),
    expect: ['deny *,outside > web', 'allow api,db,mon,dev > web'],
  },
  {
    name: 'namespaces by name',
    resources: inShop(allow(`namespaceSelector: "projectcalico.org/name in { 'partner', 'none' }"`)),
    expect: ['deny *,outside > web', 'allow guest > web'],
  },
  {
    name: 'all() namespaces: every container, and not the outside',
    resources: inShop(allow('namespaceSelector: all()')),
    expect: ['deny outside > web'],
  },
  {
    name: 'global() is no container',
    resources: inShop(allow('namespaceSelector: global()')),
    expect: ['deny *,outside > web'],
  },
  {
    name: 'a namespaceSelector in a global policy',
    resources: toWeb(allow(`namespaceSelector: "team != 'blue'", selector: "env == 'prod'"`)),
    expect: ['deny *,outside > web', 'allow api,db > web'],
  },
  {
    name: 'a global policy for the containers of some namespaces',
    resources: globalPolicy(
      'trusted',
      `namespaceSelector: "trusted == 'true'", selector: "env == 'prod'", types: [Ingress]`,
    ),
    expect: ['deny *,outside > web,api,db,mon'],
  },
  {
    name: 'whom a notSelector names is left out, and the outside is not',
    resources: toWeb(allow(`notSelector: "env == 'dev'"`)),
    expect: ['deny dev > web'],
  },
  {
    name: 'a selector without a part of it',
    resources: toWeb(allow(`selector: "env == 'prod'", notSelector: "has(secret)"`)),
    expect: ['deny *,outside > web', 'allow api,mon > web'],
  },
  {
    name: 'a notSelector in a namespace’s policy: who else is in the namespace',
    resources: inShop(allow(`notSelector: "has(secret)"`)),
    expect: ['deny *,outside > web', 'allow api > web'],
  },
  {
    name: 'a notSelector for receivers',
    resources: globalPolicy(
      'out',
      `selector: "app == 'web'", egress: [{ action: Allow, destination: { notSelector: "tier == 'back'" } }]`,
    ),
    expect: ['deny web > api,db', 'allow web > outside'],
  },
  {
    name: 'selectors at both ends',
    resources: globalPolicy(
      'both',
      `types: [Ingress], ingress: [{ action: Allow, source: { selector: has(tier) }, destination: { selector: "env == 'prod'" } }]`,
    ),
    expect: ['deny *,outside > *', 'allow web,api,db > web,api,db,mon'],
  },
  {
    name: 'a service account by its name',
    resources: inShop(allow('serviceAccounts: { names: [api, nobody] }')),
    expect: ['deny *,outside > web', 'allow api > web'],
  },
  {
    name: 'service accounts of other namespaces',
    resources: inShop(allow('serviceAccounts: { names: [mon, dev] }, namespaceSelector: all(), selector: has(role)')),
    expect: ['deny *,outside > web', 'allow mon > web'],
  },
  {
    name: 'service accounts by their labels',
    resources:
      calico('Profile', 'ksa.shop.db', 'labelsToApply: { pcsa.trust: high }') +
      changed('db', { profiles: ['kns.shop', 'ksa.shop.db'] }) +
      toWeb(allow(`serviceAccounts: { selector: "trust == 'high'" }`)),
    expect: ['deny *,outside > web', 'allow db > web'],
  },
  {
    name: 'a policy for those of some service accounts',
    resources:
      calico('Profile', 'ksa.shop.db', 'labelsToApply: { pcsa.trust: high }') +
      changed('db', { profiles: ['kns.shop', 'ksa.shop.db'] }) +
      globalPolicy('high', `serviceAccountSelector: "trust == 'high'", types: [Ingress]`),
    expect: ['deny *,outside > db'],
  },
  {
    name: 'a namespace gets another label, and is chosen by it',
    resources:
      'apiVersion: v1\nkind: Namespace\nmetadata: { name: partner, labels: { team: blue } }\n---\n' +
      toWeb(allow(`namespaceSelector: "team == 'blue'"`)),
    expect: ['deny *,outside > web', 'allow mon,dev,guest > web'],
  },
  {
    name: 'a container gets other labels: another policy is for it, and other rules choose it',
    resources:
      changed('dev', {}, { labels: { app: 'web', tier: 'front' } }) +
      toWeb(allow('selector: "tier == \'front\'"')) +
      globalPolicy('prod', `selector: "env == 'dev'", types: [Ingress]`),
    expect: ['deny *,outside > web,dev', 'allow web > dev', 'allow dev > web'],
  },
  {
    name: 'it gets its own back',
    resources:
      toWeb(allow('selector: "tier == \'front\'"')) +
      globalPolicy('prod', `selector: "env == 'dev'", types: [Ingress]`),
    expect: ['deny *,outside > web,dev'],
  },
  {
    name: 'a selector that chooses nobody, and one that leaves out nobody',
    resources:
      toWeb(allow('selector: has(nothing)')) +
      globalPolicy('to-db', `selector: "app == 'db'", ingress: [${allow('notSelector: has(nothing)')}]`),
    expect: ['deny *,outside > web'],
  },
];

export const SELECTORS: readonly Situation[] = [
  ...OPERATORS.flatMap((row) => [asEndpoints(row), asSenders(row)]),
  ...PEERS,
];
