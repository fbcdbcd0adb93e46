/**
 * Our speaker as a process of its own, so that it can run in a namespace and be killed.
 *
 * The parent talks to it over Node's IPC channel: it sends `SpeakerCommand`s, and gets a `SpeakerReportMessage` after
 * each thing that happened. Addresses and prefixes travel as text.
 */
import type { PeerView, RouteView, SpeakerConfig } from '../../src/bgp/contract.ts';
import { createSpeaker } from '../../src/bgp/speaker.ts';
import { monotonicNow } from '../../src/lib/clock.ts';
import type { Log } from '../../src/lib/log.ts';
import { asn, routerIdFromIp } from '../../src/net/asn.ts';
import { cidr, formatCidr } from '../../src/net/cidr.ts';
import { formatIp, ip } from '../../src/net/ip.ts';
import { startBgpTransport } from '../../src/node/bgp-transport.ts';

export type SpeakerCommand =
  | { readonly kind: 'announce'; readonly prefixes: readonly string[] }
  | { readonly kind: 'stop'; readonly sendNotification: boolean };

export interface SpeakerReportMessage {
  readonly peers: readonly PeerView[];
  readonly routes: readonly RouteView[];
  /** Gateways by prefix, as the `best` outputs have it. */
  readonly kernel: Readonly<Record<string, string>>;
  /** Prefixes that have lost their last gateway at some time. */
  readonly withdrawn: readonly string[];
  readonly hasConverged: boolean;
  readonly log: readonly string[];
}

export interface SpeakerArguments {
  readonly address: string;
  readonly address6: string;
  readonly peer: string;
  readonly announce: readonly string[];
}

async function main(options: SpeakerArguments): Promise<void> {
  const kernel = new Map<string, string>();
  const withdrawn: string[] = [];
  const log: string[] = [];
  let hasConverged = false;
  const speaker = createSpeaker({ random: Math.random, now: monotonicNow() });
  const report = (): void => {
    const routes = speaker.routes();
    const peers = speaker.peers(monotonicNow());
    process.send?.({ peers, routes, kernel: Object.fromEntries(kernel), withdrawn, hasConverged, log });
  };
  const transport = await startBgpTransport({
    speaker,
    listen: { addresses: [], port: 179 },
    sourceFor: (peer) => ip(peer.family === 4 ? options.address : options.address6),
    log: lineLog((line) => log.push(line)),
    onOutput: (output) => {
      if (output.kind === 'initialConvergence') hasConverged = true;
      if (output.kind === 'best') {
        const prefix = formatCidr(output.prefix);
        if (output.gateways.length === 0) {
          kernel.delete(prefix);
          withdrawn.push(prefix);
        } else kernel.set(prefix, output.gateways.map(formatIp).join(' '));
      }
      setImmediate(report);
    },
  });
  transport.submit({ kind: 'announce', prefixes: options.announce.map(cidr) });
  transport.submit({ kind: 'configure', config: configuration(options) });
  process.on('message', (command: SpeakerCommand) => {
    if (command.kind === 'announce') transport.submit({ kind: 'announce', prefixes: command.prefixes.map(cidr) });
    else void transport.close(command).then(() => process.exit(0));
  });
}

function configuration(options: SpeakerArguments): SpeakerConfig {
  return {
    asn: asn(64512),
    routerId: routerIdFromIp(ip(options.address)),
    nextHops: { 4: ip(options.address), 6: ip(options.address6) },
    peers: [
      { address: ip(options.peer), port: 179, asn: asn(64512), passive: false, families: [4, 6], description: 'bird' },
    ],
    holdTimeSeconds: 9,
    restartTimeSeconds: 60,
  };
}

function lineLog(write: (line: string) => void): Log {
  const line = (message: string, data?: object): void => write(`${message} ${JSON.stringify(data)}`);
  return { debug: line, info: line, warn: line, error: line, child: () => lineLog(write) };
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] ?? '') as SpeakerArguments);
