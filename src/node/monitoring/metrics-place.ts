/**
 * Where FelixConfiguration wants this node's metrics: Calico's parameters, with Calico's meaning.
 *
 * Off unless `prometheusMetricsEnabled`; without a host on all addresses, at port 9091. A certificate or key makes it TLS.
 */
import type { EffectiveFelix } from '../../model/felix-configuration.ts';
import type { MetricsPlace, MetricsTls } from './metrics-server.ts';

const CLIENTS = {
  RequireAndVerifyClientCert: 'verified',
  RequireAnyClientCert: 'any certificate',
  VerifyClientCertIfGiven: 'verified if given',
  NoClientCert: 'no certificate',
} as const satisfies Record<string, MetricsTls['clients']>;

/** Undefined for no endpoint. */
export function metricsPlace(felix: EffectiveFelix): MetricsPlace | undefined {
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
