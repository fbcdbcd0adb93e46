/**
 * Members of sets: from a program's text to nft's elements, and back from nft's listing.
 *
 * A program says "10.0.0.1", "10.0.0.0/8", "10.0.0.1,tcp:80". nft is told the last as "10.0.0.1 . 6 . 80", since it looks
 * up protocols' names in the machine's own /etc/protocols; it lists a name where it finds one and the number where not.
 * To the kernel itself they are values (net/set-element.ts).
 * IPv6 addresses are listed in the C library's form, which for a few differs from ours, so they are read and printed.
 */
import { assert } from '../../../lib/assert.ts';
import { parseCidr } from '../../../net/cidr.ts';
import { formatIp, parseIp } from '../../../net/ip.ts';
import type { SetElement } from '../../../net/set-element.ts';
import { isObject, text } from './listing.ts';

/** What a member may be made of; anything else nft could take for its own words. */
const NET_MEMBER = /^[0-9a-f.:]+(\/[0-9]+)?$/;
const PORT_MEMBER = /^([0-9a-f.:]+),(tcp|udp|sctp):([0-9]+)$/;

const PROTOCOLS = [
  ['tcp', 6],
  ['udp', 17],
  ['sctp', 132],
] as const;
const NUMBERS: ReadonlyMap<string, number> = new Map(PROTOCOLS);
const NAMES: ReadonlyMap<unknown, string> = new Map(
  PROTOCOLS.flatMap(([name, number]): [unknown, string][] => [
    [name, name],
    [number, name],
    [`${number}`, name],
  ]),
);

/** A member as nft's element. */
export function printMember(member: string): string {
  if (NET_MEMBER.test(member)) return member;
  const [, address, protocol = '', port] = PORT_MEMBER.exec(member) ?? [];
  assert(address !== undefined, `not a member of a set: ${JSON.stringify(member)}`);
  return `${address} . ${NUMBERS.get(protocol)} . ${port}`;
}

/** A member as the kernel's element. */
export function elementOf(member: string): SetElement {
  const [, ported, protocol = '', port] = PORT_MEMBER.exec(member) ?? [];
  const address = parseIp(ported ?? member);
  const prefix = address === undefined ? parseCidr(member) : undefined;
  if (prefix !== undefined) return { kind: 'prefix', prefix };
  assert(address !== undefined, `not a member of a set: ${JSON.stringify(member)}`);
  if (port === undefined) return { kind: 'address', address };
  return { kind: 'port', address, protocol: NUMBERS.get(protocol) ?? 0, port: Number(port) };
}

/** The members that a listing's elements are; `odd` when there are others, too, such as ranges, or any with a comment. */
export function readMembers(elements: readonly unknown[]): { members: Set<string>; odd: boolean } {
  const members = new Set<string>();
  let odd = false;
  for (const element of elements) {
    const member = readMember(element);
    if (member === undefined) odd = true;
    else members.add(member);
  }
  return { members, odd };
}

function readMember(element: unknown): string | undefined {
  if (typeof element === 'string') return readAddress(element);
  const { prefix, concat } = isObject(element) ? element : {};
  if (isObject(prefix)) {
    const address = readAddress(prefix['addr']);
    return address === undefined ? undefined : `${address}/${Number(prefix['len'])}`;
  }
  if (!Array.isArray(concat) || concat.length !== 3) return undefined;
  const [listed, protocol, port] = concat;
  const address = readAddress(listed);
  const name = NAMES.get(protocol);
  return address === undefined || name === undefined || typeof port !== 'number'
    ? undefined
    : `${address},${name}:${port}`;
}

function readAddress(listed: unknown): string | undefined {
  const address = text(listed);
  // IPv4 has one form only.
  if (!address.includes(':')) return address === '' ? undefined : address;
  const parsed = parseIp(address);
  return parsed === undefined ? undefined : formatIp(parsed);
}
