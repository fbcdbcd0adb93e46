/**
 * From FelixConfiguration and the pools to what the packet filter is built with.
 *
 * Pure translation: names and meaning are Calico's. Where Calico has a parameter for iptables and one for nftables, the one of
 * the backend in force counts. A tunnel is in use when a pool uses it, unless the configuration says otherwise, and as long as
 * packets are still taken by it.
 */
import type { FailsafePort, FilterSettings, MarkBits } from '../../felix/desired/filter-settings.ts';
import type { TunnelKind } from '../../felix/desired/tunnels.ts';
import type { EffectiveFelix } from '../../model/felix-configuration.ts';
import type { SafePort } from '../../model/felix-fields.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { portRange } from '../../model/protocol.ts';
import { cidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import type { FelixOnNode } from '../felix-layers.ts';
import type { BackendKind } from './backend-choice.ts';

/**
 * On a FelixConfiguration: "false" keeps Calico's behaviour, where a connection outlives the policy that allowed it.
 */
const CUT_CONNECTIONS_ANNOTATION = 'muslin.io/cut-connections';

export function filterSettings(
  { felix, annotations }: FelixOnNode,
  pools: Iterable<IpPool>,
  backend: BackendKind,
  receiving: ReadonlySet<TunnelKind> = new Set(),
): FilterSettings {
  const used = [...pools];
  const nftables = backend === 'nftables';
  const ipip = receiving.has('ipip') || (felix.ipipEnabled ?? used.some(({ spec }) => spec.ipipMode !== 'Never'));
  const receivesVxlan = receiving.has('vxlan') || receiving.has('vxlan-v6');
  const vxlan = receivesVxlan || (felix.vxlanEnabled ?? used.some(({ spec }) => spec.vxlanMode !== 'Never'));
  const allow = nftables ? felix.nftablesFilterAllowAction : felix.iptablesFilterAllowAction;
  const mangleAllow = nftables ? felix.nftablesMangleAllowAction : felix.iptablesMangleAllowAction;
  const deny = nftables ? felix.nftablesFilterDenyAction : felix.iptablesFilterDenyAction;
  return {
    marks: markBits(nftables ? felix.nftablesMarkMask : felix.iptablesMarkMask),
    endpointToHostAction: lower(felix.defaultEndpointToHostAction),
    filterAllowAction: lower(allow),
    mangleAllowAction: lower(mangleAllow),
    denyAction: lower(deny),
    dropInvalid: !felix.disableConntrackInvalidCheck,
    logPrefix: felix.logPrefix,
    logRate: logRate(felix),
    failsafeInbound: felix.failsafeInboundHostPorts.map(failsafePort),
    failsafeOutbound: felix.failsafeOutboundHostPorts.map(failsafePort),
    vxlan: vxlan ? { port: felix.vxlanPort } : undefined,
    vxlanPort: felix.vxlanPort,
    ipip,
    vxlanFromWorkloads: felix.allowVXLANPacketsFromWorkloads,
    ipipFromWorkloads: felix.allowIPIPPacketsFromWorkloads,
    sourceSpoofing: felix.workloadSourceSpoofing === 'Any',
    natOutgoing: {
      ports: felix.natPortRange === undefined ? undefined : portRange(felix.natPortRange),
      address: felix.natOutgoingAddress === undefined ? undefined : ip(felix.natOutgoingAddress),
      excludeHosts: felix.natOutgoingExclusions === 'IPPoolsAndHostIPs',
      device: felix.iptablesNATOutgoingInterfaceFilter,
    },
    floatingIps: felix.floatingIPs === 'Enabled',
    insertMode: lower(felix.chainInsertMode),
    cutConnections: annotations[CUT_CONNECTIONS_ANNOTATION] !== 'false',
  };
}

/** The five lowest bits of the mask, as Felix takes them; the model sees to it that there are as many. */
function markBits(mask: number): MarkBits {
  const bits: number[] = [];
  for (let position = 0; position < 32; position++) {
    const bit = (1 << position) >>> 0;
    if ((mask & bit) !== 0) bits.push(bit);
  }
  const [accept = 0, pass = 0, drop = 0, scratch0 = 0, scratch1 = 0] = bits;
  return { accept, pass, drop, scratch0, scratch1 };
}

function logRate({ logActionRateLimit, logActionRateLimitBurst }: EffectiveFelix): FilterSettings['logRate'] {
  const [count = '', per] = logActionRateLimit?.split('/') ?? [];
  if (per !== 'second' && per !== 'minute' && per !== 'hour' && per !== 'day') return undefined;
  return { count: Number(count), per, burst: logActionRateLimitBurst };
}

function failsafePort({ protocol, port, net }: SafePort): FailsafePort {
  return { protocol, port, net: net === undefined ? undefined : cidr(net) };
}

function lower<Word extends string>(word: Word): Lowercase<Word> {
  return word.toLowerCase() as Lowercase<Word>; // what toLowerCase does, which the compiler does not know of it
}
