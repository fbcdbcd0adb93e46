/**
 * Where FelixConfiguration wants this node's metrics: Calico's parameters, with Calico's meaning.
 *
 * Off unless `prometheusMetricsEnabled`; without a host on all addresses, at port 9091. A certificate or key makes it TLS.
 * Configurations lie one over the other: the default one, those whose selector chooses this node (by name, which makes the
 * order certain), the node's own.
 */
import type { FelixConfiguration } from '../../model/felix-configuration.ts';
import { effectiveFelix } from '../../model/felix-configuration.ts';
import type { Node } from '../../model/node.ts';
import { matches } from '../../model/selector.ts';
import { parseSelector } from '../../model/selector-parser.ts';
import type { MetricsPlace, MetricsTls } from './metrics-server.ts';

const CLIENTS = {
  RequireAndVerifyClientCert: 'verified',
  RequireAnyClientCert: 'any certificate',
  VerifyClientCertIfGiven: 'verified if given',
  NoClientCert: 'no certificate',
} as const satisfies Record<string, MetricsTls['clients']>;

/** Undefined for no endpoint. `configurations` are all there are, by name. */
export function metricsPlace(
  node: Node,
  configurations: ReadonlyMap<string, FelixConfiguration>,
): MetricsPlace | undefined {
  const chosen = [...configurations.values()].filter(({ spec }) => chooses(spec.nodeSelector, node));
  const felix = effectiveFelix([
    configurations.get('default'),
    ...chosen.toSorted((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1)),
    configurations.get(`node.${node.metadata.name}`),
  ]);
  if (!felix.prometheusMetricsEnabled || felix.prometheusMetricsPort === 0) return undefined;
  const { prometheusMetricsCertFile: certFile, prometheusMetricsKeyFile: keyFile } = felix;
  const tls: MetricsTls | undefined =
    certFile === undefined && keyFile === undefined
      ? undefined
      : {
          certFile,
          keyFile,
          caFile: felix.prometheusMetricsCAFile,
          clients: CLIENTS[felix.prometheusMetricsClientAuth],
        };
  return { host: felix.prometheusMetricsHost, port: felix.prometheusMetricsPort, tls };
}

function chooses(selector: string | undefined, { metadata }: Node): boolean {
  if (selector === undefined) return false;
  const parsed = parseSelector(selector);
  return parsed.ok && matches(parsed.selector, metadata.labels ?? {});
}
