/**
 * Keeps cut TCP connections from coming back by their answers.
 *
 * Once an entry of connection tracking is removed, the next packet in the middle of the stream makes a new one. If it is one of the
 * side that had begun, policy is asked and denies. But it may as well be one of the side that answered, which streams a
 * download: then to the kernel that side begins a connection, which policy may well allow, and the stream goes
 * on. So the answering side's addresses and ports are put into a set, and what bears them, begins a connection in the
 * kernel's eyes, and is no opening (SYN) is dropped. A real new connection with the same ports opens, and policy is asked.
 *
 * The set forgets by itself. It is a table of its own, beside both backends: neither compares it or takes it away. UDP
 * has no middle of a stream: who may send, may send.
 */
import type { ConntrackEntry } from '../../net/conntrack-entry.ts';
import { formatIp } from '../../net/ip.ts';
import { IP_PROTOCOL } from '../../net/packet-head.ts';

/** Family and name of the table. */
const GUARD_TABLE = 'inet muslin-cuts';

/** Linux resends for 924 seconds or, on slow paths, longer (tcp_retries2 = 15) before it gives a connection up. */
const REMEMBERED_MINUTES = 30;
/** A set of 65,536 takes some 10 MB of the kernel's memory; what does not fit is cut without guard. */
const FLOWS_MAX = 65_536;

/** Ensures the table; changes nothing where it is there. */
export function guardTableScript(): string {
  const set = (name: string, address: string): string =>
    `add set ${GUARD_TABLE} ${name} { type ${address} . inet_service . ${address} . inet_service; ` +
    `flags timeout; timeout ${REMEMBERED_MINUTES}m; size ${FLOWS_MAX}; }\n`;
  const unopened = 'ct state new tcp flags & (syn | ack) != syn';
  // Behind connection tracking (-200), before policy.
  const hook = (name: string): string =>
    `add chain ${GUARD_TABLE} ${name} { type filter hook ${name} priority -150; policy accept; }\n` +
    `flush chain ${GUARD_TABLE} ${name}\n` +
    `add rule ${GUARD_TABLE} ${name} ${unopened} ip saddr . tcp sport . ip daddr . tcp dport @answers4 drop\n` +
    `add rule ${GUARD_TABLE} ${name} ${unopened} ip6 saddr . tcp sport . ip6 daddr . tcp dport @answers6 drop\n`;
  return (
    `add table ${GUARD_TABLE}\n` +
    set('answers4', 'ipv4_addr') +
    set('answers6', 'ipv6_addr') +
    hook('prerouting') +
    hook('output')
  );
}

/** Has the guard know the answers of these connections; "" when none of them is TCP. */
export function guardScript(cut: readonly ConntrackEntry[]): string {
  return ([4, 6] as const)
    .map((family) => {
      const elements = cut.flatMap(({ family: its, reply }) => {
        const { protocol, source, destination, sourcePort, destinationPort } = reply;
        if (its !== family || protocol !== IP_PROTOCOL.tcp) return [];
        return [`${formatIp(source)} . ${sourcePort} . ${formatIp(destination)} . ${destinationPort}`];
      });
      return elements.length === 0 ? '' : `add element ${GUARD_TABLE} answers${family} { ${elements.join(', ')} }\n`;
    })
    .join('');
}
