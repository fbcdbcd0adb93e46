/**
 * A thread that sends packets round after round, and tells of each that fared otherwise than it should.
 *
 * Felix works in the main thread and holds it while it changes rules; what happens meanwhile only another thread can see.
 * It ends after the round in which it is told to.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { ip } from '../../../src/net/ip.ts';
import { type Probe, type ProbeProtocol, Prober } from './prober.ts';

export interface SendingOrder {
  /** Name and path. */
  readonly namespaces: readonly (readonly [string, string])[];
  readonly port: number;
  readonly probes: readonly SentProbe[];
}

interface SentProbe {
  readonly from: string;
  readonly to: string;
  readonly protocol: ProbeProtocol;
  readonly allowed: boolean;
}

export interface SendingReport {
  readonly rounds: number;
  /** Of all rounds up to now. */
  readonly wrong: readonly string[];
}

/** Beyond this they are all the same. */
const WRONG_MAX = 500;

const port = parentPort;
if (port === null) throw new Error('sending-thread.ts runs in a worker thread only');
const order = workerData as SendingOrder; // by whom it was started
const prober = new Prober();
let told = false;
port.once('message', () => {
  told = true;
});
for (const [name, path] of order.namespaces) {
  prober.add(name, path);
  prober.listen(name, [order.port]);
}
const probes = order.probes.map(
  ({ from, to, protocol }): Probe => ({ from, to: ip(to), protocol, port: protocol === 'icmp' ? 0 : order.port }),
);
const expected = order.probes.map(({ allowed }) => allowed);
const wrong: string[] = [];
for (let rounds = 1; !told; rounds++) {
  const got = await prober.once(probes, expected);
  for (const [index, { from, to, protocol, allowed }] of order.probes.entries()) {
    if (got[index] === allowed || wrong.length >= WRONG_MAX) continue;
    wrong.push(`round ${rounds}: ${from} > ${to} ${protocol} ${allowed ? 'did not get through' : 'got through'}`);
  }
  port.postMessage({ rounds, wrong } satisfies SendingReport);
}
prober.close();
