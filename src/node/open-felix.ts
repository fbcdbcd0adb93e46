/**
 * Felix with all that it acts through: kernel, packet filter, connection tracking.
 *
 *   Felix ─► kernel (netlink)          packet filter ─► cutter: connections that it no longer allows
 *         └► packet filter             Felix ─► cutter: connections of containers that are gone
 *
 * Everything is opened in the calling thread's network namespace and goes to `closers`, to be closed in the opposite order.
 */
import { join } from 'node:path';
import type { Announcement } from '../felix/desired/desired.ts';
import { openIpipPrograms } from '../kernel/bpf/ipip-programs.ts';
import { openConntrack } from '../kernel/conntrack.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/netlink-kernel.ts';
import { releaseFreeMemory } from '../kernel/process-memory.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import type { TunnelWorld } from './felix.ts';
import { Felix } from './felix.ts';
import { ConnectionCutter } from './filter/connection-cutter.ts';
import { openFilterBackend, openGuard, openLeftovers, recordBackends } from './filter/open-backend.ts';
import { PacketFilter } from './filter/packet-filter.ts';
import { recordSetting, SETTINGS_FILE_NAME } from './settings-record.ts';

/** After everything is in force for the first time: what starting has left behind is garbage by then. */
const STARTED_MS = 2_000;
/** In the run directory: which packet filters may have rules of ours. */
export const BACKENDS_FILE_NAME = 'packet-filters';

export interface OpenFelix {
  readonly felix: Felix;
  readonly kernel: Kernel;
  readonly filter: PacketFilter;
}

/** Throws KernelError where the kernel has not what is needed. */
export function openFelix(options: {
  readonly node: string;
  readonly runDirectory: string;
  readonly onAnnouncements: (announcements: readonly Announcement[]) => void;
  /** Called after each pass with the tunnels that receive. */
  readonly onTunnelsReady: TunnelWorld['onReady'];
  /** Called when everything is in force for the first time. */
  readonly onFirstSync: () => void;
  readonly log: Log;
  readonly random: Random;
  readonly closers: (() => unknown)[];
}): OpenFelix {
  const { node, runDirectory, onAnnouncements, onTunnelsReady, onFirstSync, log, random, closers } = options;
  const kernel = openKernel();
  closers.push(() => kernel.close());
  const settingsFile = join(runDirectory, SETTINGS_FILE_NAME);
  const backendsFile = join(runDirectory, BACKENDS_FILE_NAME);
  const filter = new PacketFilter({
    openBackend: (choice) => openFilterBackend(choice),
    openLeftovers: () => openLeftovers(backendsFile),
    onBackends: (identities) => recordBackends(backendsFile, identities),
    onApplied: (devices) => cutter.policyChanged(devices),
    log,
  });
  closers.push(() => filter.close());
  const felix: Felix = new Felix({
    ...{ node, kernel, filter, log, random, onAnnouncements },
    tunnels: { openIpipPrograms: () => openIpipPrograms(), onReady: onTunnelsReady },
    onAddressesGone: (addresses) => cutter.addressesGone(addresses),
    beforeHostSetting: (name, value) => recordSetting(settingsFile, kernel, { name, value }),
    onFirstSync: () => {
      onFirstSync();
      setTimeout(releaseFreeMemory, STARTED_MS).unref();
    },
  });
  const conntrack = openConntrack();
  closers.push(() => conntrack.close());
  const guard = openGuard();
  closers.push(() => guard?.close());
  const ground = () => felix.cuttingGround();
  const cutter: ConnectionCutter = new ConnectionCutter({ conntrack, guard, ground, log, random });
  closers.push(() => cutter.close());
  return { felix, kernel, filter };
}
