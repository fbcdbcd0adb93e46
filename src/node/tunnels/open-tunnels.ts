/**
 * Wiring of the keeper of this host's tunnels: store and IPAM on one side, Felix and the feed on the other.
 *
 * It runs until the agent stops; what it waits for then goes to `closers`.
 */
import { monotonicNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import type { Store } from '../../store/store.ts';
import type { AddressAllocator } from '../addresses/address-allocator.ts';
import type { Felix } from '../felix.ts';
import type { ResourceFeed } from '../resource-feed.ts';
import { TunnelKeeper } from './tunnel-keeper.ts';

export function openTunnels(parts: {
  readonly node: string;
  /** Whose writes the feed hears at once. */
  readonly store: Store;
  readonly allocator: AddressAllocator;
  readonly felix: Felix;
  readonly feed: ResourceFeed;
  readonly log: Log;
  readonly random: Random;
  readonly stopping: AbortController;
  readonly closers: (() => unknown)[];
}): TunnelKeeper {
  const { node, store, allocator, felix, feed, log, random, stopping, closers } = parts;
  const keeper = new TunnelKeeper({
    ...{ node, store, allocator, log, random, now: monotonicNow },
    setTunnel: (kind, address) => felix.setTunnel(kind, address),
    onClosed: () => feed.tunnelsChanged(),
  });
  const keeping = keeper.run(stopping.signal);
  closers.push(
    () => keeping,
    () => stopping.abort(),
  );
  return keeper;
}
