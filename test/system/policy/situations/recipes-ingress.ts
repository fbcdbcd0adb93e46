/**
 * Kubernetes policies about who may reach a pod: the recipes that tutorials teach, and the forms of each.
 *
 * A pod that any policy chooses takes only what one of them allows, except from its own host; all others take everything.
 */
import type { Situation } from '../situation.ts';
import { kubernetes } from './cast.ts';

const NOBODY_IN_SHOP = kubernetes('shop/nobody', 'podSelector: {}, ingress: []');

/** A policy for the pods of web, with these rules. */
function toWeb(ingress: string, name = 'shop/to-web'): string {
  return kubernetes(name, `podSelector: { matchLabels: { app: web } }, ingress: [${ingress}]`);
}

function toDb(ingress: string): string {
  return kubernetes('shop/to-db', `podSelector: { matchLabels: { app: db } }, ingress: [${ingress}]`);
}

export const INGRESS_RECIPES: readonly Situation[] = [
  {
    name: 'without a policy everybody reaches everybody',
    resources: '',
    expect: ['allow *,outside,host-a,host-b > *', 'allow * > outside,host-a,host-b'],
  },
  {
    name: 'an app that nobody may reach but its own host',
    resources: toWeb(''),
    expect: ['deny *,outside,host-b > web', 'allow host-a > web', 'allow web > outside'],
  },
  {
    name: 'an app that only some pods of its namespace may reach',
    resources: toWeb('{ from: [{ podSelector: { matchLabels: { tier: back } } }] }'),
    expect: ['deny *,outside > web', 'allow api,db > web'],
  },
  {
    name: 'a namespace whose pods nobody may reach',
    resources: NOBODY_IN_SHOP,
    expect: ['deny *,outside > web,api,db'],
  },
  {
    name: 'a namespace that only its own pods may reach',
    resources: kubernetes('shop/own', 'podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }]'),
    expect: ['deny mon,dev,guest,outside > web,api,db'],
  },
  {
    name: 'one app of a closed namespace that pods of all namespaces may reach, and the outside may not',
    resources: NOBODY_IN_SHOP + toWeb('{ from: [{ namespaceSelector: {} }] }'),
    expect: ['deny *,outside > web,api,db', 'allow * > web'],
  },
  {
    name: 'an app that one namespace may reach, by the label of the namespace',
    resources: toDb('{ from: [{ namespaceSelector: { matchLabels: { team: blue } } }] }'),
    expect: ['deny *,outside > db', 'allow mon,dev > db'],
  },
  {
    name: 'an app that a namespace may reach, by the name of the namespace',
    resources: toDb('{ from: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: partner } } }] }'),
    expect: ['deny *,outside > db', 'allow guest > db'],
  },
  {
    name: 'an app that some pods of another namespace may reach: one peer, both selectors',
    resources: toDb(
      '{ from: [{ namespaceSelector: { matchLabels: { team: blue } }, podSelector: { matchLabels: { role: monitoring } } }] }',
    ),
    expect: ['deny *,outside > db', 'allow mon > db'],
  },
  {
    name: 'two peers, of which either is enough',
    resources: toDb(
      '{ from: [{ namespaceSelector: { matchLabels: { team: blue } } }, { podSelector: { matchLabels: { app: web } } }] }',
    ),
    expect: ['deny *,outside > db', 'allow mon,dev,web > db'],
  },
  {
    name: 'one app of a closed namespace that the whole world may reach',
    resources: NOBODY_IN_SHOP + toWeb('{}'),
    expect: ['deny *,outside > api,db', 'allow *,outside > web'],
  },
  {
    name: 'default allow beside deny all: allowing wins, for policies add up',
    resources: NOBODY_IN_SHOP + kubernetes('shop/everybody', 'podSelector: {}, ingress: [{}]'),
    expect: ['allow *,outside > *'],
  },
  {
    name: 'only one port of an app',
    resources: toWeb('{ ports: [{ protocol: TCP, port: 443 }] }'),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/443'],
  },
  {
    name: 'a port without a protocol is one of TCP',
    resources: toWeb('{ ports: [{ port: 80 }] }'),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/80'],
  },
  {
    name: 'only one port, and only for some',
    resources: toWeb('{ ports: [{ port: 80 }], from: [{ podSelector: { matchLabels: { app: api } } }] }'),
    expect: ['deny *,outside > web', 'allow api > web tcp/80'],
  },
  {
    name: 'a named port is another number at each pod, and nothing at a pod that has none of that name',
    resources: kubernetes('shop/http', 'podSelector: {}, ingress: [{ ports: [{ port: http }] }]'),
    ports: [80, 443, 8080],
    expect: ['deny *,outside > web,api,db', 'allow *,outside > web tcp/80', 'allow *,outside > api tcp/8080'],
  },
  {
    name: 'a named port of UDP',
    resources: toDb('{ ports: [{ protocol: UDP, port: dns }] }'),
    ports: [53, 6379],
    expect: ['deny *,outside > db', 'allow *,outside > db udp/53'],
  },
  {
    name: 'a name that the pod has for another protocol',
    resources: toDb('{ ports: [{ protocol: TCP, port: dns }] }'),
    ports: [53, 6379],
    expect: ['deny *,outside > db'],
  },
  {
    name: 'a range of ports, both ends counted',
    resources: toWeb('{ ports: [{ protocol: TCP, port: 80, endPort: 443 }] }'),
    ports: [53, 80, 81, 443, 5432],
    expect: [
      'deny *,outside > web',
      ...[80, 81, 443].map((port) => `allow *,outside > web tcp/${port}`), // and neither below nor above
    ],
  },
  {
    name: 'several ports of both protocols',
    resources: toDb('{ ports: [{ port: 6379 }, { protocol: UDP, port: 53 }, { port: 5432 }] }'),
    ports: [53, 5432, 6379],
    expect: [
      'deny *,outside > db',
      'allow *,outside > db tcp/6379',
      'allow *,outside > db tcp/5432',
      'allow *,outside > db udp/53',
    ],
  },
  {
    name: 'a protocol with all its ports',
    resources: toWeb('{ ports: [{ protocol: UDP }] }'),
    expect: ['deny *,outside > web', 'allow *,outside > web udp'],
  },
  {
    name: 'SCTP alone, so nothing else',
    resources: toWeb('{ ports: [{ protocol: SCTP, port: 80 }] }'),
    expect: ['deny *,outside > web'],
  },
  {
    name: 'pods by expressions: In and NotIn',
    resources: kubernetes(
      'shop/back',
      'podSelector: { matchExpressions: [{ key: app, operator: In, values: [api, db] }] }, ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: app, operator: NotIn, values: [db, none] }] } }] }]',
    ),
    expect: ['deny *,outside > api,db', 'allow web > api', 'allow web,api > db'],
  },
  {
    name: 'pods by expressions: Exists and DoesNotExist, among all namespaces',
    resources: toWeb(
      '{ from: [{ namespaceSelector: {}, podSelector: { matchExpressions: [{ key: env, operator: Exists }, { key: tier, operator: DoesNotExist }] } }] }',
    ),
    expect: ['deny *,outside > web', 'allow mon,dev > web'],
  },
  {
    name: 'namespaces by an expression',
    resources: toWeb(
      '{ from: [{ namespaceSelector: { matchExpressions: [{ key: team, operator: NotIn, values: [red, blue] }] } }] }',
    ),
    expect: ['deny *,outside > web', 'allow guest > web'],
  },
  {
    name: 'two rules of a policy, each with its own peers and ports',
    resources: toWeb(
      '{ from: [{ podSelector: { matchLabels: { app: api } } }], ports: [{ port: 80 }] }, { from: [{ namespaceSelector: { matchLabels: { team: green } } }], ports: [{ port: 443 }] }',
    ),
    expect: ['deny *,outside > web', 'allow api > web tcp/80', 'allow guest > web tcp/443'],
  },
  {
    name: 'two policies for one pod',
    resources:
      toWeb('{ from: [{ podSelector: { matchLabels: { app: api } } }] }') +
      toWeb('{ from: [{ namespaceSelector: { matchLabels: { team: green } } }] }', 'shop/to-web-too'),
    expect: ['deny *,outside > web', 'allow api,guest > web'],
  },
  {
    name: 'a policy for pods that are not there changes nothing',
    resources: kubernetes('shop/none', 'podSelector: { matchLabels: { app: none } }, ingress: []'),
    expect: ['allow *,outside > *'],
  },
  {
    name: 'a policy is for its own namespace only',
    resources: kubernetes('partner/closed', 'podSelector: {}, ingress: []'),
    expect: ['deny *,outside > guest'],
  },
  {
    name: 'a block of addresses with an exception; what is of the other family is in no block',
    resources: toWeb('{ from: [{ ipBlock: { cidr: 10.65.1.0/24, except: [10.65.1.3/32] } }] }'),
    expect: ['deny *,outside > web', 'allow db,mon > web v4'],
  },
  {
    name: 'blocks of both families',
    resources: toWeb(
      '{ from: [{ ipBlock: { cidr: 10.65.1.0/24 } }, { ipBlock: { cidr: "fd65:0:0:1::/64", except: ["fd65:0:0:1::2/128"] } }] }',
    ),
    expect: ['deny *,outside > web', 'allow db,mon,guest > web', 'deny mon > web v6'],
  },
  {
    name: 'a partner outside by his network, and no other',
    resources: toWeb('{ from: [{ ipBlock: { cidr: 198.51.100.0/24 } }] }'),
    expect: [
      'deny *,outside > web',
      'allow outside as 198.51.100.7 > web',
      'deny outside as 203.0.113.9 > web',
      'deny outside as 2001:db8:99::7 > web',
    ],
  },
  {
    name: 'the whole world but the cluster',
    resources: toWeb(
      '{ from: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.65.0.0/16] } }, { ipBlock: { cidr: "::/0", except: ["fd65::/32"] } }] }',
    ),
    expect: [
      'deny * > web',
      'allow outside > web',
      'allow outside as 203.0.113.9 > web',
      'allow outside as 2001:db8:99::7 > web',
    ],
  },
];
