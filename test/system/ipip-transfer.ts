/**
 * One TCP connection between two containers of an IpipWorld, both ends of which are this process's.
 *
 * The kernel makes its packets as it likes, large ones of many segments too, which raw packets do not show.
 */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { inNamespace } from '../../src/kernel/network-namespace.ts';
import { pollReadable } from '../../src/kernel/system-calls.ts';
import { acceptTcp, dialTcp, listenTcp } from '../../src/kernel/tcp-socket.ts';
import { ip } from '../../src/net/ip.ts';
import { ADDRESS, type IpipWorld } from './ipip-world.ts';

const PORT = 5001;
const DIALLING = { source: undefined, device: undefined, password: undefined, ttlSecurityHops: undefined };

/** Sends so many bytes to `target`, an address of `to`; gives how many have come. `signal` ends it early, with less. */
export async function transfer(
  world: IpipWorld,
  from: 'ca' | 'cb',
  to: 'ca' | 'cb',
  bytes: number,
  { target = ADDRESS[to], signal }: { readonly target?: string; readonly signal?: AbortSignal } = {},
): Promise<number> {
  const listener = inNamespace(world.path(to), () => listenTcp(ip(target), PORT, 1));
  const ends = [new Socket({ fd: inNamespace(world.path(from), () => dialTcp(ip(target), DIALLING)), signal })];
  try {
    ends[0]?.on('error', () => undefined); // then less has come
    ends[0]?.connect({ host: target, port: PORT });
    ends[0]?.end(new Uint8Array(bytes));
    await connected(listener, signal);
    const accepted = acceptTcp(listener);
    if (accepted === undefined) return 0;
    const receiver = new Socket({ fd: accepted.fd, signal });
    ends.push(receiver);
    let received = 0;
    for await (const part of receiver) received += part.length;
    return received;
  } finally {
    closeSync(listener);
    for (const end of ends) end.destroy();
  }
}

/** Resolves when a connection waits to be accepted, or the signal has come. */
async function connected(listener: number, signal: AbortSignal | undefined): Promise<void> {
  let wake: () => void = () => undefined;
  const happened = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const poll = pollReadable(listener, wake);
  signal?.addEventListener('abort', wake);
  await happened;
  signal?.removeEventListener('abort', wake);
  poll.close();
}
