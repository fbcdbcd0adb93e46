/**
 * From the options of `muslin attach` and `detach` to the call that a container runtime would make; pure.
 *
 * The container's id is the name that the user gives, so that detaching needs nothing else. Options are checked by the agent's
 * own reader (cni/request.ts) before anything is sent, with the places in its messages said in options; what that reader
 * leaves to its callers (names that make good resource names, labels) is checked here. Labels go as `args.cni.labels`, which
 * is CNI's convention for them.
 */
import type { RequestFrame } from '../cni/frame.ts';
import { POD_ANNOTATIONS, SERVICE_ADDRESSES } from '../cni/pod-annotations.ts';
import { parseRequest } from '../cni/request.ts';
import { labelNameProblem, labelValueProblem } from '../model/metadata.ts';
import { parseCidr } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { parseIp } from '../net/ip.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

/** Not a network of any runtime: its garbage collection (CNI's GC) would remove what it does not know. */
export const DEFAULT_NETWORK = 'muslin-attach';
export const DEFAULT_INTERFACE = 'eth0';
const CNI_VERSION = '1.1.0';

/** What both commands need to know which attachment is meant. */
export interface AttachmentOptions {
  readonly name: string;
  readonly interface: string;
  readonly network: string;
}

export interface AttachRequestOptions extends AttachmentOptions {
  readonly namespace: string;
  /** As typed: key=value. */
  readonly label: readonly string[];
  readonly ip: readonly string[];
  readonly service: readonly string[];
  readonly pool: readonly string[];
  readonly mac?: string;
  readonly mtu?: string;
  readonly ipv4: boolean;
  readonly ipv6?: boolean;
  readonly tap?: boolean;
}

/** A call as it goes to the agent. */
export interface CniCall {
  readonly environment: ReadonlyMap<string, string>;
  readonly configuration: object;
}

/** Names of containers become parts of resources' names (DNS), and CNI's container ids have at most 100 characters for us. */
const NAME = /^(?=.{1,100}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Where the agent's reader says that something is wrong, and the option that it came from. */
const PLACES: readonly [RegExp, string][] = [
  [/^CNI_IFNAME: /, '--interface: '],
  [/^name: /, '--network: '],
  [/^runtimeConfig\.ips: /, '--ip: '],
  [/^runtimeConfig\.mac: /, '--mac: '],
  [/^annotation muslin\.io\/service-addresses: /, '--service: '],
  [/^mtu: /, '--mtu: '],
  [/^ipam\.ipv[46]_pools\[\d+\]: /, '--pool: '],
  [/^ipam\.ipv[46]_pools: /, '--pool: '],
];

/** `netns` is the path of the container's namespace. Throws CommandError. */
export function addCall(options: AttachRequestOptions, netns: string): CniCall {
  const { name, namespace, mtu, tap } = options;
  checkName(name);
  if (!NAMESPACE.test(namespace))
    throw wrong(`--namespace: "${namespace}" is no namespace; lower-case letters, digits and "-", at most 63`);
  const labels = options.label.map(labelOf);
  const families = familiesOf(options);
  const call: CniCall = {
    environment: environmentOf('ADD', options, netns),
    configuration: {
      ...networkOf(options),
      ipam: {
        type: 'muslin',
        assign_ipv4: String(families.includes(4)),
        assign_ipv6: String(families.includes(6)),
        ...poolsOf(options.pool, families),
      },
      ...(tap === true && { tap }),
      ...(mtu !== undefined && { mtu: /^\d+$/.test(mtu) ? Number(mtu) : mtu }),
      ...runtimeOf(options),
      ...(labels.length > 0 && { args: { cni: { labels } } }),
    },
  };
  checkCall(call);
  return call;
}

/** What CNI hands on in runtimeConfig, where there is any. */
function runtimeOf({ ip, mac, service }: AttachRequestOptions) {
  if (ip.length === 0 && mac === undefined && service.length === 0) return {};
  const annotations = { [SERVICE_ADDRESSES]: JSON.stringify(service) };
  return {
    runtimeConfig: {
      ...(ip.length > 0 && { ips: ip }),
      mac,
      ...(service.length > 0 && { [POD_ANNOTATIONS]: annotations }),
    },
  };
}

/** Throws CommandError. */
export function delCall(options: AttachmentOptions): CniCall {
  checkName(options.name);
  const call = { environment: environmentOf('DEL', options, ''), configuration: networkOf(options) };
  checkCall(call);
  return call;
}

function environmentOf(
  command: string,
  options: AttachmentOptions & { readonly namespace?: string; readonly tap?: boolean },
  netns: string,
) {
  const { name, interface: interfaceName, namespace, tap } = options;
  return new Map([
    ['CNI_COMMAND', command],
    ['CNI_CONTAINERID', name],
    ['CNI_NETNS', netns],
    ['CNI_IFNAME', interfaceName],
    ['CNI_PATH', '/'], // there must be one; we call nobody
    ...(tap === true ? [['CNI_NETNS_OVERRIDE', '1'] as const] : []), // libcni's word for: the agent's own is meant
    ...(namespace === undefined ? [] : [['CNI_ARGS', `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`] as const]),
  ]);
}

function networkOf({ network }: AttachmentOptions) {
  return { cniVersion: CNI_VERSION, name: network, type: 'muslin' };
}

function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw wrong(
    `--name: "${name}" is malformed; lower-case letters and digits, with "-" and "." between them, at most 100`,
  );
}

/** The agent reads a call in the same way, so what passes here is only refused for what the world is like. */
function checkCall({ environment, configuration }: CniCall): void {
  const frame: RequestFrame = { environment, input: JSON.stringify(configuration) };
  const result = parseRequest(frame);
  if (result.ok) return;
  const { message } = result.error;
  const [pattern, option] = PLACES.find(([place]) => place.test(message)) ?? [/^/, ''];
  throw wrong(message.replace(pattern, option).replace(/set ipam\.assign_ipv6 to "true"$/, 'write --ipv6 as well'));
}

function labelOf(
  text: string,
  index: number,
  all: readonly string[],
): { readonly key: string; readonly value: string } {
  const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (key === undefined || value === undefined)
    throw wrong(`--label: "${text}" is no label; write one such as role=web`);
  const problem = labelNameProblem(key) ?? labelValueProblem(value);
  if (problem !== undefined) throw wrong(`--label: ${problem}`);
  if (all.some((other, place) => place < index && other.startsWith(`${key}=`)))
    throw wrong(`--label: "${key}" is there twice; write it once`);
  return { key, value };
}

/** Of an address that is asked for, its family is; else IPv4, and what the flags say. */
function familiesOf({ ip, ipv4, ipv6 }: AttachRequestOptions): Family[] {
  const requested = ip.flatMap((text) => parseIp(text)?.family ?? []);
  if (requested.length > 0) return [4, 6].filter((family): family is Family => requested.some((one) => one === family));
  const families: Family[] = [...(ipv4 ? [4 as const] : []), ...(ipv6 === true ? [6 as const] : [])];
  if (families.length === 0) throw wrong('--no-ipv4 leaves no family; write --ipv6 as well');
  return families;
}

/** A pool that is given by name may be of either family, and counts for its own wherever it stands. */
function poolsOf(
  pools: readonly string[],
  families: readonly Family[],
): { ipv4_pools?: string[]; ipv6_pools?: string[] } {
  const familyOfPool = (text: string) => parseCidr(text)?.address.family ?? families[0];
  const of = (family: Family) => pools.filter((text) => familyOfPool(text) === family);
  return {
    ...(of(4).length > 0 && { ipv4_pools: of(4) }),
    ...(of(6).length > 0 && { ipv6_pools: of(6) }),
  };
}

function wrong(message: string): CommandError {
  return new CommandError(EXIT_CODE.usage, message);
}
