/**
 * An application of three tiers, closed and then opened step by step, as its owners and the operators would.
 *
 * web is the page at 80, api the service at 8080, db both stores (redis at 6379, PostgreSQL at 5432), mon answers for names at
 * 53. Nobody in the cluster may ask for the cloud's secrets at 169.254.169.254. dev and guest have no business here.
 */
import type { Situation } from '../situation.ts';
import { calico, globalPolicy, kubernetes, networkSet, tier } from './cast.ts';

const PORTS = [53, 80, 5432, 6379, 8080];

/** Before all others: nobody reaches the metadata address; everything else is for others to say. */
const OPERATORS =
  tier('operators', 'order: 100') +
  networkSet('metadata', 'kind: metadata', '169.254.169.254/32, "2001:db8:99::7/128"') +
  globalPolicy(
    'no-metadata',
    `tier: operators, namespaceSelector: all(), types: [Egress], egress: [{ action: Deny, destination: { selector: "kind == 'metadata'" } }, { action: Pass }]`,
  );
const CLOSED = kubernetes('shop/closed', 'podSelector: {}, policyTypes: [Ingress, Egress]');
const NAMES = kubernetes(
  'shop/names',
  'podSelector: {}, policyTypes: [Egress], egress: [{ to: [{ namespaceSelector: { matchLabels: { team: blue } }, podSelector: { matchLabels: { app: mon } } }], ports: [{ protocol: UDP, port: 53 }, { port: 53 }] }]',
);
const PAGE = kubernetes(
  'shop/page',
  'podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress, Egress], ingress: [{ ports: [{ port: http }] }], egress: [{ to: [{ podSelector: { matchLabels: { app: api } } }], ports: [{ port: 8080 }] }]',
);
const SERVICE = calico(
  'NetworkPolicy',
  'shop/service',
  `order: 500, selector: "app == 'api'", types: [Ingress, Egress], ingress: [{ action: Allow, protocol: TCP, source: { selector: "tier == 'front'" }, destination: { ports: [http] } }], egress: [{ action: Allow, protocol: TCP, destination: { selector: "app == 'db'", ports: [store, 5432] } }, { action: Allow, destination: { nets: [198.51.100.0/24] } }, { action: Pass, protocol: UDP, destination: { ports: [9] } }]`,
);
const STORES = kubernetes(
  'shop/stores',
  'podSelector: { matchLabels: { app: db } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: api } } }], ports: [{ port: 5432 }, { port: store }] }]',
);
const WATCHING = calico(
  'NetworkPolicy',
  'shop/watched',
  `order: 10, selector: all(), ingress: [{ action: Allow, protocol: ICMP, source: { namespaceSelector: "team == 'blue'", serviceAccounts: { names: [mon] } } }, { action: Allow, protocol: ICMPv6, source: { namespaceSelector: "team == 'blue'", serviceAccounts: { names: [mon] } } }]`,
);

const SECRETS_CLOSED = ['deny * > 169.254.169.254', 'deny * > 2001:db8:99::7'];
const SHOP_CLOSED = ['deny *,outside > web,api,db', 'deny web,api,db > *,outside'];
const NAMES_OPEN = ['allow web,api,db > mon udp/53', 'allow web,api,db > mon tcp/53'];
const PAGE_OPEN = ['allow mon,dev,guest,outside > web tcp/80'];
const SERVICE_OPEN = ['allow web > api tcp/8080'];
const STORES_OPEN = ['allow api > db tcp/5432', 'allow api > db tcp/6379'];

export const THREE_TIERS: readonly Situation[] = [
  {
    name: 'the operators deny the cloud’s secrets to everybody',
    resources: OPERATORS,
    ports: PORTS,
    expect: [...SECRETS_CLOSED, 'allow * > outside,198.51.100.7'],
  },
  {
    name: 'the namespace is closed',
    resources: OPERATORS + CLOSED,
    ports: PORTS,
    expect: [...SECRETS_CLOSED, ...SHOP_CLOSED],
  },
  {
    name: 'it may ask for names',
    resources: OPERATORS + CLOSED + NAMES,
    ports: PORTS,
    expect: [...SECRETS_CLOSED, ...SHOP_CLOSED, ...NAMES_OPEN],
  },
  {
    name: 'the page is open to the world',
    resources: OPERATORS + CLOSED + NAMES + PAGE,
    ports: PORTS,
    expect: [...SECRETS_CLOSED, ...SHOP_CLOSED, ...NAMES_OPEN, ...PAGE_OPEN],
  },
  {
    name: 'the service takes what the page asks',
    resources: OPERATORS + CLOSED + NAMES + PAGE + SERVICE,
    ports: PORTS,
    expect: [
      ...SECRETS_CLOSED,
      ...SHOP_CLOSED,
      ...NAMES_OPEN,
      ...PAGE_OPEN,
      ...SERVICE_OPEN,
      'allow api > 198.51.100.7',
      'deny web > 198.51.100.7',
    ],
  },
  {
    name: 'the stores take what the service asks: the whole application',
    resources: OPERATORS + CLOSED + NAMES + PAGE + SERVICE + STORES,
    ports: PORTS,
    expect: [...SECRETS_CLOSED, ...SHOP_CLOSED, ...NAMES_OPEN, ...PAGE_OPEN, ...SERVICE_OPEN, ...STORES_OPEN],
  },
  {
    name: 'the monitoring may ping all of it',
    resources: OPERATORS + CLOSED + NAMES + PAGE + SERVICE + STORES + WATCHING,
    ports: PORTS,
    expect: [
      ...SECRETS_CLOSED,
      ...SHOP_CLOSED,
      ...NAMES_OPEN,
      ...PAGE_OPEN,
      ...SERVICE_OPEN,
      ...STORES_OPEN,
      'allow mon > web,api,db icmp',
    ],
  },
  {
    name: 'the service is withdrawn: its two sides are closed, and the rest runs on',
    resources: OPERATORS + CLOSED + NAMES + PAGE + STORES,
    ports: PORTS,
    expect: [...SECRETS_CLOSED, ...SHOP_CLOSED, ...NAMES_OPEN, ...PAGE_OPEN],
  },
];
