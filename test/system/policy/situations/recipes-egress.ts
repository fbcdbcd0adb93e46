/**
 * Kubernetes policies about whom a pod may reach, and policies of both directions together.
 *
 * To be reached, a pod must be allowed to by the sender's policies and by its own. Answers need no rule.
 */
import type { Situation } from '../situation.ts';
import { kubernetes } from './cast.ts';

/** A policy for what the pods of web send. */
function fromWeb(egress: string): string {
  return kubernetes(
    'shop/from-web',
    `podSelector: { matchLabels: { app: web } }, policyTypes: [Egress], egress: [${egress}]`,
  );
}

const DNS_PORTS = 'ports: [{ protocol: UDP, port: 53 }, { protocol: TCP, port: 53 }]';
const NOTHING_IN_SHOP = kubernetes('shop/closed', 'podSelector: {}, policyTypes: [Ingress, Egress]');

export const EGRESS_RECIPES: readonly Situation[] = [
  {
    name: 'an app that may not begin anything, though others reach it and get their answers',
    resources: fromWeb(''),
    expect: ['deny web > *,outside,host-a,host-b', 'allow *,outside > web'],
  },
  {
    name: 'a namespace that may not begin anything',
    resources: kubernetes('shop/silent', 'podSelector: {}, policyTypes: [Egress]'),
    expect: ['deny web,api,db > *,outside'],
  },
  {
    name: 'an app that may reach the pods of the cluster, and not the outside',
    resources: fromWeb('{ to: [{ namespaceSelector: {} }] }'),
    expect: ['deny web > outside,host-b', 'allow web > *'],
  },
  {
    name: 'an app that may reach its own namespace only',
    resources: fromWeb('{ to: [{ podSelector: {} }] }'),
    expect: ['deny web > *,outside', 'allow web > api,db'],
  },
  {
    name: 'an app that may ask for names, and nothing else',
    resources: fromWeb(`{ ${DNS_PORTS} }`),
    ports: [53, 80],
    expect: ['deny web > *,outside', 'allow web > *,outside udp/53', 'allow web > *,outside tcp/53'],
  },
  {
    name: 'an app that may ask one server for names',
    resources: fromWeb(
      `{ ${DNS_PORTS}, to: [{ namespaceSelector: { matchLabels: { team: blue } }, podSelector: { matchLabels: { app: mon } } }] }`,
    ),
    ports: [53, 80],
    expect: ['deny web > *,outside', 'allow web > mon udp/53', 'allow web > mon tcp/53'],
  },
  {
    name: 'names for a whole namespace, its own pods, and the world by TLS',
    resources: kubernetes(
      'shop/out',
      `podSelector: {}, policyTypes: [Egress], egress: [{ ${DNS_PORTS} }, { to: [{ podSelector: {} }] }, { ports: [{ port: 443 }] }]`,
    ),
    ports: [53, 80, 443],
    expect: [
      'deny web,api,db > mon,dev,guest,outside',
      ...['udp/53', 'tcp/53', 'tcp/443'].map((port) => `allow web,api,db > mon,dev,guest,outside ${port}`),
    ],
  },
  {
    name: 'the world except the address that tells a cloud’s secrets',
    resources: fromWeb('{ to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [169.254.169.254/32] } }] }'),
    expect: [
      'deny web > *,outside v6',
      'deny web > 169.254.169.254',
      'allow web > 198.51.100.7',
      'allow api > 169.254.169.254',
    ],
  },
  {
    name: 'a block with two exceptions',
    resources: fromWeb('{ to: [{ ipBlock: { cidr: 10.65.0.0/16, except: [10.65.0.2/32, 10.65.1.2/31] } }] }'),
    expect: ['deny web > *,outside', 'allow web > dev,db v4'],
  },
  {
    name: 'a block of the other family alone',
    resources: fromWeb('{ to: [{ ipBlock: { cidr: "fd65::/32" } }] }'),
    expect: ['deny web > *,outside', 'allow web > * v6'],
  },
  {
    name: 'a named port of whoever is reached',
    resources: fromWeb('{ ports: [{ port: http }] }'),
    ports: [80, 443, 8080],
    expect: ['deny web > *,outside', 'allow web > api tcp/8080', 'allow web > mon tcp/443'],
  },
  {
    name: 'a range of ports to one peer',
    resources: fromWeb(
      '{ to: [{ podSelector: { matchLabels: { app: db } } }], ports: [{ port: 5000, endPort: 6000 }] }',
    ),
    ports: [80, 5432, 5978, 6379],
    expect: ['deny web > *,outside', 'allow web > db tcp/5432', 'allow web > db tcp/5978'],
  },
  {
    name: 'what the sender may send still has to be taken by the receiver',
    resources: fromWeb('{}') + kubernetes('shop/to-db', 'podSelector: { matchLabels: { app: db } }, ingress: []'),
    expect: ['deny *,outside > db'],
  },
  {
    name: 'a chain of apps in a closed namespace, both ends of each step allowed',
    resources:
      NOTHING_IN_SHOP +
      kubernetes(
        'shop/web',
        'podSelector: { matchLabels: { app: web } }, policyTypes: [Egress], egress: [{ to: [{ podSelector: { matchLabels: { app: api } } }], ports: [{ port: 8080 }] }]',
      ) +
      kubernetes(
        'shop/api',
        'podSelector: { matchLabels: { app: api } }, policyTypes: [Ingress, Egress], ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 8080 }] }], egress: [{ to: [{ podSelector: { matchLabels: { app: db } } }], ports: [{ port: 5432 }] }]',
      ) +
      kubernetes(
        'shop/db',
        'podSelector: { matchLabels: { app: db } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: api } } }], ports: [{ port: 5432 }] }]',
      ),
    ports: [80, 5432, 8080],
    expect: [
      'deny *,outside > web,api,db',
      'deny web,api,db > *,outside',
      'allow web > api tcp/8080',
      'allow api > db tcp/5432',
    ],
  },
  {
    name: 'the same with the receiver’s half left out: the step is closed',
    resources:
      NOTHING_IN_SHOP +
      kubernetes(
        'shop/web',
        'podSelector: { matchLabels: { app: web } }, policyTypes: [Egress], egress: [{ to: [{ podSelector: { matchLabels: { app: api } } }] }]',
      ),
    expect: ['deny *,outside > web,api,db', 'deny web,api,db > *,outside'],
  },
  {
    name: 'two closed namespaces with a gate between them',
    resources:
      kubernetes(
        'shop/closed',
        'podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ from: [{ podSelector: {} }] }], egress: [{ to: [{ podSelector: {} }] }]',
      ) +
      kubernetes(
        'ops/closed',
        'podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ from: [{ podSelector: {} }] }], egress: [{ to: [{ podSelector: {} }] }]',
      ) +
      kubernetes(
        'ops/watch',
        'podSelector: { matchLabels: { role: monitoring } }, policyTypes: [Egress], egress: [{ to: [{ namespaceSelector: { matchLabels: { team: red } } }], ports: [{ port: 80 }] }]',
      ) +
      kubernetes(
        'shop/watched',
        'podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: blue } }, podSelector: { matchLabels: { role: monitoring } } }], ports: [{ port: 80 }] }]',
      ),
    expect: [
      'deny guest,outside,mon,dev > web,api,db',
      'deny guest,outside,web,api,db > mon,dev',
      'deny web,api,db,mon,dev > guest,outside',
      'allow mon > web,api,db tcp/80',
    ],
  },
  {
    name: 'egress rules alone, with ingress among the types: nothing may come in',
    resources: kubernetes(
      'shop/half',
      'podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress, Egress], egress: [{}]',
    ),
    expect: ['deny *,outside > web', 'allow web > *,outside'],
  },
  {
    name: 'egress rules without types: ingress is closed by the policy, too',
    resources: kubernetes(
      'shop/half',
      'podSelector: { matchLabels: { app: web } }, egress: [{ to: [{ podSelector: {} }] }]',
    ),
    expect: ['deny *,outside > web', 'deny web > *,outside', 'allow web > api,db'],
  },
];
