/** The kinds of which there is one object, and CalicoNodeStatus: small specs with few rules. */
import type { KindRow } from './kind-rows.suite.ts';
import { checkRows } from './kind-rows.suite.ts';

const DEFAULTS = { strictAffinity: false, maxBlocksPerHost: 0, autoAllocateBlocks: true };

const IPAM: readonly KindRow[] = [
  ['no spec', undefined, DEFAULTS],
  ['an empty spec', {}, DEFAULTS],
  [
    'strict affinity',
    { strictAffinity: true, maxBlocksPerHost: 4 },
    { ...DEFAULTS, strictAffinity: true, maxBlocksPerHost: 4 },
  ],
  [
    'blocks made by hand',
    { strictAffinity: true, autoAllocateBlocks: false },
    { ...DEFAULTS, strictAffinity: true, autoAllocateBlocks: false },
  ],
  [
    'the rest',
    { kubeVirtVMAddressPersistence: 'Enabled', ipCooldownSeconds: 1200 },
    { ...DEFAULTS, kubeVirtVMAddressPersistence: 'Enabled', ipCooldownSeconds: 1200 },
  ],
  [
    'a bound while nodes may borrow',
    { maxBlocksPerHost: 20 },
    ['spec.maxBlocksPerHost: 20 needs strictAffinity: true; without it nodes borrow addresses, and it must be 0'],
  ],
  [
    'no blocks while nodes may borrow',
    { autoAllocateBlocks: false },
    ['spec.autoAllocateBlocks: false needs strictAffinity: true; without it blocks must be made when they are needed'],
  ],
  ['a long cooldown', { ipCooldownSeconds: 1201 }, ['spec.ipCooldownSeconds: 1201 is too big: at most 1200']],
  ['a negative cooldown', { ipCooldownSeconds: -1 }, ['spec.ipCooldownSeconds: -1 is too small: at least 0']],
  ['a negative bound', { maxBlocksPerHost: -1 }, ['spec.maxBlocksPerHost: -1 is too small: at least 0']],
  [
    'a switch that is none',
    { kubeVirtVMAddressPersistence: true },
    ['spec.kubeVirtVMAddressPersistence: true is not one of Enabled, Disabled'],
  ],
  ['a misspelt field', { strictaffinity: true }, ['spec.strictaffinity: unknown field; did you mean strictAffinity?']],
  ['another name', {}, ['metadata.name: "ipam" must be "default"; there is one for all nodes'], 'ipam'],
];

const INFORMATION: readonly KindRow[] = [
  ['no spec', undefined, {}],
  [
    'all of it',
    {
      clusterGUID: '8e0e1f',
      clusterType: 'typha,bgp',
      calicoVersion: 'v3.33.0',
      datastoreReady: true,
      variant: 'Calico',
    },
    {
      clusterGUID: '8e0e1f',
      clusterType: 'typha,bgp',
      calicoVersion: 'v3.33.0',
      datastoreReady: true,
      variant: 'Calico',
    },
  ],
  ['a locked store', { datastoreReady: false }, { datastoreReady: false }],
  ['text for a truth', { datastoreReady: 'true' }, ['spec.datastoreReady: must be true or false, not "true"']],
  ['another name', {}, ['metadata.name: "main" must be "default"; there is one for all nodes'], 'main'],
];

const REPORT = { node: 'host-a', classes: ['Agent', 'BGP', 'Routes'], updatePeriodSeconds: 10 };

const REPORTS: readonly KindRow[] = [
  ['all classes', REPORT, REPORT],
  ['no reports', { ...REPORT, updatePeriodSeconds: 0 }, { ...REPORT, updatePeriodSeconds: 0 }],
  ['once a day', { ...REPORT, updatePeriodSeconds: 86400 }, { ...REPORT, updatePeriodSeconds: 86400 }],
  [
    'less than once a day',
    { ...REPORT, updatePeriodSeconds: 86401 },
    ['spec.updatePeriodSeconds: 86401 is too big: at most 86400'],
  ],
  [
    'a class that is none',
    { ...REPORT, classes: ['bgp'] },
    ['spec.classes[0]: "bgp" is not one of Agent, BGP, Routes; did you mean BGP?'],
  ],
  ['a class twice', { ...REPORT, classes: ['BGP', 'BGP'] }, ['spec.classes[1]: "BGP" is there already; remove it']],
  ['no class', { ...REPORT, classes: [] }, ['spec.classes: [] is too small: at least 1 items']],
  ['nothing', {}, ['spec.node: is required', 'spec.classes: is required', 'spec.updatePeriodSeconds: is required']],
];

const CONTROLLERS = {
  logSeverityScreen: 'Info',
  healthChecks: 'Enabled',
  etcdV3CompactionPeriod: '10m',
  prometheusMetricsPort: 9094,
  controllers: {
    node: {
      reconcilerPeriod: '5m',
      syncLabels: 'Enabled',
      hostEndpoint: {
        autoCreate: 'Disabled',
        createDefaultHostEndpoint: 'Enabled',
        templates: [
          { generateName: 'eth', interfaceCIDRs: ['10.0.0.0/8'], interfacePattern: '^eth', labels: { a: 'b' } },
        ],
      },
      leakGracePeriod: '15m',
    },
    policy: { reconcilerPeriod: '5m' },
    loadBalancer: { assignIPs: 'AllServices' },
    migration: { policyNameMigrator: 'Disabled' },
  },
};

const KUBE_CONTROLLERS: readonly KindRow[] = [
  ['no spec', undefined, {}],
  ['all of it', CONTROLLERS, CONTROLLERS],
  [
    'what is wrong inside',
    { controllers: { node: { leakGracePeriod: '15' }, polic: {}, loadBalancer: { assignIPs: 'All' } } },
    [
      'spec.controllers.node.leakGracePeriod: "15" is not a length of time; write it with units: 120s, 1m30s',
      'spec.controllers.loadBalancer.assignIPs: "All" is not one of AllServices, RequestedServicesOnly',
      'spec.controllers.polic: unknown field; did you mean policy?',
    ],
  ],
  ['another name', {}, ['metadata.name: "x" must be "default"; there is one for all nodes'], 'x'],
];

checkRows('KubeControllersConfiguration', KUBE_CONTROLLERS, 'default');
checkRows('IPAMConfiguration', IPAM, 'default');
checkRows('ClusterInformation', INFORMATION, 'default');
checkRows('CalicoNodeStatus', REPORTS, 'host-a-status');
