/**
 * The BGP transport in a process of its own, so that it can run in a namespace, with a speaker that only says hello.
 *
 * It dials when it is told to, answers an OPEN with an OPEN and a KEEPALIVE, and no more: enough for a real peer to call the
 * session Established. The parent sends `SocketCommand`s over Node's IPC channel and gets a `SocketReport` for each thing
 * that happened. With `devices`, neighbours found on them are dialled or awaited as their addresses become known.
 */
import type { ConnectionId, SpeakerEvent, SpeakerOutput } from '../../src/bgp/contract.ts';
import { connectionId, peerName } from '../../src/bgp/contract.ts';
import type { ListenRange, PeerConfig } from '../../src/bgp/peer-config.ts';
import { INTERNAL_PEER, SPEAKER_DEFAULTS } from '../../src/bgp/peer-config.ts';
import type { Log } from '../../src/lib/log.ts';
import { asn, routerIdFromIp } from '../../src/net/asn.ts';
import { cidr } from '../../src/net/cidr.ts';
import { formatIp, ip } from '../../src/net/ip.ts';
import type { SpeakerMachine } from '../../src/node/bgp/bgp-transport.ts';
import { startBgpTransport } from '../../src/node/bgp/bgp-transport.ts';
import { findNeighbours } from '../../src/node/bgp/unnumbered.ts';

export interface SocketPeer {
  /** An address, or a prefix for a listen range. */
  readonly at: string;
  readonly device?: string;
  readonly password?: string;
  readonly ttlSecurityHops?: number;
}

export type SocketCommand =
  | { readonly kind: 'configure'; readonly peers: readonly SocketPeer[] }
  | { readonly kind: 'dial'; readonly peer: SocketPeer }
  /** Sends a KEEPALIVE on every connection. */
  | { readonly kind: 'greet' }
  | { readonly kind: 'watch'; readonly devices: readonly string[] };

/** An event of the transport, as text; `messages` are BGP's message types. */
export interface SocketReport {
  readonly kind: SpeakerEvent['kind'] | 'ready' | 'neighbour' | 'log';
  readonly peer?: string;
  readonly local?: string;
  readonly device?: string | undefined;
  readonly reason?: string;
  readonly messages?: readonly number[];
}

const PORT = 179;
const OPEN = 1;
const KEEPALIVE = 4;

export interface SocketSpeakerArguments {
  readonly asn: number;
  readonly routerId: string;
}

function message(type: number, ...body: number[]): Uint8Array {
  return Uint8Array.of(...new Array<number>(16).fill(0xff), 0, 19 + body.length, type, ...body);
}

function messageTypes(bytes: Uint8Array): number[] {
  const types: number[] = [];
  for (
    let offset = 0;
    offset + 19 <= bytes.length;
    offset += ((bytes[offset + 16] ?? 0) << 8) + (bytes[offset + 17] ?? 0)
  ) {
    types.push(bytes[offset + 18] ?? 0);
  }
  return types;
}

function report(said: SocketReport): void {
  process.send?.(said);
}

class HelloSpeaker implements SpeakerMachine {
  readonly connections = new Set<ConnectionId>();
  readonly toDial: PeerConfig[] = [];
  readonly #open: Uint8Array;
  #lastDialled = 0;

  constructor({ asn: number, routerId }: SocketSpeakerArguments) {
    // Version 4, AS number, hold time 90 s, router identifier, no optional parameters.
    this.#open = message(OPEN, 4, number >> 8, number & 255, 0, 90, ...ip(routerId).bytes, 0);
  }

  handle(_now: number, event: SpeakerEvent): SpeakerOutput[] {
    switch (event.kind) {
      case 'connected':
      case 'accepted': {
        this.connections.add(event.connection);
        const { localAddress, kind } = event;
        const peer = 'peerAddress' in event ? { peer: formatIp(event.peerAddress), device: event.device } : {};
        report({ kind, local: formatIp(localAddress), ...peer });
        return [{ kind: 'send', connection: event.connection, bytes: this.#open }];
      }
      case 'received': {
        const messages = messageTypes(event.bytes);
        report({ kind: 'received', messages });
        if (!messages.includes(OPEN)) return [];
        return [{ kind: 'send', connection: event.connection, bytes: message(KEEPALIVE) }];
      }
      case 'closed':
      case 'connectFailed':
        this.connections.delete(event.connection);
        report({ kind: event.kind, reason: event.reason });
        return [];
      case 'configure':
        report({ kind: 'configure' });
        return [];
      case 'command':
        return [...this.connections].map((connection) => ({ kind: 'send', connection, bytes: message(KEEPALIVE) }));
      case 'work':
        return this.toDial.splice(0).map((peer) => {
          this.#lastDialled += 2;
          return { kind: 'connect', connection: connectionId(this.#lastDialled), peer };
        });
      default:
        return [];
    }
  }

  nextTimer(): undefined {
    return undefined;
  }

  hasWork(): boolean {
    return this.toDial.length > 0;
  }
}

function settings(own: number, { device, password, ttlSecurityHops }: SocketPeer): Omit<PeerConfig, 'address'> {
  return { ...INTERNAL_PEER, asn: asn(own), device, password, ttlSecurityHops };
}

async function main(options: SocketSpeakerArguments): Promise<void> {
  const speaker = new HelloSpeaker(options);
  const transport = await startBgpTransport({
    speaker,
    listen: { addresses: [], port: PORT },
    log: lineLog(),
    onOutput: () => {},
  });
  const configure = (peers: readonly SocketPeer[]): void => {
    const range = (peer: SocketPeer): ListenRange => ({
      range: cidr(peer.at),
      device: peer.device,
      asn: undefined,
      peersMax: 10,
      peer: settings(options.asn, peer),
    });
    transport.submit({
      kind: 'configure',
      config: {
        ...SPEAKER_DEFAULTS,
        asn: asn(options.asn),
        routerId: routerIdFromIp(ip(options.routerId)),
        nextHops: {},
        peers: peers.flatMap((peer) =>
          peer.at.includes('/') ? [] : [{ ...settings(options.asn, peer), address: ip(peer.at) }],
        ),
        listenRanges: peers.flatMap((peer) => (peer.at.includes('/') ? [range(peer)] : [])),
      },
    });
  };
  const dial = (peer: SocketPeer): void => {
    speaker.toDial.push({ ...settings(options.asn, peer), address: ip(peer.at) });
    transport.submit({ kind: 'work' });
  };
  const neighbours = findNeighbours({
    log: lineLog(),
    onNeighbour: (device, address) => {
      report({ kind: 'neighbour', device, ...(address && { peer: formatIp(address) }) });
      if (address !== undefined) dial({ at: formatIp(address), device });
    },
  });
  process.on('message', (command: SocketCommand) => {
    if (command.kind === 'configure') configure(command.peers);
    else if (command.kind === 'dial') dial(command.peer);
    else if (command.kind === 'watch') neighbours.watch(command.devices);
    else {
      const config = { address: ip('0.0.0.0'), device: undefined };
      transport.submit({ kind: 'command', peer: peerName(config), command: { kind: 'refreshOut' } });
    }
  });
  report({ kind: 'ready' });
}

function lineLog(): Log {
  const line = (text: string, data?: object): void =>
    report({ kind: 'log', reason: `${text} ${JSON.stringify(data)}` });
  return { debug: line, info: line, warn: line, error: line, child: lineLog };
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] ?? '') as SocketSpeakerArguments);
