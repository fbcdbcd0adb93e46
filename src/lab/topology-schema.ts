/**
 * What a topology file may say, field by field: the grammar of labs/*.yaml.
 *
 *   name: two-hosts                    a DNS label; description: one line; segments: [lan], layer-2 networks
 *   hosts:                             machines with the agent, each a Node; "host-{1..6}" stands for six (ranges.ts)
 *     host-a: { links: { eth0: { segment: lan, addresses: [192.168.100.100/24] } }, blocks: [172.17.8.0/24],
 *               gateways: [192.168.100.1], asNumber: 64512, routeReflectorClusterID: 10.0.0.1, labels: { rack: r1 }, bgp: true }
 *   routers: { core: { links: …, routes: [{ to: 10.0.0.0/8, via: 192.168.100.2 }] } }      they only forward; with
 *               forwards: assigned, only packets between addresses that this file gives to machines, as clouds do;
 *               with runs, by what they learn by BGP: runs: { program: bird, configuration: | … }, or muslin-bgp, or frr;
 *               like hosts, they may have addresses of their own, on lo
 *   workloads: { a1: { host: host-a, addresses: [172.17.8.2], labels: { role: web } } }      containers without an image;
 *               annotations: { cni.projectcalico.org/floatingIPs: '["203.0.113.7"]' } as of a pod
 *   resources: [...]                   projectcalico.org/v3 documents to apply before the agents start; checks: see `check`
 *
 * What needs a view of the whole file is in topology-rules.ts. Unknown fields would be silently without effect: refused.
 */
import { z } from 'zod';
import { parseAsn } from '../net/asn.ts';
import { parseCidr, parseInterfaceAddress } from '../net/cidr.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import type { Json } from '../store/store.ts';
import { NAME_LENGTH_MAX, NAME_PATTERN } from './names.ts';
import { ROUTER_PROGRAMS } from './programs.ts';

/** IFNAMSIZ of linux/if.h without its closing zero. */
const INTERFACE_NAME_LENGTH_MAX = 15;

const name = text(
  `a name: lower-case letters, digits and "-", beginning with a letter, at most ${NAME_LENGTH_MAX}`,
).refine((value) => NAME_PATTERN.test(value) && value.length <= NAME_LENGTH_MAX, {
  error: (issue) =>
    `"${issue.input}" is not a name: lower-case letters, digits and "-", beginning with a letter, at most ${NAME_LENGTH_MAX} characters`,
});

/** No hyphen: a segment's port is called ENTITY-INTERFACE, and must be told apart from every other one. */
const interfaceName = text('an interface name such as eth0').refine(
  (value) =>
    /^[a-z][a-z0-9_]*$/.test(value) && value.length <= INTERFACE_NAME_LENGTH_MAX && !/^(lo|cali.*)$/.test(value),
  {
    error: (issue) =>
      `"${issue.input}" is not an interface name: letters and digits such as eth0, at most ${INTERFACE_NAME_LENGTH_MAX}; lo and cali… are taken`,
  },
);

/** Written as an address, though it is a number (RFC 4456). */
function ipv4(text: string): string | undefined {
  const address = parseIp(text);
  return address?.family === 4 ? formatIp(address) : undefined;
}

const address = parsed('an address such as 172.17.8.2', parseIp);
const prefix = parsed('a prefix without host bits such as 172.17.8.0/24', parseCidr);
const interfaceAddress = parsed('an address with its subnet such as 192.168.100.100/24', parseInterfaceAddress);

const plug = mapping({ segment: name, addresses: list(interfaceAddress).default([]) });

const links = z.record(interfaceName, plug, {
  error: (issue) =>
    requirement(issue.input, 'interfaces such as eth0: { segment: lan, addresses: [192.168.100.100/24] }'),
});

const labels = z
  .record(text('a label'), text('a label value'), { error: 'write labels such as { rack: r1 }' })
  .default({});

const host = mapping({
  links,
  addresses: list(interfaceAddress).default([]),
  gateways: list(address).default([]),
  asNumber: z
    .union([z.number(), z.string()], { error: 'write an AS number such as 64512' })
    .transform((value, context) => {
      const number = parseAsn(String(value));
      if (number !== undefined) return number;
      context.addIssue({ code: 'custom', message: `${value} is not an AS number: 1 to 4294967295` });
      return z.NEVER;
    })
    .optional(),
  routeReflectorClusterID: parsed('a cluster identifier such as 10.0.0.1', ipv4).optional(),
  labels,
  blocks: list(prefix).default([]),
  bgp: z.boolean({ error: (issue) => requirement(issue.input, 'bgp: true, or bgp: false') }).default(true),
});

const router = mapping({
  links,
  addresses: list(interfaceAddress).default([]),
  routes: list(mapping({ to: prefix, via: address })).default([]),
  forwards: z
    .enum(['all', 'assigned'], { error: (issue) => requirement(issue.input, 'forwards: all, or forwards: assigned') })
    .default('all'),
  runs: mapping({
    program: z.enum(ROUTER_PROGRAMS, { error: (issue) => requirement(issue.input, ROUTER_PROGRAMS.join(' or ')) }),
    configuration: text('the configuration as the program reads it, after "|"'),
  }).optional(),
});

const annotations = z
  .record(text('an annotation'), text('a text'), { error: 'write annotations such as { example.com/owner: "me" }' })
  .default({});

const workload = mapping({ host: name, addresses: list(address).default([]), labels, annotations });

const shown = mapping({
  on: name,
  shows: text('a line as iproute2 prints it, such as "default via 169.254.1.1 dev eth0"'),
});

/** A list item is one of these: reach: [a1, b1], or unreachable: { from: a1, to: c1 }, or another one. */
const check = mapping({
  reach: list(name).optional(),
  unreachable: mapping({ from: name, to: name }).optional(),
  sessions: mapping({
    on: name,
    established: z
      .int({ error: (issue) => requirement(issue.input, 'how many sessions are up, such as 5') })
      .min(0, { error: 'write how many sessions are up, such as 5' }),
  }).optional(),
  route: shown.optional(),
  neighbour: shown.optional(),
}).refine((value) => Object.values(value).filter((kind) => kind !== undefined).length === 1, {
  error: 'a check is one of reach, unreachable, sessions, route, neighbour; begin a list item for each',
});

export const topologyDocument = mapping({
  name,
  description: text('one line that says what the network shows').default(''),
  segments: list(name).default([]),
  hosts: z.record(name, host, { error: (issue) => requirement(issue.input, 'hosts, each under its name') }),
  routers: z.record(name, router, { error: 'write routers, each under its name' }).default({}),
  workloads: z.record(name, workload, { error: 'write workloads, each under its name' }).default({}),
  resources: list(
    z.custom<Json>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
      error: 'a resource is a mapping with apiVersion, kind, metadata and spec',
    }),
  ).default([]),
  checks: list(check).default([]),
});

export type TopologyDocument = z.output<typeof topologyDocument>;

function text(what: string) {
  return z.string({ error: (issue) => requirement(issue.input, what) });
}

/** A string that denotes a value. */
function parsed<Value>(what: string, parse: (text: string) => Value | undefined) {
  return text(what).transform((written, context) => {
    const value = parse(written);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `"${written}" is not ${what}` });
    return z.NEVER;
  });
}

function list<Item extends z.ZodType>(item: Item) {
  return z.array(item, { error: (issue) => requirement(issue.input, 'a list: [one, two]') });
}

/** An object with these fields only. The message about unknown ones is the list of known ones, for suggestions. */
function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const fields = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? fields : requirement(issue.input, `a mapping with the fields ${fields}`),
  });
}

function requirement(input: unknown, what: string): string {
  return input === undefined ? `is missing; write ${what}` : `${JSON.stringify(input)} is not right; write ${what}`;
}
