/**
 * Which running connections policy no longer allows.
 *
 * A packet filter asks policy about the first packet of a connection only. After policy has changed, each tracked
 * connection of a local container is judged anew, as if its first packet came now, by the program that was given to the
 * kernel. What would be dropped is to be cut.
 *
 * The packet is judged as the filter table sees it: from the original source to the destination behind all translation
 * (the reply's source), so that floating addresses and other people's port mappings are the same. Policy of host endpoints that
 * holds before translation (preDNAT) therefore cuts nothing. At the far end of a container's connection the device
 * is the one that the route to there has; where there is no route, and for connections of no local container, as those of the
 * host itself, nothing is said. Announced connections (FTP's data) stand and fall by themselves and are left alone.
 *
 * Called by node/filter/connection-cutter.ts.
 */
import { CONNTRACK_STATUS, type ConntrackEntry } from '../../net/conntrack-entry.ts';
import { formatIp, type Ip } from '../../net/ip.ts';
import type { Evaluation, Packet } from './filter/evaluate.ts';
import type { FilterWorld } from './filter/match.ts';
import type { Rule } from './filter/program.ts';

/** Devices of containers whose rules have changed. */
export type ChangedDevices = ReadonlySet<string> | 'all';

/** Local containers' addresses in text, and the device that leads to each. */
export type LocalAddresses = ReadonlyMap<string, string>;

export interface Judge {
  readonly evaluate: Evaluation;
  readonly world: FilterWorld;
  readonly local: LocalAddresses;
}

export interface Cut {
  readonly entry: ConntrackEntry;
  readonly by: Rule;
}

/** Those of the entries that are to be cut, with the rule that denies each; only connections of changed devices are judged. */
export function connectionsToCut(entries: readonly ConntrackEntry[], judge: Judge, changed: ChangedDevices): Cut[] {
  return entries.flatMap((entry) => {
    const packet = firstPacketOf(entry, judge, changed);
    if (packet === undefined) return [];
    const { verdict, by } = judge.evaluate(packet);
    // Without a rule it is routing that knows no way, which policy has nothing to do with.
    return verdict === 'accept' || by === undefined ? [] : [{ entry, by }];
  });
}

/** Those of the entries that one of the addresses, in text, is an end of, as containers see it or as the outside does. */
export function connectionsOf(entries: readonly ConntrackEntry[], addresses: ReadonlySet<string>): ConntrackEntry[] {
  if (addresses.size === 0) return [];
  const isEnd = (address: Ip) => addresses.has(formatIp(address));
  return entries.filter(
    ({ original, reply }) => isEnd(original.source) || isEnd(original.destination) || isEnd(reply.source),
  );
}

const NEVER_JUDGED = CONNTRACK_STATUS.expected | CONNTRACK_STATUS.dying;

/** The packet that began the connection, as it would come now; undefined where that is not to be judged. */
function firstPacketOf(
  { original, reply, status }: ConntrackEntry,
  { world, local }: Judge,
  changed: ChangedDevices,
): Packet | undefined {
  if ((status & NEVER_JUDGED) !== 0) return undefined;
  const { source } = original;
  const destination = reply.source;
  const from = local.get(formatIp(source));
  const to = local.get(formatIp(destination));
  const concerns = (device: string | undefined): boolean =>
    device !== undefined && (changed === 'all' || changed.has(device));
  if (!concerns(from) && !concerns(to)) return undefined;

  const inDevice = from ?? farDevice(source, world);
  const outDevice = to ?? farDevice(destination, world);
  if (inDevice === 'unknown' || outDevice === 'unknown') return undefined;
  const { sourcePort, icmp } = original;
  const destinationPort = reply.sourcePort;
  return {
    protocol: original.protocol,
    source,
    destination,
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(destinationPort === undefined ? {} : { destinationPort }),
    ...(icmp === undefined ? {} : { icmpType: icmp.type, icmpCode: icmp.code }),
    state: 'new',
    inDevice,
    outDevice,
  };
}

/** The device of one who is no local container; undefined for the host itself. */
function farDevice(address: Ip, world: FilterWorld): string | undefined | 'unknown' {
  if (world.isLocal(address, undefined)) return undefined;
  return world.deviceOf(address) ?? 'unknown';
}
