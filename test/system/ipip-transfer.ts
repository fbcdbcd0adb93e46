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

/** Sends so many bytes to `target`, an address of `to`; gives how many have come. */
export async function transfer(
  world: IpipWorld,
  from: 'ca' | 'cb',
  to: 'ca' | 'cb',
  bytes: number,
  target: string = ADDRESS[to],
): Promise<number> {
  const listener = inNamespace(world.path(to), () => listenTcp(ip(target), PORT, 1));
  const sender = new Socket({ fd: inNamespace(world.path(from), () => dialTcp(ip(target), DIALLING)) });
  sender.connect({ host: target, port: PORT });
  sender.end(new Uint8Array(bytes));
  await new Promise<void>((resolve) => {
    const poll = pollReadable(listener, () => {
      poll.close();
      resolve();
    });
  });
  const receiver = new Socket({ fd: acceptTcp(listener)!.fd });
  let received = 0;
  for await (const part of receiver) received += part.length;
  closeSync(listener);
  return received;
}
