/**
 * KubeControllersConfiguration: how Calico's controllers beside Kubernetes work, one object called "default".
 *
 * muslin has no such controllers: its agents do that work themselves. The object is read, checked and kept, so that what a
 * cluster has can be applied as a whole, and absent fields stay absent.
 */
import { z } from 'zod';
import { soleNameProblem } from './configuration-name.ts';
import { regexField } from './felix-fields.ts';
import { cidrField, durationField, mapping, selectorField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Resource } from './resource.ts';

/** Templates are written by hand, each for a sort of device. */
const TEMPLATES_MAX = 100;

const onOff = () => z.enum(['Enabled', 'Disabled']).exactOptional();
const port = () => z.int().min(0).max(65535).exactOptional();
const words = () => z.record(z.string(), z.string()).exactOptional();
const period = () => durationField().exactOptional();
const periodic = () => mapping({ reconcilerPeriod: period() }).exactOptional();

const hostEndpointTemplate = mapping({
  generateName: z.string().exactOptional(),
  interfaceCIDRs: z.array(cidrField()).readonly().exactOptional(),
  interfacePattern: regexField().exactOptional(),
  labels: words(),
  annotations: words(),
  nodeSelector: selectorField().exactOptional(),
});

const node = mapping({
  reconcilerPeriod: period(),
  syncLabels: onOff(),
  hostEndpoint: mapping({
    autoCreate: onOff(),
    createDefaultHostEndpoint: onOff(),
    templates: z.array(hostEndpointTemplate).max(TEMPLATES_MAX).readonly().exactOptional(),
  }).exactOptional(),
  leakGracePeriod: period(),
});

const controllers = mapping({
  node: node.exactOptional(),
  policy: periodic(),
  workloadEndpoint: periodic(),
  serviceAccount: periodic(),
  namespace: periodic(),
  loadBalancer: mapping({
    assignIPs: z.enum(['AllServices', 'RequestedServicesOnly']).exactOptional(),
  }).exactOptional(),
  migration: mapping({ policyNameMigrator: onOff() }).exactOptional(),
});

const spec = mapping({
  logSeverityScreen: z.enum(['None', 'Debug', 'Info', 'Warning', 'Error', 'Fatal', 'Panic']).exactOptional(),
  healthChecks: onOff(),
  etcdV3CompactionPeriod: period(),
  prometheusMetricsPort: port(),
  debugProfilePort: port(),
  controllers: controllers.exactOptional(),
});

export type KubeControllersConfigurationSpec = Readonly<z.infer<typeof spec>>;
export type KubeControllersConfiguration = Resource<'KubeControllersConfiguration', KubeControllersConfigurationSpec>;

export const kubeControllersConfigurationKind = kindOf<
  'KubeControllersConfiguration',
  KubeControllersConfigurationSpec
>({
  kind: 'KubeControllersConfiguration',
  plural: 'kubecontrollersconfigurations',
  shortNames: ['kubecontrollersconfig'],
  namespaced: false,
  spec: spec.default({}),
  nameProblem: soleNameProblem,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'CONTROLLERS', cell: ({ spec }) => Object.keys(spec.controllers ?? {}).join(','), wide: true },
  ],
});
