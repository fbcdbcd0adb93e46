/**
 * Which of the kernel's packet filters muslin uses on this host, and why.
 *
 * FelixConfiguration's `nftablesMode` decides: Enabled is nftables; Disabled is iptables, in the variant that `iptablesBackend`
 * names; Auto is nftables where it works, else iptables. What is asked for by name is taken or refused, never replaced. The reason is for `muslin node status`.
 */
import type { EffectiveFelix } from '../../model/felix-configuration.ts';
import { parseDurationMs } from '../bgp/peer-settings.ts';

export type BackendKind = 'nftables' | 'iptables';
export type IptablesVariant = 'legacy' | 'nft';

export interface BackendChoice {
  readonly kind: BackendKind;
  /** Of iptables; undefined lets the tools that are installed decide. */
  readonly variant: IptablesVariant | undefined;
  /** iptables: before or after what others have in the kernel's chains. */
  readonly insertMode: 'insert' | 'append';
  /** How often the kernel's rules are read although nothing tells of a change, in milliseconds; undefined: never. */
  readonly refreshMs: number | undefined;
  readonly why: string;
}

/** `nftablesProblem` finds out why nftables does not work here; undefined when it does. */
export function chooseBackend(felix: EffectiveFelix, nftablesProblem: () => string | undefined): BackendChoice {
  const insertMode = felix.chainInsertMode === 'Append' ? 'append' : 'insert';
  const nftablesRefreshMs = refreshMs(felix.nftablesRefreshInterval);
  const nftables = { kind: 'nftables', variant: undefined, insertMode, refreshMs: nftablesRefreshMs } as const;
  const iptables = { kind: 'iptables', insertMode, refreshMs: refreshMs(felix.iptablesRefreshInterval) } as const;
  const variant = felix.iptablesBackend === 'Auto' ? undefined : felix.iptablesBackend === 'NFT' ? 'nft' : 'legacy';
  switch (felix.nftablesMode) {
    case 'Enabled':
      return { ...nftables, why: 'FelixConfiguration: nftablesMode Enabled' };
    case 'Disabled':
      return { ...iptables, variant, why: 'FelixConfiguration: nftablesMode Disabled' };
    case 'Auto': {
      const problem = nftablesProblem();
      if (problem === undefined) return { ...nftables, why: 'nftablesMode Auto, and nftables works here' };
      const why = `nftablesMode Auto, and nftables does not work here: ${problem}`;
      return { ...iptables, variant, why };
    }
  }
}

/** 0 is "never", as in Calico. */
function refreshMs(interval: string): number | undefined {
  const milliseconds = parseDurationMs(interval) ?? 0;
  return milliseconds === 0 ? undefined : milliseconds;
}
