/**
 * The protocols above IP, as rules and endpoints name them: by name or by number.
 *
 * A name and its number mean the same (IANA, Assigned Internet Protocol Numbers) and stay as they were written; whoever needs
 * to know what a protocol is asks `protocolName`. Ports are matched for TCP, UDP and SCTP alone: Linux has no
 * port matches for the others.
 */
import { z } from 'zod';
import { quote } from './problem.ts';

const NUMBERS = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132, UDPLite: 136 } as const;

type ProtocolName = keyof typeof NUMBERS;

export type Protocol = ProtocolName | number;

const NAMES = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6', 'UDPLite'] as const satisfies readonly ProtocolName[];

export function protocolField() {
  return z.union([z.enum(NAMES), z.int().min(1).max(255)], {
    error: ({ input }) =>
      input === undefined
        ? 'is required: TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a number'
        : `must be ${NAMES.join(', ')}, or a protocol number from 1 to 255, not ${quote(input)}`,
  });
}

/** The name of a protocol that has one. */
export function protocolName(protocol: Protocol): ProtocolName | undefined {
  if (typeof protocol === 'string') return protocol;
  return NAMES.find((name) => NUMBERS[name] === protocol);
}

/** The number that the header of IP has for it. */
export function protocolNumber(protocol: Protocol): number {
  return typeof protocol === 'string' ? NUMBERS[protocol] : protocol;
}

export function hasPorts(protocol: Protocol): boolean {
  const name = protocolName(protocol);
  return name === 'TCP' || name === 'UDP' || name === 'SCTP';
}

/** The family that a protocol exists in, when it is one alone. */
export function familyOfProtocol(protocol: Protocol): 4 | 6 | undefined {
  const name = protocolName(protocol);
  if (name === 'ICMP') return 4;
  return name === 'ICMPv6' ? 6 : undefined;
}

/** The name that an endpoint gives one of its ports, by which rules may call it. */
export function portNameField() {
  return z.string().regex(/^[a-zA-Z0-9_.-]{1,128}$/, 'must be 1 to 128 letters, digits, "_", "." and "-"');
}

/** A port of a rule: a number, a range "first:last", or the name that endpoints give it. */
export function rulePortField() {
  return z
    .union([z.number(), z.string()], { error: 'must be a port: 80, "8000:8080", or the name of a port' })
    .transform((value, context) => {
      const port = canonicalPort(value);
      if (typeof port !== 'object') return port;
      context.addIssue({ code: 'custom', message: port.problem });
      return z.NEVER;
    });
}

/** A single port as a number, a range as "first:last", a name as itself. */
function canonicalPort(value: number | string): number | string | { readonly problem: string } {
  if (typeof value === 'string' && !/^\d/.test(value)) {
    if (portNameField().safeParse(value).success) return value;
    return { problem: `${quote(value)} is not a port; write a number, "first:last", or the name of a port` };
  }
  const range = portRange(value);
  if (range === undefined) {
    const dashed = /^(\d+)-(\d+)$/.exec(String(value));
    const remedy =
      dashed === null ? 'write a number from 1 to 65535, or "first:last"' : `write "${dashed[1]}:${dashed[2]}"`;
    return { problem: `${quote(value)} is not a port; ${remedy}` };
  }
  const { first, last } = range;
  if (first > last) return { problem: `${quote(value)} runs backwards; write "${last}:${first}"` };
  return first === last ? first : `${first}:${last}`;
}

/** The ports that a rule's port stands for; undefined when it is a name. */
export function portRange(port: number | string): { readonly first: number; readonly last: number } | undefined {
  const [, first, last = first] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(String(port)) ?? [];
  const ends = { first: Number(first), last: Number(last) };
  return [ends.first, ends.last].every((end) => end >= 1 && end <= PORT_MAX) ? ends : undefined;
}

const PORT_MAX = 65535;
