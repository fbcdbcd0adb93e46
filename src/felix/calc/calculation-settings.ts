/**
 * What an operator can choose of the calculation, resolved from FelixConfiguration and BGPConfiguration.
 *
 * Pure. The agent makes it for its own node, the simulation for each node of a cluster.
 */
import type { BgpConfiguration } from '../../model/bgp-configuration.ts';
import type { EffectiveFelix } from '../../model/felix-configuration.ts';
import type { Cidr } from '../../net/cidr.ts';
import { cidr } from '../../net/cidr.ts';
import type { ProgramClusterRoutes } from './cluster-routes.ts';
import type { TunnelSettings } from './tunnel-calculation.ts';
import { TUNNEL_SETTINGS_DEFAULTS } from './tunnel-calculation.ts';

/** What an operator can choose of the calculation, from FelixConfiguration. */
export interface CalculationSettings {
  readonly floatingIps: boolean;
  /** Addresses and prefixes of hosts that are no nodes, but send us tunnelled packets. */
  readonly externalNodes: readonly string[];
  /** Which routes to other hosts follow from the store instead of BGP. */
  readonly programClusterRoutes: ProgramClusterRoutes;
  readonly tunnels: Omit<TunnelSettings, 'externalNodes'>;
  /** In which services are announced: BGPConfiguration's serviceLoadBalancerIPs. */
  readonly serviceRanges: readonly Cidr[];
}

/** What holds until a configuration is told. */
export const CALCULATION_SETTINGS_DEFAULTS: CalculationSettings = {
  floatingIps: false,
  externalNodes: [],
  programClusterRoutes: 'Disabled',
  tunnels: TUNNEL_SETTINGS_DEFAULTS,
  serviceRanges: [],
};

/** The settings that resources ask for; `speaksBgp` says who programs routes where nobody has said it. */
export function calculationSettings(
  felix: EffectiveFelix,
  bgp: BgpConfiguration | undefined,
  speaksBgp: boolean,
): CalculationSettings {
  const ranges = bgp?.spec.serviceLoadBalancerIPs ?? [];
  return {
    floatingIps: felix.floatingIPs === 'Enabled',
    externalNodes: felix.externalNodesList,
    programClusterRoutes: felix.programClusterRoutes ?? (speaksBgp ? 'Disabled' : 'Enabled'),
    tunnels: {
      vni: felix.vxlanVNI,
      port: felix.vxlanPort,
      mtus: { ipip: felix.ipipMTU, vxlan: felix.vxlanMTU, 'vxlan-v6': felix.vxlanMTUV6 },
    },
    serviceRanges: ranges.map((range) => cidr(range.cidr)),
  };
}
