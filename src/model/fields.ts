/**
 * The kinds of field that resources are made of, as zod schemas: prefixes, addresses, AS numbers, selectors, names.
 *
 * Each accepts what Calico accepts and gives the canonical text (RFC 5952 for IPv6, masked prefixes), so that equal
 * resources are equal values whatever the spelling. Text stays text: consumers parse it with net/, where it cannot fail
 * any more. Messages quote the value and say what would be right; problem.ts adds the place.
 */
import { z } from 'zod';
import { parseAsn } from '../net/asn.ts';
import { formatCidr, hostPrefix, parseInterfaceAddress } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { addressBits, formatIp, parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import { quote, unknownFieldsMessage } from './problem.ts';
import { parseSelector } from './selector-parser.ts';

/** A mapping with these fields and no others; unknown ones are reported with the nearest known one. */
export function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? unknownFieldsMessage(issue.keys, known) : undefined),
  });
}

/** Text for which `read` gives the canonical form, or else says in `{ problem }` what is wrong with it. */
export function textField(read: (text: string) => string | { readonly problem: string }) {
  return z.string().transform((text, context) => {
    const canonical = read(text);
    if (typeof canonical === 'string') return canonical;
    context.addIssue({ code: 'custom', message: canonical.problem });
    return z.NEVER;
  });
}

function wrongFamily(text: string, found: Family, wanted: Family | undefined): string | undefined {
  return wanted === undefined || found === wanted ? undefined : `${quote(text)} is IPv${found}; IPv${wanted} is needed`;
}

function prefixRemedy(text: string): string {
  const address = parseIp(text.split('/')[0] ?? '');
  if (address === undefined) return 'write ADDRESS/LENGTH';
  const bits = addressBits(address.family);
  return text.includes('/') ? `its length must be 0 to ${bits}` : `write ${formatIp(address)}/${bits}`;
}

/** A masked prefix, of one family where the field is for that family only. */
export function cidrField(family?: Family) {
  return textField((text) => {
    const parsed = parseInterfaceAddress(text);
    if (parsed === undefined) return { problem: `${quote(text)} is not a prefix; ${prefixRemedy(text)}` };
    const canonical = formatCidr(parsed.subnet);
    if (formatIp(parsed.address) !== formatIp(parsed.subnet.address)) {
      return { problem: `${quote(text)} has host bits set; write ${canonical}` };
    }
    const problem = wrongFamily(text, parsed.address.family, family);
    return problem === undefined ? canonical : { problem };
  });
}

/** A masked prefix, or a bare address, which stands for itself alone and is given its full length. */
export function netField() {
  return textField((text) => {
    const address = parseIp(text);
    return address === undefined ? text : formatCidr(hostPrefix(address));
  }).pipe(cidrField());
}

/** Of a list: no item may be there twice. */
export function refuseRepetition(list: readonly string[], context: z.RefinementCtx): void {
  for (const [index, item] of list.entries()) {
    if (list.indexOf(item) === index) continue;
    context.addIssue({ code: 'custom', path: [index], message: `${quote(item)} is there twice; remove one of them` });
  }
}

/** A prefix of full length, or a bare address, which is given its full length. */
export function hostCidrField() {
  return textField((text) => {
    const address = parseIp(text) ?? parseInterfaceAddress(text)?.address;
    if (address === undefined) return { problem: `${quote(text)} is not an address` };
    const canonical = `${formatIp(address)}/${addressBits(address.family)}`;
    const length = parseInterfaceAddress(text)?.subnet.length ?? addressBits(address.family);
    if (length === addressBits(address.family)) return canonical;
    return { problem: `${quote(text)} is a network, and one address is needed; write ${canonical}` };
  });
}

/** An address with the subnet it stands in ("192.168.100.100/24"); a bare address counts as alone in its subnet. */
export function interfaceAddressField(family: Family) {
  return textField((text) => {
    const plain = parseIp(text);
    const parsed = parseInterfaceAddress(plain === undefined ? text : `${text}/${addressBits(plain.family)}`);
    if (parsed === undefined)
      return { problem: `${quote(text)} is not an address with its subnet; write ADDRESS/LENGTH` };
    const problem = wrongFamily(text, parsed.address.family, family);
    return problem === undefined ? `${formatIp(parsed.address)}/${parsed.subnet.length}` : { problem };
  });
}

export function addressField(family?: Family) {
  return textField((text) => {
    const address = parseIp(text);
    if (address === undefined) {
      return {
        problem: `${quote(text)} is not an IP address${text.includes('/') ? '; write it without the length' : ''}`,
      };
    }
    const problem = wrongFamily(text, address.family, family);
    return problem === undefined ? formatIp(address) : { problem };
  });
}

export function macField() {
  return textField(
    (text) =>
      parseMac(text) ?? { problem: `${quote(text)} is not an Ethernet address; write six pairs: 02:00:00:00:00:01` },
  );
}

/** A selector (selector.ts); its text is kept as the user wrote it. */
export function selectorField() {
  return textField((text) => {
    const parsed = parseSelector(text);
    if (parsed.ok) return text;
    return { problem: `${quote(text)} is not a selector: at character ${parsed.offset + 1}: ${parsed.message}` };
  });
}

/** An AS number as a number, or as text, plain or dotted; always given as a number. */
export function asnField() {
  return z
    .union([z.number(), z.string()], { error: 'must be an AS number: 64512, or "1.10" in quotes' })
    .transform((value, context) => {
      const parsed = parseAsn(String(value));
      if (parsed !== undefined && (typeof value === 'string' || Number.isInteger(value))) return Number(parsed);
      const dotted = typeof value === 'number' && !Number.isInteger(value);
      const remedy = dotted
        ? 'put dotted numbers in quotes, or 1.10 is read as 1.1'
        : 'write a number from 1 to 4294967295';
      context.addIssue({ code: 'custom', message: `${quote(value)} is not an AS number; ${remedy}` });
      return z.NEVER;
    });
}

/** A length of time in Go's spelling ("120s", "1m30s"), as metav1.Duration has it. */
export function durationField() {
  return textField((text) =>
    /^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$/.test(text)
      ? text
      : { problem: `${quote(text)} is not a length of time; write it with units: 120s, 1m30s` },
  );
}

/** Linux: IFNAMSIZ is 16 with its end mark; no slash, no blank. */
export function interfaceNameField() {
  return textField((text) =>
    /^[A-Za-z0-9_.-]{1,15}$/.test(text) && text !== '.' && text !== '..'
      ? text
      : { problem: `${quote(text)} is not a device name; 1 to 15 letters, digits, "_", "." and "-"` },
  );
}

/** A name of another object: a node, a profile. */
export function nameField() {
  return textField((text) => {
    const problem = nameProblem(text);
    return problem === undefined ? text : { problem };
  });
}

/** RFC 1123 host names, the longest that DNS can carry; Kubernetes calls this a DNS subdomain. */
const NAME_LENGTH_MAX = 253;

/** What is wrong with the name of an object; undefined when nothing is. */
export function nameProblem(name: string): string | undefined {
  if (name.length > NAME_LENGTH_MAX) return `is ${name.length} characters long; at most ${NAME_LENGTH_MAX}`;
  if (/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name)) return undefined;
  const lower = name.toLowerCase();
  const remedy = lower !== name && nameProblem(lower) === undefined ? `; write ${lower}` : '';
  return `${quote(name)} is not a name: lower-case letters, digits, "-" and ".", with a letter or digit at each end${remedy}`;
}

export function portField() {
  return z.int().min(1).max(65535);
}
