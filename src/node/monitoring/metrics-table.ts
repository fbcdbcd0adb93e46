/**
 * What is measured: one table, a row for each metric, from which the page, and the check of docs/metrics.md, are made.
 *
 * Numbers are taken from the speaker's views when somebody asks, so that measuring costs nothing in between. Each peer adds a
 * fixed number of lines, policies at most a fixed number of their own, so the page is bounded by the peers. Names are in base units.
 *
 * Called by metrics-server.ts.
 */
import type { SessionState } from '../../bgp/contract.ts';
import type { MessageCounts, NeighborView, TableSizes } from '../../bgp/observe/views.ts';
import type { BgpStatus, Readiness } from '../control-api.ts';
import type { FelixNumbers } from './felix-metrics.ts';
import { FELIX_ROWS } from './felix-metrics.ts';
import type { Labels, MetricFamily, Sample } from './metrics-text.ts';
import { familyText } from './metrics-text.ts';

export interface Measured {
  readonly version: string;
  readonly readiness: Readiness;
  readonly bgp: BgpStatus;
  readonly sizes: TableSizes;
  readonly neighbors: readonly NeighborView[];
  /** Undefined for a speaker that runs alone. */
  readonly felix: FelixNumbers | undefined;
  readonly process: ProcessNumbers;
}

/** Since when and how much, of the process as a whole. */
export interface ProcessNumbers {
  readonly startedAtSeconds: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  /** How much later than due the event loop did its work, since the page was made the last time. */
  readonly loopLagSeconds: { readonly median: number; readonly p99: number; readonly max: number };
}

interface MetricRow extends MetricFamily {
  /** Names of labels, for the documentation. */
  readonly labels: readonly string[];
  readonly samples: (measured: Measured) => readonly Sample[];
}

/** As bgpPeerState of RFC 4273 has them. */
const STATE_NUMBERS: Readonly<Record<SessionState, number>> = {
  Idle: 1,
  Connect: 2,
  Active: 3,
  OpenSent: 4,
  OpenConfirm: 5,
  Established: 6,
};

/** A metric with one sample. */
function single(
  name: string,
  type: MetricFamily['type'],
  help: string,
  value: (measured: Measured) => number,
): MetricRow {
  return { name, type, help, labels: [], samples: (measured) => [{ labels: {}, value: value(measured) }] };
}

/** A metric with a sample for each peer. */
function perPeer(
  name: string,
  type: MetricFamily['type'],
  help: string,
  value: (peer: NeighborView) => number,
): MetricRow {
  const samples = ({ neighbors }: Measured) =>
    neighbors.map((peer) => ({ labels: { peer: peer.address }, value: value(peer) }));
  return { name: `muslin_bgp_peer_${name}`, type, help, labels: ['peer'], samples };
}

/** A metric with a sample for each peer and each direction, and more labels if `samples` gives them. */
function perDirection(
  name: string,
  help: string,
  labels: readonly string[],
  samples: (counts: MessageCounts) => readonly Sample[],
): MetricRow {
  const all = ({ neighbors }: Measured) =>
    neighbors.flatMap(({ address: peer, received, sent }) => [
      ...labelled({ peer, direction: 'in' }, samples(received)),
      ...labelled({ peer, direction: 'out' }, samples(sent)),
    ]);
  return { name: `muslin_bgp_peer_${name}`, type: 'counter', help, labels, samples: all };
}

function labelled(labels: Labels, samples: readonly Sample[]): Sample[] {
  return samples.map((sample) => ({ labels: { ...labels, ...sample.labels }, value: sample.value }));
}

function messageSamples({ opens, updates, notifications, keepalives, refreshes }: MessageCounts): Sample[] {
  const counts = {
    open: opens,
    update: updates,
    notification: notifications,
    keepalive: keepalives,
    refresh: refreshes,
  };
  return Object.entries(counts).map(([type, value]) => ({ labels: { type }, value }));
}

const BGP_ROWS: readonly MetricRow[] = [
  single(
    'muslin_bgp_running',
    'gauge',
    '1 while the speaker runs, 0 when something keeps it from running.',
    ({ bgp }) => Number(bgp.problem === ''),
  ),
  single('muslin_bgp_prefixes', 'gauge', 'Prefixes to which BGP knows a way.', ({ sizes }) => sizes.prefixes),
  single('muslin_bgp_paths', 'gauge', 'Candidates for all prefixes, our own among them.', ({ sizes }) => sizes.paths),
  single(
    'muslin_bgp_attribute_sets',
    'gauge',
    'Different sets of path attributes in memory.',
    ({ sizes }) => sizes.attributeSets,
  ),
  single(
    'muslin_bgp_originated_prefixes',
    'gauge',
    'Prefixes that this host announces itself.',
    ({ bgp }) => bgp.announced,
  ),
  {
    name: 'muslin_bgp_peer_info',
    type: 'gauge',
    help: 'Always 1; its labels say who the peer is, to be joined with the other metrics.',
    labels: ['peer', 'asn', 'type', 'description'],
    samples: ({ neighbors }) =>
      neighbors.map(({ address: peer, asn, type, description }) => {
        return { labels: { peer, asn: String(asn), type, description }, value: 1 };
      }),
  },
  perPeer('up', 'gauge', '1 while the session is Established, else 0.', ({ state }) => Number(state === 'Established')),
  perPeer(
    'state',
    'gauge',
    'State of the session: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, 5 OpenConfirm, 6 Established.',
    ({ state }) => STATE_NUMBERS[state],
  ),
  perPeer('state_seconds', 'gauge', 'How long the session has been in its state.', ({ forMs }) => forMs / 1_000),
  perPeer('established_total', 'counter', 'How often the session was established.', ({ established }) => established),
  perPeer('flaps_total', 'counter', 'How often an Established session was lost.', ({ flaps }) => flaps),
  perPeer('stale', 'gauge', '1 while the routes of a peer that is away are kept (graceful restart).', ({ stale }) =>
    Number(stale),
  ),
  perPeer(
    'prefixes_received',
    'gauge',
    'Routes that the peer sends, before the import policy.',
    ({ prefixesReceived }) => prefixesReceived,
  ),
  perPeer(
    'prefixes_accepted',
    'gauge',
    'Routes of the peer that the import policy let through.',
    ({ prefixesAccepted }) => prefixesAccepted,
  ),
  perPeer('prefixes_sent', 'gauge', 'Routes that the peer is sent.', ({ prefixesSent }) => prefixesSent),
  perDirection(
    'messages_total',
    'Messages received (in) and sent (out), by type: open, update, notification, keepalive, refresh.',
    ['peer', 'direction', 'type'],
    messageSamples,
  ),
  perDirection('bytes_total', 'Bytes received (in) and sent (out).', ['peer', 'direction'], ({ bytes }) => [
    { labels: {}, value: bytes },
  ]),
  perPeer(
    'last_notification_code',
    'gauge',
    'Error code of the last NOTIFICATION received or sent (RFC 4271 section 4.5); 0 when there was none.',
    ({ lastNotification: last }) => last?.code ?? 0,
  ),
  perPeer(
    'last_notification_subcode',
    'gauge',
    'Error subcode of the last NOTIFICATION received or sent; 0 when there was none.',
    ({ lastNotification: last }) => last?.subcode ?? 0,
  ),
  perPeer(
    'treated_as_withdraw_total',
    'counter',
    'UPDATEs that were malformed and taken for a withdrawal of their routes (RFC 7606).',
    ({ treatedAsWithdraw }) => treatedAsWithdraw,
  ),
  perPeer(
    'attributes_discarded_total',
    'counter',
    'UPDATEs of which a malformed attribute was left out (RFC 7606).',
    ({ attributesDiscarded }) => attributesDiscarded,
  ),
  perPeer(
    'loops_total',
    'counter',
    'Routes not used because our own AS, router or cluster identifier was in them.',
    ({ loops }) => loops,
  ),
  perPeer(
    'queued_bytes',
    'gauge',
    'Bytes that wait to be sent: the peer reads slowly.',
    ({ queuedBytes }) => queuedBytes,
  ),
];

const PROCESS_ROWS: readonly MetricRow[] = [
  {
    name: 'muslin_info',
    type: 'gauge',
    help: 'Always 1; its label is the version that runs.',
    labels: ['version'],
    samples: ({ version }) => [{ labels: { version }, value: 1 }],
  },
  single(
    'muslin_ready',
    'gauge',
    '1 when what runs here does what it is there for, as /readyz says.',
    ({ readiness }) => Number(readiness.ready),
  ),
  {
    name: 'muslin_event_loop_lag_seconds',
    type: 'gauge',
    help: 'How late the event loop was since the last time this page was read: 0.5 is the median, 1 the worst.',
    labels: ['quantile'],
    samples: ({ process: { loopLagSeconds: lag } }) => [
      { labels: { quantile: '0.5' }, value: lag.median },
      { labels: { quantile: '0.99' }, value: lag.p99 },
      { labels: { quantile: '1' }, value: lag.max },
    ],
  },
  single('process_start_time_seconds', 'gauge', 'When the process began, in seconds since 1970.', ({ process }) => {
    return process.startedAtSeconds;
  }),
  single('process_cpu_seconds_total', 'counter', 'CPU time used, of the kernel on our behalf too.', ({ process }) => {
    return process.cpuSeconds;
  }),
  single('process_resident_memory_bytes', 'gauge', 'Memory that the process occupies.', ({ process }) => {
    return process.residentBytes;
  }),
  single('nodejs_heap_size_used_bytes', 'gauge', 'Of the JavaScript heap, what is in use.', ({ process }) => {
    return process.heapUsedBytes;
  }),
];

const POLICY_ROWS: readonly MetricRow[] = FELIX_ROWS.map((row) => {
  return { ...row, samples: ({ felix }) => (felix === undefined ? [] : row.samples(felix)) };
});

export const METRICS: readonly MetricRow[] = [...BGP_ROWS, ...POLICY_ROWS, ...PROCESS_ROWS];

/** The page as Prometheus reads it. */
export function metricsPage(measured: Measured): string {
  return METRICS.map((row) => familyText(row, row.samples(measured))).join('');
}
