/**
 * Network sets, profiles and staged policies: what stands behind a selector, after all tiers, and beside what is enforced.
 */
import type { Situation } from '../situation.ts';
import { calico, changed, globalPolicy, kubernetes, networkSet, tier } from './cast.ts';

/** Only what a rule allows reaches web. */
function toWeb(...rules: string[]): string {
  return globalPolicy('to-web', `selector: "app == 'web'", ingress: [${rules.join(', ')}]`);
}

const allow = (match: string) => `{ action: Allow, source: { ${match} } }`;
const PARTNERS = toWeb(allow('selector: "partner == \'yes\'"'));
const FROM = { near: 'outside as 198.51.100.7', far: 'outside as 203.0.113.9', six: 'outside as 2001:db8:99::7' };

export const NETWORK_SETS: readonly Situation[] = [
  {
    name: 'a set of networks by its label',
    resources: PARTNERS + networkSet('near', 'partner: "yes"', '198.51.100.0/24, "2001:db8:99::/64"'),
    expect: ['deny *,outside > web', `allow ${FROM.near} > web`, `allow ${FROM.six} > web`, `deny ${FROM.far} > web`],
  },
  {
    name: 'prefixes within prefixes',
    resources:
      PARTNERS +
      networkSet(
        'near',
        'partner: "yes"',
        '198.51.0.0/16, 198.51.100.0/24, 198.51.100.7, "2001:db8::/32", "2001:db8:99::/64"',
      ),
    expect: ['deny *,outside > web', `allow ${FROM.near} > web`, `allow ${FROM.six} > web`, `deny ${FROM.far} > web`],
  },
  {
    name: 'the widest of them go, and those within hold on',
    resources: PARTNERS + networkSet('near', 'partner: "yes"', '198.51.100.0/24, 198.51.100.7, "2001:db8:99::/64"'),
    expect: ['deny *,outside > web', `allow ${FROM.near} > web`, `allow ${FROM.six} > web`, `deny ${FROM.far} > web`],
  },
  {
    name: 'others take their place, and one of a family goes for good',
    resources: PARTNERS + networkSet('near', 'partner: "yes"', '198.51.100.0/25, 198.51.100.7/32, "2001:db8:98::/64"'),
    expect: ['deny *,outside > web', `allow ${FROM.near} > web`, `deny ${FROM.six} > web`],
  },
  {
    name: 'a set that has become empty',
    resources: PARTNERS + networkSet('near', 'partner: "yes"', ''),
    expect: ['deny *,outside > web', `deny ${FROM.near} > web`],
  },
  {
    name: 'all addresses there are, as a set',
    resources: PARTNERS + networkSet('all', 'partner: "yes"', '0.0.0.0/0, "::/0"'),
    expect: ['allow *,outside > web', `allow ${FROM.near} > web`, `allow ${FROM.six} > web`],
  },
  {
    name: 'all addresses there are go again',
    resources: PARTNERS + networkSet('all', 'partner: "yes"', '203.0.113.0/24'),
    expect: ['deny *,outside > web', `allow ${FROM.far} > web`, `deny ${FROM.near} > web`],
  },
  {
    name: 'two sets and a container behind one selector',
    resources:
      toWeb(allow("selector: \"partner == 'yes' || app == 'dev'\"")) +
      networkSet('near', 'partner: "yes"', '198.51.100.0/24') +
      networkSet('far', 'partner: "yes"', '203.0.113.9'),
    expect: ['deny *,outside > web', 'allow dev > web', `allow ${FROM.near} > web`, `allow ${FROM.far} > web`],
  },
  {
    name: 'a set that covers containers',
    resources: PARTNERS + networkSet('hosts', 'partner: "yes"', '10.65.1.0/24, 10.65.1.1/32'),
    expect: ['deny *,outside > web', 'allow db,mon,guest > web v4'],
  },
  {
    name: 'whoever is not in a set',
    resources:
      toWeb(allow('notSelector: "partner == \'no\'"')) +
      networkSet('bad', 'partner: "no"', '203.0.113.0/24, 10.65.0.0/24'),
    expect: ['deny api,dev > web v4', `deny ${FROM.far} > web`, `allow ${FROM.near} > web`],
  },
  {
    name: 'a set that may not be reached by anybody',
    resources:
      globalPolicy(
        'threats',
        `types: [Egress], egress: [{ action: Deny, destination: { selector: has(threat) } }, { action: Allow }]`,
      ) + networkSet('feed', 'threat: feed', '203.0.113.0/24, 169.254.169.254/32, "2001:db8:99::/64"'),
    expect: [
      'deny * > 203.0.113.9',
      'deny * > 169.254.169.254',
      'deny * > 2001:db8:99::7',
      'allow * > 198.51.100.7,outside',
    ],
  },
  {
    name: 'a namespace’s set is for the policies of the namespace',
    resources:
      calico(
        'NetworkPolicy',
        'shop/to-web',
        `selector: "app == 'web'", ingress: [${allow('selector: "partner == \'yes\'"')}]`,
      ) +
      networkSet('shop/near', 'partner: "yes"', '198.51.100.0/24') +
      networkSet('ops/far', 'partner: "yes"', '203.0.113.0/24'),
    expect: ['deny *,outside > web', `allow ${FROM.near} > web`, `deny ${FROM.far} > web`],
  },
  {
    name: 'global() chooses the sets that are in no namespace',
    resources:
      calico(
        'NetworkPolicy',
        'shop/to-web',
        `selector: "app == 'web'", ingress: [${allow('selector: "partner == \'yes\'", namespaceSelector: global()')}]`,
      ) +
      networkSet('shop/near', 'partner: "yes"', '198.51.100.0/24') +
      networkSet('far', 'partner: "yes"', '203.0.113.0/24'),
    expect: ['deny *,outside > web', `deny ${FROM.near} > web`, `allow ${FROM.far} > web`],
  },
];

const PROFILE = (name: string, ingress: string) =>
  calico('Profile', name, `ingress: [${ingress}], egress: [{ action: Allow }]`);

export const PROFILES: readonly Situation[] = [
  {
    name: 'the rules of a profile decide where no policy is',
    resources: PROFILE('strict', allow(`selector: "app == 'db'"`)) + changed('web', { profiles: ['strict'] }),
    expect: ['deny *,outside > web', 'allow db > web', 'allow web > *,outside'],
  },
  {
    name: 'a profile that is not there denies everything',
    resources: changed('web', { profiles: ['absent'] }),
    expect: ['deny *,outside > web', 'deny web > *,outside'],
  },
  {
    name: 'who has no profile at all is denied everything',
    resources: changed('web', { profiles: [] }),
    expect: ['deny *,outside > web', 'deny web > *,outside'],
  },
  {
    name: 'what one profile does not match the next is asked for',
    resources:
      PROFILE('one', allow(`selector: "app == 'db'"`)) +
      PROFILE('two', `{ action: Deny, source: { selector: "app == 'db'" } }, ${allow(`selector: "app == 'dev'"`)}`) +
      changed('web', { profiles: ['one', 'two'] }),
    expect: ['deny *,outside > web', 'allow db,dev > web'],
  },
  {
    name: 'the same two in the other order',
    resources:
      PROFILE('one', allow(`selector: "app == 'db'"`)) +
      PROFILE('two', `{ action: Deny, source: { selector: "app == 'db'" } }, ${allow(`selector: "app == 'dev'"`)}`) +
      changed('web', { profiles: ['two', 'one'] }),
    expect: ['deny *,outside > web', 'allow dev > web'],
  },
  {
    name: 'a profile is asked last: a policy that allows some denies others',
    resources:
      PROFILE('open', '{ action: Allow }') +
      changed('web', { profiles: ['open'] }) +
      toWeb(allow(`selector: "app == 'db'"`)),
    expect: ['deny *,outside > web', 'allow db > web'],
  },
  {
    name: 'labels that a profile gives choose for policies and for rules',
    resources:
      calico(
        'Profile',
        'labels',
        'ingress: [{ action: Allow }], egress: [{ action: Allow }], labelsToApply: { zone: inner }',
      ) +
      changed('web', { profiles: ['labels'] }) +
      changed('db', { profiles: ['kns.shop', 'labels'] }) +
      globalPolicy('zone', `selector: "zone == 'inner'", ingress: [${allow(`selector: "zone == 'inner'"`)}]`),
    expect: ['deny *,outside > web,db', 'allow web > db', 'allow db > web'],
  },
  {
    name: 'own labels win over those of a profile',
    resources:
      calico(
        'Profile',
        'labels',
        'ingress: [{ action: Allow }], egress: [{ action: Allow }], labelsToApply: { app: other, zone: inner }',
      ) +
      changed('web', { profiles: ['labels'] }) +
      globalPolicy('other', `selector: "app == 'other'", types: [Ingress]`) +
      globalPolicy('web', `selector: "app == 'web'", types: [Ingress], ingress: [{ action: Allow, protocol: TCP }]`),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp'],
  },
  {
    name: 'a stored profile of a namespace holds instead of the open one',
    resources: calico(
      'Profile',
      'kns.partner',
      'egress: [{ action: Allow }], ingress: [{ action: Allow, protocol: TCP }]',
    ),
    expect: ['deny *,outside > guest', 'allow *,outside > guest tcp'],
  },
];

export const STAGED: readonly Situation[] = [
  {
    name: 'a staged global policy denies nothing',
    resources: calico(
      'StagedGlobalNetworkPolicy',
      'closed',
      'types: [Ingress, Egress], ingress: [{ action: Deny }], egress: [{ action: Deny }]',
    ),
    expect: ['allow *,outside > *', 'allow * > outside'],
  },
  {
    name: 'a staged policy allows nothing either',
    resources:
      calico('StagedGlobalNetworkPolicy', 'open', 'order: 1, types: [Ingress], ingress: [{ action: Allow }]') +
      globalPolicy('closed', `order: 2, selector: "app == 'web'", types: [Ingress]`),
    expect: ['deny *,outside > web'],
  },
  {
    name: 'a tier with staged policies alone does not end anything',
    resources:
      tier('first', 'order: 10') +
      calico(
        'StagedNetworkPolicy',
        'shop/staged',
        `tier: first, order: 1, selector: all(), ingress: [{ action: Deny }]`,
      ),
    expect: ['allow *,outside > *'],
  },
  {
    name: 'a staged policy of Kubernetes, and the staged deletion of one that is in force',
    resources:
      calico('StagedKubernetesNetworkPolicy', 'shop/closed', 'podSelector: {}, ingress: []') +
      calico('StagedKubernetesNetworkPolicy', 'shop/to-db', 'stagedAction: Delete') +
      kubernetes('shop/to-db', 'podSelector: { matchLabels: { app: db } }, ingress: []'),
    expect: ['deny *,outside > db'],
  },
];
