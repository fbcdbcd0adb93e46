/**
 * The speaker's table as an MRT file (bgp/mrt.ts), written while the speaker goes on.
 *
 * A page of the table is encoded in one turn of the loop, and the next one only after the reader has taken it. So the file is
 * not one moment of the table: a prefix that changes meanwhile is written as it was before or after. A reader that goes
 * away ends it. Our own routes are those of peer 0, whose address is 0.0.0.0, as other speakers write it.
 *
 * Called by control-server.ts.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MrtPath, MrtPeer } from '../../bgp/observe/mrt.ts';
import { encodePeerIndexTable, encodeRib, MRT_PEERS_MAX } from '../../bgp/observe/mrt.ts';
import type { DumpEntry } from '../../bgp/observe/views.ts';
import { wallClockNow } from '../../lib/clock.ts';
import { routerIdFromIp } from '../../net/asn.ts';
import type { Ip } from '../../net/ip.ts';
import { ip, parseIp } from '../../net/ip.ts';
import type { BgpControl } from '../control-api.ts';

/** Prefixes a turn of the loop: a few milliseconds. */
const PAGE_PREFIXES = 500;

const OWN_PEER = 0;
/** When the speaker does not run yet it has no identifier; an empty table is still a valid file. */
const NO_ROUTER_ID = ip('0.0.0.1');

/** Writes everything and ends `output`; resolves when all is written or the reader has gone. */
export async function writeMrtDump(
  bgp: Pick<BgpControl, 'status' | 'peers' | 'dump'>,
  output: Writable,
): Promise<void> {
  const gone = new AbortController();
  output.once('close', () => gone.abort());
  output.on('error', () => gone.abort());
  const seconds = Math.floor(wallClockNow() / 1_000);
  const { asn, routerId } = bgp.status();
  const collector = routerIdFromIp(parsedOr(routerId, NO_ROUTER_ID));
  const peers: MrtPeer[] = [{ routerId: collector, address: ip('0.0.0.0'), asn: asn ?? 0 }];
  const places = new Map<string, number>();
  for (const { address, asn, routerId } of bgp.peers().slice(0, MRT_PEERS_MAX - 1)) {
    const parsed = parseIp(address.split('%')[0] ?? '');
    if (parsed === undefined) continue;
    places.set(address, peers.length);
    peers.push({ routerId: routerId === undefined ? 0 : routerIdFromIp(ip(routerId)), address: parsed, asn });
  }
  output.write(encodePeerIndexTable(seconds, collector, peers));
  let after: string | undefined;
  let sequence = 0;
  do {
    const { entries, next } = bgp.dump({ received: undefined, after, limit: PAGE_PREFIXES });
    const records: Uint8Array[] = [];
    for (const entry of entries) {
      const paths = pathsOf(entry, places);
      if (paths.length > 0) records.push(encodeRib(seconds, sequence++, entry.prefix, paths));
    }
    const goesOn = output.write(Buffer.concat(records));
    after = next;
    if (goesOn) await nextTurn();
    else await once(output, 'drain', { signal: gone.signal }).catch(() => undefined);
  } while (after !== undefined && !gone.signal.aborted);
  output.end();
}

/** Of a peer that came after the list was written nothing is said. */
function pathsOf({ paths }: DumpEntry, places: ReadonlyMap<string, number>): MrtPath[] {
  const known: MrtPath[] = [];
  for (const { peer, pathId, attributes } of paths.slice(0, MRT_PEERS_MAX)) {
    const peerIndex = peer === undefined ? OWN_PEER : places.get(peer);
    if (peerIndex !== undefined) known.push({ peerIndex, pathId, attributes });
  }
  return known;
}

function parsedOr(text: string | undefined, otherwise: Ip): Ip {
  return (text === undefined ? undefined : parseIp(text)) ?? otherwise;
}
