/**
 * Which kinds of tunnels this host needs, and for how long it goes on receiving by one that it needs no more.
 *
 * A tunnel is needed as long as a pool asks for it: a disabled one, too, whose containers are still there. `ipipEnabled` and
 * `vxlanEnabled` overrule the pools, as in Calico. When the last pool has changed its mind, other hosts hear of it later than
 * this one, and send by the tunnel until then; so it is kept for a grace time. A host that is started within that time finds in its
 * Node resource that others may still send, and begins the time anew.
 */

import type { TunnelKind } from '../../felix/desired/tunnels.ts';
import { TUNNEL_KINDS, TUNNELS } from '../../felix/desired/tunnels.ts';
import type { Instant } from '../../lib/clock.ts';
import { after, earlier } from '../../lib/clock.ts';
import type { EffectiveFelix } from '../../model/felix-configuration.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { cidr, familyOf } from '../../net/cidr.ts';
import type { NodeAddresses } from '../bgp/bgp-resources.ts';

/** More than any host that lives needs to hear of a change. */
export const GRACE_MS = 60_000;

/** The tunnels that are needed, each with the pools that ask for it. `addresses`: of this host. */
export function neededTunnels(facts: {
  readonly pools: Iterable<IpPool>;
  readonly felix: Pick<EffectiveFelix, 'ipipEnabled' | 'vxlanEnabled'>;
  readonly addresses: NodeAddresses;
}): Map<TunnelKind, readonly IpPool[]> {
  const pools = [...facts.pools];
  const needed = new Map<TunnelKind, readonly IpPool[]>();
  for (const kind of TUNNEL_KINDS) {
    const asking = pools.filter((pool) => asksFor(pool, kind));
    const configured = kind === 'ipip' ? facts.felix.ipipEnabled : facts.felix.vxlanEnabled;
    // One that is switched on without a pool would have no address.
    if (asking.length === 0 || configured === false || facts.addresses[TUNNELS[kind].family] === undefined) continue;
    needed.set(kind, asking);
  }
  return needed;
}

function asksFor({ spec }: IpPool, kind: TunnelKind): boolean {
  if (familyOf(cidr(spec.cidr)) !== TUNNELS[kind].family) return false;
  return (kind === 'ipip' ? spec.ipipMode : spec.vxlanMode) !== 'Never';
}

export class TunnelGrace {
  /** Until when what is needed no more is kept. */
  readonly #until = new Map<TunnelKind, Instant>();
  #needed: ReadonlySet<TunnelKind> = new Set();

  /** `receiving`: the tunnels by which others may be sending. Gives those to keep. */
  update(now: Instant, needed: ReadonlySet<TunnelKind>, receiving: ReadonlySet<TunnelKind>): ReadonlySet<TunnelKind> {
    for (const kind of TUNNEL_KINDS) {
      if (needed.has(kind) || !receiving.has(kind)) this.#until.delete(kind);
      else if (!this.#until.has(kind)) this.#until.set(kind, after(now, GRACE_MS));
    }
    this.#needed = needed;
    return this.kept(now);
  }

  kept(now: Instant): ReadonlySet<TunnelKind> {
    const waiting = [...this.#until].filter(([, until]) => until > now).map(([kind]) => kind);
    return new Set([...this.#needed, ...waiting]);
  }

  /** When the next one is to go; undefined where none is. */
  nextTimer(now: Instant): Instant | undefined {
    return [...this.#until.values()].filter((until) => until > now).reduce<Instant | undefined>(earlier, undefined);
  }
}
