/**
 * The metrics page: what it says of a speaker, that Prometheus' grammar holds, that the documentation has the same table; the
 * HTTP endpoint, its switch, and where FelixConfiguration wants it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import type { Log } from '../../lib/log.ts';
import { seededRandom } from '../../lib/prng.ts';
import type { FelixConfiguration, FelixConfigurationSpec } from '../../model/felix-configuration.ts';
import type { Node } from '../../model/node.ts';
import { fakeBgp, neighborView } from '../bgp/bgp-control.suite.ts';
import type { DenialView } from '../control-api.ts';
import { felixOnNode } from '../felix-layers.ts';
import type { FelixNumbers } from './felix-metrics.ts';
import { deniedBy } from './felix-numbers.ts';
import { metricsPlace } from './metrics-place.ts';
import { startMetricsServer } from './metrics-server.ts';
import { METRICS, type Measured, metricsPage } from './metrics-table.ts';
import { familyText } from './metrics-text.ts';
import { Monitoring } from './monitoring.ts';

const NEIGHBORS = [
  neighborView('10.0.0.2', { description: 'the "old" rack\\row\n2' }),
  neighborView('fe80::1%eth0', { state: 'Active', lastNotification: undefined, stale: true }),
];
const BGP = fakeBgp({ neighbors: NEIGHBORS });

const DENIED: DenialView = {
  owner: { kind: 'policy', name: 'NetworkPolicy shop/db', tier: 'default', direction: 'ingress', index: 0 },
  file: undefined,
  chain: 'cali-pi-np/shop/db',
  workload: undefined,
  packets: 3,
  bytes: 180,
};
const TIER_END = { kind: 'tier-end', name: 'default', tier: 'default', direction: 'egress', index: undefined } as const;

const FELIX: FelixNumbers = {
  endpoints: 2,
  policies: 3,
  selectors: 4,
  cluster: { hosts: 5, hostEndpoints: 1, policies: 6, profiles: 7, tiers: 8, workloadEndpoints: 9 },
  labelIndex: { endpoints: 10, selectors: 11 },
  updates: new Map([['WorkloadEndpoint', 12]]),
  store: 'in sync',
  resyncs: 1,
  passes: { count: 4, seconds: 0.5, failures: 2 },
  filter: {
    ...{ kind: 'nftables', tables: [{ table: 'filter', chains: 20, rules: 100 }], sets: 6 },
    ...{ changes: 7, failures: 1, readings: 2 },
  },
  denied: deniedBy([
    DENIED,
    { ...DENIED, owner: { ...DENIED.owner, index: 1 }, packets: 2 },
    { ...DENIED, owner: TIER_END, packets: 1 },
  ]),
};

const MEASURED: Measured = {
  version: '1.2.3',
  readiness: { ready: true, reasons: [] },
  bgp: BGP.status(),
  sizes: { prefixes: 5, paths: 7, attributeSets: 2 },
  neighbors: NEIGHBORS,
  felix: FELIX,
  process: {
    startedAtSeconds: 1_700_000_000,
    cpuSeconds: 1.5,
    residentBytes: 50e6,
    heapUsedBytes: 10e6,
    loopLagSeconds: { median: 0.001, p99: 0.01, max: 0.02 },
  },
};

const PAGE = metricsPage(MEASURED);

for (const line of [
  'muslin_info{version="1.2.3"} 1',
  'muslin_ready 1',
  'muslin_bgp_running 1',
  'muslin_bgp_prefixes 5',
  'muslin_bgp_paths 7',
  'muslin_bgp_peer_info{peer="10.0.0.2",asn="64512",type="internal",description="the \\"old\\" rack\\\\row\\n2"} 1',
  'muslin_bgp_peer_up{peer="10.0.0.2"} 1',
  'muslin_bgp_peer_up{peer="fe80::1%eth0"} 0',
  'muslin_bgp_peer_state{peer="fe80::1%eth0"} 3',
  'muslin_bgp_peer_state_seconds{peer="10.0.0.2"} 65',
  'muslin_bgp_peer_stale{peer="fe80::1%eth0"} 1',
  'muslin_bgp_peer_prefixes_received{peer="10.0.0.2"} 3',
  'muslin_bgp_peer_prefixes_accepted{peer="10.0.0.2"} 2',
  'muslin_bgp_peer_prefixes_sent{peer="10.0.0.2"} 1',
  'muslin_bgp_peer_messages_total{peer="10.0.0.2",direction="in",type="update"} 5',
  'muslin_bgp_peer_messages_total{peer="10.0.0.2",direction="out",type="update"} 2',
  'muslin_bgp_peer_bytes_total{peer="10.0.0.2",direction="in"} 400',
  'muslin_bgp_peer_last_notification_code{peer="10.0.0.2"} 6',
  'muslin_bgp_peer_last_notification_code{peer="fe80::1%eth0"} 0',
  'muslin_bgp_peer_flaps_total{peer="10.0.0.2"} 1',
  'muslin_event_loop_lag_seconds{quantile="0.99"} 0.01',
  'process_cpu_seconds_total 1.5',
  'felix_active_local_endpoints 2',
  'felix_cluster_num_workload_endpoints 9',
  'felix_calc_graph_updates_processed{type="WorkloadEndpoint"} 12',
  'felix_resync_state 3',
  'felix_int_dataplane_apply_time_seconds_sum 0.5',
  'felix_int_dataplane_apply_time_seconds_count 4',
  'felix_nft_rules{table="filter"} 100',
  'felix_nft_list_calls 2',
  'muslin_policy_denied_packets_total{tier="default",policy="NetworkPolicy shop/db",direction="ingress"} 5',
  'muslin_policy_denied_packets_total{tier="default",policy="tier-end default",direction="egress"} 1',
]) {
  test(`the page says ${line}`, () => assert.ok(PAGE.split('\n').includes(line), PAGE));
}

/** Prometheus' grammar for a line that is no comment. */
const SAMPLE =
  /^[a-z_]+(\{[a-z]+="([^"\\\n]|\\["\\n])*"(,[a-z]+="([^"\\\n]|\\["\\n])*")*\})? -?(\d+(\.\d+)?(e[+-]?\d+)?)$/;

test('every line is of the format, each family stands once and together, counters are called so', () => {
  const families: string[] = [];
  for (const line of PAGE.trimEnd().split('\n')) {
    const [, family] = /^# HELP ([a-z0-9_]+) [A-Z0-9].*\.$/.exec(line) ?? [];
    if (family !== undefined) families.push(family);
    else if (line.startsWith('#'))
      assert.match(line, new RegExp(`^# TYPE ${families.at(-1)} (counter|gauge|summary)$`));
    else {
      assert.match(line, SAMPLE);
      assert.match(line, new RegExp(`^${families.at(-1)}(_sum|_count)?[ {]`));
    }
  }
  assert.equal(new Set(families).size, families.length);
  const ours = METRICS.filter(({ name }) => !name.startsWith('felix_')); // Calico's names stay as they are
  for (const { name, type } of ours) assert.equal(name.endsWith('_total'), type === 'counter', name);
});

test('each family has the labels that its row says', () => {
  for (const { name, labels, samples } of METRICS) {
    for (const sample of samples(MEASURED)) assert.deepEqual(Object.keys(sample.labels), labels, name);
  }
});

test('a family without samples is not mentioned; numbers without end are spelt as Prometheus reads them', () => {
  const family = { name: 'a', type: 'gauge', help: 'b.' } as const;
  assert.equal(familyText(family, []), '');
  const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const text = familyText(
    family,
    values.map((value) => ({ labels: {}, value })),
  );
  assert.equal(text, '# HELP a b.\n# TYPE a gauge\na NaN\na +Inf\na -Inf\n');
});

test('a speaker alone says nothing of Felix, and of two backends the one in force is told', () => {
  assert.doesNotMatch(metricsPage({ ...MEASURED, felix: undefined }), /felix|muslin_policy/);
  const iptables = { ...FELIX, filter: { ...FELIX.filter, kind: 'iptables' } } as const;
  const page = metricsPage({ ...MEASURED, felix: iptables });
  assert.match(page, /^felix_iptables_restore_errors 1$/m);
  assert.doesNotMatch(page, /felix_nft/);
  assert.doesNotMatch(PAGE, /felix_iptables/);
});

test('docs/metrics.md has the same metrics, in the same words', () => {
  const documented = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  const rows = METRICS.map(({ name, type, labels, help }) => {
    return `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`;
  });
  assert.deepEqual(documented, rows);
});

test('the endpoint answers metrics and health, and nothing else', async () => {
  let ready = true;
  const readiness = () => ({ ready, reasons: ready ? [] : ['the store is away', 'a route is missing'] });
  const server = await startMetricsServer({ host: '127.0.0.1', port: 0 }, { readiness, bgp: BGP });
  try {
    const get = async (path: string, method = 'GET') => {
      const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
      return { code: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
    };
    const page = await get('/metrics');
    assert.deepEqual([page.code, page.type], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    assert.match(page.text, /^muslin_bgp_peer_up\{peer="10.0.0.2"\} 1$/m);
    assert.match(page.text, /^process_resident_memory_bytes \d{7,}$/m);
    assert.match(page.text, /^muslin_event_loop_lag_seconds\{quantile="1"\} \d/m);
    assert.equal((await get('/metrics', 'POST')).code, 405);
    assert.equal((await get('/metrics?x=1')).code, 200);
    assert.equal((await get('/livez')).text, 'live\n');
    assert.deepEqual([(await get('/readyz')).code, (await get('/readiness')).code], [200, 200]);
    ready = false;
    const { code, text } = await get('/readyz');
    assert.deepEqual([code, text], [503, 'not ready: the store is away; a route is missing\n']);
    assert.equal((await get('/status')).code, 404);
  } finally {
    await server.close();
  }
});

interface Line {
  readonly level: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A log of which a test can wait for a line. */
function watchedLog() {
  const lines: Line[] = [];
  let wake = () => {};
  const say =
    (level: string) =>
    (message: string, data = {}) => {
      lines.push({ level, message, data });
      wake();
    };
  const log: Log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error'), child: () => log };
  const until = async (message: string): Promise<Line> => {
    for (;;) {
      const index = lines.findIndex((line) => line.message === message);
      const [found] = index < 0 ? [] : lines.splice(index, 1);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { log, until };
}

test('the endpoint is switched on, over and off while all goes on; a port that is taken is an error in the log', {
  timeout: 20_000,
}, async () => {
  const { log, until } = watchedLog();
  const readiness = () => ({ ready: true, reasons: [] });
  const monitoring = new Monitoring({ bgp: BGP, readiness, systemName: 'host-a', log, random: seededRandom(1) });
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(typeof address === 'object' && address !== null);
  try {
    monitoring.configure({ metrics: { host: '127.0.0.1', port: 0 }, collectors: [] });
    const { data } = await until('metrics are served');
    const page = `http://127.0.0.1:${data['port']}/metrics`;
    assert.equal((await fetch(page)).status, 200);
    monitoring.configure({ metrics: { host: '127.0.0.1', port: address.port }, collectors: [] });
    const failure = await until('metrics cannot be served, trying again');
    assert.match(String(failure.data['error']), /EADDRINUSE/);
    await assert.rejects(fetch(page));
    monitoring.configure({
      metrics: {
        host: '127.0.0.1',
        port: 0,
        tls: { certFile: 'a.pem', keyFile: undefined, caFile: undefined, clients: 'verified' },
      },
      collectors: [],
    });
    assert.match(
      String((await until('metrics cannot be served, trying again')).data['error']),
      /CertFile and .*KeyFile/,
    );
  } finally {
    taken.close();
    await monitoring.close();
  }
});

const NODE: Node = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'Node',
  metadata: { name: 'host-a', labels: { rack: 'r1' } },
  spec: {},
};

function configurations(specs: Readonly<Record<string, FelixConfigurationSpec>>): Map<string, FelixConfiguration> {
  return new Map(
    Object.entries(specs).map(([name, spec]) => {
      return [name, { apiVersion: 'projectcalico.org/v3', kind: 'FelixConfiguration', metadata: { name }, spec }];
    }),
  );
}

const ON = { prometheusMetricsEnabled: true };

for (const [title, specs, place] of [
  ['no configuration', {}, undefined],
  ['metrics that are not enabled', { default: { prometheusMetricsPort: 9200 } }, undefined],
  ['metrics that are enabled', { default: ON }, { host: undefined, port: 9091, tls: undefined }],
  ['port 0', { default: { ...ON, prometheusMetricsPort: 0 } }, undefined],
  [
    "the node's own over the default",
    { default: { ...ON, prometheusMetricsPort: 1 }, 'node.host-a': { prometheusMetricsHost: '127.0.0.1' } },
    { host: '127.0.0.1', port: 1, tls: undefined },
  ],
  ["another node's", { 'node.host-b': ON }, undefined],
  [
    'one that chooses the node',
    { racks: { ...ON, nodeSelector: 'rack == "r1"' } },
    { host: undefined, port: 9091, tls: undefined },
  ],
  ['one that chooses others', { racks: { ...ON, nodeSelector: 'rack == "r2"' } }, undefined],
  [
    'a certificate',
    {
      default: {
        ...ON,
        prometheusMetricsCertFile: '/c',
        prometheusMetricsKeyFile: '/k',
        prometheusMetricsClientAuth: 'NoClientCert',
      },
    },
    {
      host: undefined,
      port: 9091,
      tls: { certFile: '/c', keyFile: '/k', caFile: undefined, clients: 'no certificate' },
    },
  ],
] as const satisfies readonly (readonly [string, Readonly<Record<string, FelixConfigurationSpec>>, unknown])[]) {
  test(`${title} makes ${place === undefined ? 'no endpoint' : 'an endpoint'}`, () => {
    assert.deepEqual(metricsPlace(felixOnNode('host-a', NODE, configurations(specs)).felix), place);
  });
}
