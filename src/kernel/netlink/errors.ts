/**
 * Acknowledgements and refusals: NLMSG_ERROR, and the extended ack that says why.
 *
 * The body is a negative errno (0 is an acknowledgement), the header of the request that is answered, the rest of that
 * request unless NLM_F_CAPPED says that it was left out, and, if NLM_F_ACK_TLVS is set, attributes with the kernel's own
 * sentence. A dump that fails at its end says so in NLMSG_DONE in the same way, without the request.
 *
 * Source: linux/netlink.h, struct nlmsgerr and enum nlmsgerr_attrs.
 */
import { aligned, type NetlinkMessage, NLM_F, NLMSG, parseAttributes, textOf, u32At } from './message.ts';

const NLMSGERR_ATTR_MSG = 1;
const ERROR_LENGTH = 4;
const REQUEST_HEADER_LENGTH = 16;

export interface Answer {
  /** errno, positive; 0 for "done as asked". */
  readonly errno: number;
  /** The kernel's sentence, such as "Nexthop has invalid gateway"; undefined when it gave none. */
  readonly text: string | undefined;
}

/** What an NLMSG_ERROR or NLMSG_DONE says; undefined for other messages and for malformed ones. */
export function decodeAnswer(message: NetlinkMessage): Answer | undefined {
  const { type, flags, body } = message;
  if (type === NLMSG.done) {
    // A kernel may end a dump without a number.
    if (body.length < ERROR_LENGTH) return { errno: 0, text: undefined };
    return { errno: errnoOf(body), text: sentence(message, ERROR_LENGTH) };
  }
  if (type !== NLMSG.error || body.length < ERROR_LENGTH + REQUEST_HEADER_LENGTH) return undefined;
  const requestLength = u32At(body, ERROR_LENGTH);
  const echoed = (flags & NLM_F.capped) !== 0 ? REQUEST_HEADER_LENGTH : requestLength;
  return { errno: errnoOf(body), text: sentence(message, ERROR_LENGTH + aligned(Math.min(echoed, body.length))) };
}

function errnoOf(body: Uint8Array): number {
  return 0 - (u32At(body, 0) | 0);
}

function sentence(message: NetlinkMessage, start: number): string | undefined {
  if ((message.flags & NLM_F.ackAttributes) === 0) return undefined;
  const text = textOf(parseAttributes(message.body, start)?.get(NLMSGERR_ATTR_MSG));
  return text === '' ? undefined : text;
}
