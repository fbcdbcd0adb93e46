/**
 * The answer to one request, picked out of what a socket receives.
 *
 * A request is answered by any number of messages and an end: an ack or a refusal, or for a dump NLMSG_DONE. Answers to
 * earlier requests, left over when one was given up half-way, bear another sequence number and are passed over. A dump
 * during which the kernel's tables changed is marked torn in any of its messages; then it may lack entries or have some
 * twice, and must be read anew.
 *
 * Called by netlink-socket.ts.
 */
import { type Answer, decodeAnswer } from './errors.ts';
import { type NetlinkMessage, NLM_F, NLMSG } from './message.ts';

export interface Ending extends Answer {
  readonly torn: boolean;
}

/** Calls `receive` for datagrams until the request with this number is answered; hands its messages to `onMessage`. */
export function readAnswer(
  receive: () => readonly NetlinkMessage[],
  sequence: number,
  onMessage: (message: NetlinkMessage) => void,
): Ending {
  let torn = false;
  for (;;) {
    for (const message of receive()) {
      if (message.sequence !== sequence) continue;
      if ((message.flags & NLM_F.multi) !== 0 && (message.flags & NLM_F.dumpInterrupted) !== 0) torn = true;
      const answer = decodeAnswer(message);
      if (answer !== undefined) return { ...answer, torn };
      if (message.type !== NLMSG.noop) onMessage(message);
    }
  }
}
