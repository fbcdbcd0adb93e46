/**
 * Tiers and the order of policies: who is asked first, who ends it, and what follows where nobody does.
 *
 * A tier counts for an endpoint and a direction only if a policy of it is for both. Its default action is Deny if nothing
 * is said, so that a policy that allows some denies all others.
 */
import type { Situation } from '../situation.ts';
import { calico, globalPolicy, kubernetes, tier } from './cast.ts';

/** A policy for what reaches web. */
function toWeb(name: string, place: string, ingress: string): string {
  return globalPolicy(name, `${place}, selector: "app == 'web'", types: [Ingress], ingress: [${ingress}]`);
}

const ALLOW = '{ action: Allow }';
const DENY = '{ action: Deny }';
const from = (action: string, app: string) => `{ action: ${action}, source: { selector: "app == '${app}'" } }`;

const FIRST = tier('first', 'order: 10');
const PASSING = tier('first', 'order: 10, defaultAction: Pass');

export const TIERS: readonly Situation[] = [
  {
    name: 'who is allowed by an earlier tier is not asked by a later one',
    resources: PASSING + toWeb('early', 'tier: first', from('Allow', 'db')) + toWeb('late', 'order: 1', DENY),
    expect: ['deny *,outside > web', 'allow db > web'],
  },
  {
    name: 'a tier denies at its end what none of its policies matched, whatever later ones allow',
    resources: FIRST + toWeb('early', 'tier: first', from('Allow', 'db')) + toWeb('late', 'order: 1', ALLOW),
    expect: ['deny *,outside > web', 'allow db > web'],
  },
  {
    name: 'the same with defaultAction Pass: the next tier allows',
    resources: PASSING + toWeb('early', 'tier: first', from('Deny', 'db')) + toWeb('late', 'order: 1', ALLOW),
    expect: ['deny db > web'],
  },
  {
    name: 'Pass leaves out the rest of the tier, and where no later tier has a say, profiles decide',
    resources:
      FIRST + toWeb('a', 'tier: first, order: 1', from('Pass', 'dev')) + toWeb('b', 'tier: first, order: 2', DENY),
    expect: ['deny *,outside > web', 'allow dev > web'],
  },
  {
    name: 'Pass leaves out the rest of the rules, too',
    resources:
      FIRST +
      toWeb('a', 'tier: first', `${from('Pass', 'dev')}, ${DENY}`) +
      toWeb('late', 'order: 1', from('Allow', 'mon')),
    expect: ['deny *,outside > web'],
  },
  {
    name: 'Pass to a tier that allows some',
    resources: FIRST + toWeb('a', 'tier: first', '{ action: Pass }') + toWeb('late', 'order: 1', from('Allow', 'mon')),
    expect: ['deny *,outside > web', 'allow mon > web'],
  },
  {
    name: 'Pass in the last tier leads to the profiles',
    resources: toWeb('only', 'order: 1', from('Pass', 'guest')),
    expect: ['deny *,outside > web', 'allow guest > web'],
  },
  {
    name: 'tiers go by order and not by name',
    resources:
      tier('alpha', 'order: 20') +
      tier('zeta', 'order: 10') +
      toWeb('a', 'tier: alpha', DENY) +
      toWeb('z', 'tier: zeta', ALLOW),
    expect: ['allow *,outside > web'],
  },
  {
    name: 'the same two with their orders exchanged',
    resources:
      tier('alpha', 'order: 10') +
      tier('zeta', 'order: 20') +
      toWeb('a', 'tier: alpha', DENY) +
      toWeb('z', 'tier: zeta', ALLOW),
    expect: ['deny *,outside > web'],
  },
  {
    name: 'tiers of equal order go by name',
    resources:
      tier('alpha', 'order: 10') +
      tier('zeta', 'order: 10') +
      toWeb('a', 'tier: alpha', ALLOW) +
      toWeb('z', 'tier: zeta', DENY),
    expect: ['allow *,outside > web'],
  },
  {
    name: 'a tier without an order comes after the default one',
    resources:
      tier('alpha', 'defaultAction: Deny') + toWeb('a', 'tier: alpha', DENY) + toWeb('usual', 'order: 1', ALLOW),
    expect: ['allow *,outside > web'],
  },
  {
    name: 'what passes the default tier meets the one without an order',
    resources:
      tier('alpha', 'defaultAction: Deny') +
      toWeb('a', 'tier: alpha', `${from('Deny', 'dev')}, ${ALLOW}`) +
      toWeb('usual', 'order: 1', '{ action: Pass }'),
    expect: ['deny dev > web'],
  },
  {
    name: 'three tiers, two of them passed',
    resources:
      FIRST +
      tier('second', 'order: 20') +
      toWeb('a', 'tier: first', `${from('Deny', 'guest')}, { action: Pass }`) +
      toWeb('b', 'tier: second', `${from('Deny', 'dev')}, { action: Pass }`) +
      toWeb('c', 'order: 1', `${from('Deny', 'mon')}, ${ALLOW}`),
    expect: ['deny guest,dev,mon > web'],
  },
  {
    name: 'in a tier the lower order comes first',
    resources: toWeb('z', 'order: 1', from('Deny', 'db')) + toWeb('a', 'order: 2', ALLOW),
    expect: ['deny db > web'],
  },
  {
    name: 'the same two policies with their orders exchanged',
    resources: toWeb('z', 'order: 2', from('Deny', 'db')) + toWeb('a', 'order: 1', ALLOW),
    expect: ['allow *,outside > web'],
  },
  {
    name: 'orders are numbers with a fraction, and may be below zero',
    resources:
      toWeb('a', 'order: 1.5', DENY) +
      toWeb('b', 'order: 1.25', from('Allow', 'api')) +
      toWeb('c', 'order: -3', `${from('Deny', 'api')}, ${from('Allow', 'db')}`),
    expect: ['deny *,outside > web', 'allow db > web'],
  },
  {
    name: 'policies of equal order go by name',
    resources: toWeb('b', 'order: 5', DENY) + toWeb('a', 'order: 5', from('Allow', 'mon')),
    expect: ['deny *,outside > web', 'allow mon > web'],
  },
  {
    name: 'a policy without an order comes last',
    resources: toWeb('a', 'order: null', DENY) + toWeb('z', 'order: 99999', from('Allow', 'mon')),
    expect: ['deny *,outside > web', 'allow mon > web'],
  },
  {
    name: 'a policy of Kubernetes stands at order 1000: before it, and after it',
    resources:
      toWeb('before', 'order: 999', from('Deny', 'api')) +
      toWeb('after', 'order: 1001', from('Allow', 'guest')) +
      kubernetes(
        'shop/to-web',
        'podSelector: { matchLabels: { app: web } }, ingress: [{ from: [{ podSelector: {} }] }]',
      ),
    expect: ['deny *,outside > web', 'allow db,guest > web'],
  },
  {
    name: 'a tier of ingress has no say in what is sent',
    resources: FIRST + toWeb('a', 'tier: first', from('Allow', 'db')),
    expect: ['deny *,outside > web', 'allow db > web', 'allow web > *,outside'],
  },
  {
    name: 'a tier whose policies are for others does not count',
    resources: FIRST + globalPolicy('other', `tier: first, selector: "app == 'guest'", ingress: [${DENY}]`),
    expect: ['deny *,outside > guest'],
  },
  {
    name: 'without types a policy is for the directions of its rules: egress',
    resources: globalPolicy(
      'out',
      `selector: "app == 'web'", egress: [{ action: Allow, destination: { selector: "app == 'db'" } }]`,
    ),
    expect: ['deny web > *,outside', 'allow web > db', 'allow *,outside > web'],
  },
  {
    name: 'without types and with rules of both directions: both',
    resources: globalPolicy(
      'both',
      `selector: "app == 'web'", ingress: [${from('Allow', 'db')}], egress: [{ action: Allow, destination: { selector: "app == 'api'" } }]`,
    ),
    expect: ['deny *,outside > web', 'deny web > *,outside', 'allow db > web', 'allow web > api'],
  },
  {
    name: 'without types and rules: ingress',
    resources: globalPolicy('none', `selector: "app == 'web'"`),
    expect: ['deny *,outside > web', 'allow web > *,outside'],
  },
  {
    name: 'types without rules deny both',
    resources: globalPolicy('none', `selector: "app == 'web'", types: [Ingress, Egress]`),
    expect: ['deny *,outside > web', 'deny web > *,outside'],
  },
  {
    name: 'types say which of the rules count',
    resources: globalPolicy(
      'some',
      `selector: "app == 'web'", types: [Egress], ingress: [${DENY}], egress: [${ALLOW}]`,
    ),
    expect: ['allow *,outside > web', 'allow web > *,outside'],
  },
  {
    name: 'Log goes on with the next rule',
    resources: toWeb(
      'logged',
      'order: 1',
      `{ action: Log }, ${from('Allow', 'db')}, { action: Log }, ${from('Deny', 'api')}`,
    ),
    expect: ['deny *,outside > web', 'allow db > web'],
  },
  {
    name: 'Log alone decides nothing, so the end of the tier does',
    resources: toWeb('logged', 'order: 1', '{ action: Log, protocol: TCP }'),
    expect: ['deny *,outside > web'],
  },
  {
    name: 'the administrator’s tier comes before all, the baseline after all',
    resources:
      toWeb('admin', 'tier: kube-admin, order: 1', `${from('Deny', 'guest')}, ${from('Pass', 'dev')}`) +
      toWeb('baseline', 'tier: kube-baseline, order: 1', from('Deny', 'dev')) +
      calico(
        'NetworkPolicy',
        'shop/usual',
        `selector: "app == 'web'", order: 1, ingress: [${from('Pass', 'none')}, { action: Allow, source: { namespaceSelector: "team == 'green'" } }, { action: Pass }]`,
      ),
    expect: ['deny guest,dev > web'],
  },
  {
    name: 'a policy of a namespace in a tier of its own',
    resources:
      FIRST +
      calico(
        'NetworkPolicy',
        'shop/mine',
        `tier: first, order: 1, selector: all(), ingress: [{ action: Allow, source: { selector: all() } }]`,
      ),
    expect: ['deny mon,dev,guest,outside > web,api,db'],
  },
  {
    name: 'everything is denied for everybody but what one earlier tier allows',
    resources:
      FIRST +
      globalPolicy(
        'open',
        `tier: first, types: [Ingress, Egress], ingress: [{ action: Allow, protocol: TCP, destination: { ports: [80] } }, { action: Pass }], egress: [{ action: Allow, protocol: TCP, destination: { ports: [80] } }, { action: Pass }]`,
      ) +
      globalPolicy('closed', 'types: [Ingress, Egress]'),
    expect: ['deny *,outside > *', 'deny * > outside', 'allow *,outside > * tcp/80', 'allow * > outside tcp/80'],
  },
];
