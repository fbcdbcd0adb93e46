/**
 * A rule of a policy or profile: what packets it matches, and what becomes of them.
 *
 * The first rule that matches decides: Allow and Deny end it, Pass hands the packet to the next tier, Log goes on. ICMP
 * exists in one IP version and ICMPv6 in the other, so naming them settles `ipVersion`, which is filled in here.
 * HTTP matches are checked as Calico checks them: they can only narrow an Allow of incoming TCP.
 */
import { z } from 'zod';
import type { Direction } from './entity-rule.ts';
import { endProblems, entityRuleField } from './entity-rule.ts';
import { mapping, refuseRepetition } from './fields.ts';
import type { Path, Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Protocol } from './protocol.ts';
import { familyOfProtocol, protocolField, protocolName } from './protocol.ts';

/** Calico's bound for each direction of a policy. */
const RULES_MAX = 1024;

/** Calico's bound for methods and for paths. */
const HTTP_MATCHES_MAX = 20;

const icmp = mapping({
  type: z.int().min(0).max(254).exactOptional(),
  code: z.int().min(0).max(255).exactOptional(),
});

const httpPath = mapping({ exact: httpPathText().exactOptional(), prefix: httpPathText().exactOptional() }).refine(
  ({ exact, prefix }) => (exact === undefined) !== (prefix === undefined),
  'must have one of exact and prefix',
);

function httpPathText() {
  return z.string().superRefine((text, context) => {
    if (text.startsWith('/') && !/[?#]/.test(text)) return;
    const message = `${quote(text)} is not a path; it begins with "/" and has no "?" or "#"`;
    context.addIssue({ code: 'custom', message });
  });
}

const http = mapping({
  methods: z
    .array(z.string().regex(/^([A-Z]+|\*)$/, 'must be a method in upper case, such as GET'))
    .max(HTTP_MATCHES_MAX)
    .superRefine(refuseRepetition)
    .readonly()
    .exactOptional(),
  paths: z.array(httpPath).max(HTTP_MATCHES_MAX).readonly().exactOptional(),
});

const rule = mapping({
  action: z.enum(['Allow', 'Deny', 'Log', 'Pass']),
  ipVersion: z
    .union([z.literal(4), z.literal(6)], { error: ({ input }) => `must be 4 or 6, not ${quote(input)}` })
    .exactOptional(),
  protocol: protocolField().exactOptional(),
  notProtocol: protocolField().exactOptional(),
  icmp: icmp.exactOptional(),
  notICMP: icmp.exactOptional(),
  http: http.exactOptional(),
  source: entityRuleField(),
  destination: entityRuleField(),
  metadata: mapping({ annotations: z.record(z.string(), z.string()).exactOptional() }).exactOptional(),
}).transform(withFamilyOfProtocol);

export type PolicyRule = Readonly<z.infer<typeof rule>>;

/** The rules of one direction, in their order. */
export function rulesField() {
  return z.array(rule).max(RULES_MAX).readonly().default([]);
}

function withFamilyOfProtocol<Fields extends { readonly protocol?: Protocol; readonly ipVersion?: 4 | 6 }>(
  fields: Fields,
): Fields {
  const family = fields.protocol === undefined ? undefined : familyOfProtocol(fields.protocol);
  return family === undefined || fields.ipVersion !== undefined ? fields : { ...fields, ipVersion: family };
}

/** The rules of a policy or profile, whichever else it has. */
export interface RuleLists {
  readonly ingress: readonly PolicyRule[];
  readonly egress: readonly PolicyRule[];
}

/** What joins several fields of each rule; `anywhere` holds for policies and profiles that are in no namespace. */
export function ruleListProblems(lists: RuleLists, anywhere: boolean): Problem[] {
  return (['ingress', 'egress'] as const).flatMap((direction) =>
    lists[direction].flatMap((rule, index) => {
      const path = ['spec', direction, index];
      return [
        ...protocolProblems(rule, path),
        ...endProblems(rule, path, direction, anywhere),
        ...httpProblems(rule, path, direction),
      ];
    }),
  );
}

function protocolProblems({ protocol, ipVersion, ...rule }: PolicyRule, path: Path): Problem[] {
  const problems: Problem[] = [];
  const family = protocol === undefined ? undefined : familyOfProtocol(protocol);
  if (family !== undefined && ipVersion !== family) {
    const message = `${ipVersion} does not go with protocol ${protocol}, which is of IPv${family}; write ${family} or remove it`;
    problems.push({ path: [...path, 'ipVersion'], message });
  }
  for (const field of ['icmp', 'notICMP'] as const) {
    const match = rule[field];
    if (match === undefined) continue;
    if (family === undefined) {
      const message = `needs protocol ICMP or ICMPv6${protocol === undefined ? '' : `, not ${protocol}`}`;
      problems.push({ path: [...path, field], message });
    }
    if (match.code !== undefined && match.type === undefined) {
      const message = `${match.code} means nothing without a type; set type, too`;
      problems.push({ path: [...path, field, 'code'], message });
    }
  }
  return problems;
}

function httpProblems({ http, action, protocol }: PolicyRule, path: Path, direction: Direction): Problem[] {
  if (http === undefined) return [];
  const problems: Problem[] = [];
  const place = [...path, 'http'];
  if (action !== 'Allow') problems.push({ path: place, message: `needs action Allow, not ${action}` });
  if (direction === 'egress') problems.push({ path: place, message: 'can stand in ingress rules only' });
  if (protocol !== undefined && protocolName(protocol) !== 'TCP') {
    problems.push({ path: place, message: `needs protocol TCP, not ${protocol}` });
  }
  return problems;
}
