/**
 * What is measured of Felix: resources, policy, the packet filter, under Felix's own names where it has one.
 *
 * Dashboards made for Calico go on working; each help says what the number is here. Numbers are taken when somebody asks. What
 * grows with the policies (packets denied) has a sample only for a policy that has denied something, and a largest count.
 *
 * Rows of metrics-table.ts; the numbers are made in felix-numbers.ts.
 */
import type { MetricFamily, Sample } from './metrics-text.ts';

export interface FelixNumbers {
  readonly endpoints: number;
  readonly policies: number;
  readonly selectors: number;
  /** In the whole network. */
  readonly cluster: {
    readonly hosts: number;
    readonly hostEndpoints: number;
    readonly policies: number;
    readonly profiles: number;
    readonly tiers: number;
    readonly workloadEndpoints: number;
  };
  readonly labelIndex: { readonly endpoints: number; readonly selectors: number };
  /** Changes of resources that were taken in, by kind. */
  readonly updates: ReadonlyMap<string, number>;
  readonly store: 'not read' | 'away' | 'in sync';
  /** How often all of the store was read. */
  readonly resyncs: number;
  readonly passes: { readonly count: number; readonly seconds: number; readonly failures: number };
  readonly filter: {
    readonly kind: 'nftables' | 'iptables' | undefined;
    readonly tables: readonly { readonly table: string; readonly chains: number; readonly rules: number }[];
    readonly sets: number;
    readonly changes: number;
    readonly failures: number;
    readonly readings: number;
  };
  readonly denied: readonly {
    readonly tier: string;
    readonly policy: string;
    readonly direction: string;
    readonly packets: number;
  }[];
}

interface FelixRow extends MetricFamily {
  readonly labels: readonly string[];
  readonly samples: (felix: FelixNumbers) => readonly Sample[];
}

/** As Felix numbers its states. */
const STORE_STATES: Readonly<Record<FelixNumbers['store'], number>> = { 'not read': 1, away: 2, 'in sync': 3 };

function single(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  value: (felix: FelixNumbers) => number,
): FelixRow {
  return { name, type, help, labels: [], samples: (felix) => [{ labels: {}, value: value(felix) }] };
}

function gauge(name: string, help: string, value: (felix: FelixNumbers) => number): FelixRow {
  return single(`felix_${name}`, 'gauge', help, value);
}

/** Of the backend in force alone. */
function ofFilter(
  kind: 'nftables' | 'iptables',
  row: Omit<FelixRow, 'samples' | 'labels'>,
  value: (filter: FelixNumbers['filter']) => number,
): FelixRow {
  const samples = ({ filter }: FelixNumbers) => (filter.kind === kind ? [{ labels: {}, value: value(filter) }] : []);
  return { ...row, labels: [], samples };
}

function ofTables(
  kind: 'nftables' | 'iptables',
  row: Omit<FelixRow, 'samples' | 'labels'>,
  value: (table: FelixNumbers['filter']['tables'][number]) => number,
): FelixRow {
  const samples = ({ filter }: FelixNumbers) =>
    filter.kind !== kind ? [] : filter.tables.map((each) => ({ labels: { table: each.table }, value: value(each) }));
  return { ...row, labels: ['table'], samples };
}

export const FELIX_ROWS: readonly FelixRow[] = [
  gauge('active_local_endpoints', 'Containers of this host.', ({ endpoints }) => endpoints),
  gauge('active_local_policies', 'Policies that choose an endpoint of this host.', ({ policies }) => policies),
  gauge('active_local_selectors', 'Selectors in the rules of these, whose members are known here.', (felix) => {
    return felix.selectors;
  }),
  gauge('cluster_num_hosts', 'Nodes in the network.', ({ cluster }) => cluster.hosts),
  gauge('cluster_num_host_endpoints', 'HostEndpoints in the network.', ({ cluster }) => cluster.hostEndpoints),
  gauge('cluster_num_workload_endpoints', 'Containers in the network.', ({ cluster }) => cluster.workloadEndpoints),
  gauge('cluster_num_policies', 'Policies in the network, staged ones too.', ({ cluster }) => cluster.policies),
  gauge('cluster_num_profiles', 'Profiles in the network, those of namespaces too.', ({ cluster }) => cluster.profiles),
  gauge('cluster_num_tiers', 'Tiers in the network that somebody has written.', ({ cluster }) => cluster.tiers),
  {
    name: 'felix_calc_graph_updates_processed',
    type: 'counter',
    help: 'Changes of resources that were taken in, by kind.',
    labels: ['type'],
    samples: ({ updates }) => [...updates].map(([type, value]) => ({ labels: { type }, value })),
  },
  gauge('label_index_num_endpoints', 'Endpoints and network sets whose labels are looked at.', ({ labelIndex }) => {
    return labelIndex.endpoints;
  }),
  gauge('label_index_num_active_selectors', 'Selectors of policies that these are compared with.', ({ labelIndex }) => {
    return labelIndex.selectors;
  }),
  gauge('resync_state', 'The store: 1 not read yet, 2 away, 3 in sync.', ({ store }) => STORE_STATES[store]),
  single('felix_resyncs_started', 'counter', 'How often all of the store was read.', ({ resyncs }) => resyncs),
  {
    name: 'felix_int_dataplane_apply_time_seconds',
    type: 'summary',
    help: 'How long passes took in which the kernel is compared with what is desired, and changed.',
    labels: [],
    samples: ({ passes }) => [
      { suffix: '_sum', labels: {}, value: passes.seconds },
      { suffix: '_count', labels: {}, value: passes.count },
    ],
  },
  single('felix_int_dataplane_failures', 'counter', 'Passes, and changes of the kernel, that failed.', ({ passes }) => {
    return passes.failures;
  }),
  single('felix_ipsets_calico', 'gauge', 'Sets of addresses in the packet filter.', ({ filter }) => filter.sets),
  ofTables(
    'iptables',
    { name: 'felix_iptables_chains', type: 'gauge', help: 'Chains in iptables, of one family.' },
    ({ chains }) => chains,
  ),
  ofTables(
    'iptables',
    { name: 'felix_iptables_rules', type: 'gauge', help: 'Rules in these chains.' },
    ({ rules }) => rules,
  ),
  ofFilter(
    'iptables',
    { name: 'felix_iptables_restore_calls', type: 'counter', help: 'Changes made with iptables-restore and ipset.' },
    ({ changes }) => changes,
  ),
  ofFilter(
    'iptables',
    { name: 'felix_iptables_restore_errors', type: 'counter', help: 'Changes of these that failed.' },
    ({ failures }) => failures,
  ),
  ofTables(
    'nftables',
    { name: 'felix_nft_chains', type: 'gauge', help: 'Chains in nftables.' },
    ({ chains }) => chains,
  ),
  ofTables(
    'nftables',
    { name: 'felix_nft_rules', type: 'gauge', help: 'Rules in these chains.' },
    ({ rules }) => rules,
  ),
  ofFilter('nftables', { name: 'felix_nft_sets', type: 'gauge', help: 'Sets in nftables.' }, ({ sets }) => sets),
  ofFilter(
    'nftables',
    { name: 'felix_nft_calls', type: 'counter', help: 'Transactions in nftables.' },
    ({ changes }) => changes,
  ),
  ofFilter(
    'nftables',
    { name: 'felix_nft_errors', type: 'counter', help: 'Transactions that failed.' },
    ({ failures }) => failures,
  ),
  ofFilter(
    'nftables',
    { name: 'felix_nft_list_calls', type: 'counter', help: 'How often the rules were read from the kernel.' },
    ({ readings }) => readings,
  ),
  {
    name: 'muslin_policy_denied_packets_total',
    type: 'counter',
    help: 'Packets that were denied, by whom; begins again at 0 when the rules are changed.',
    labels: ['tier', 'policy', 'direction'],
    samples: ({ denied }) =>
      denied.map(({ tier, policy, direction, packets }) => {
        return { labels: { tier, policy, direction }, value: packets };
      }),
  },
];
