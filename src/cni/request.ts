/**
 * A runtime's call, from the environment and stdin that the plugin passed on, to a request that can be carried out.
 *
 * Everything is checked here once, in the order of libcni's own skeleton (command, required variables, stdin, network name,
 * names in variables, version), so that a wrong call gets the code that runtimes know from other plugins; the first error
 * is the answer. DEL and GC look at as little as they can: a container must be removable even after its network's
 * configuration was broken by an edit. CNI SPEC 1.1.0, sections 2 and 3.
 */
import { assert } from '../lib/assert.ts';
import { isJsonObject } from '../lib/json.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Mac } from '../net/mac.ts';
import type { CniError, CniVersion } from './cni-error.ts';
import { CNI_ERROR, CNI_VERSIONS, isAtLeast, NEWEST_CNI_VERSION, parseCniVersion } from './cni-error.ts';
import type { JsonObject, Report } from './fields.ts';
import { quote, readAddresses, readMac } from './fields.ts';
import type { RequestFrame } from './frame.ts';
import type { NetworkConfiguration } from './network-configuration.ts';
import { readNetworkConfiguration } from './network-configuration.ts';
import { parseJson } from './parse-json.ts';
import { SERVICE_ADDRESSES } from './pod-annotations.ts';
import type { PreviousResult } from './previous-result.ts';
import { addressesOn, hasContainerInterface, readPreviousResult } from './previous-result.ts';

/** What CNI keys everything by: one interface of one container. */
export interface AttachmentId {
  readonly containerId: string;
  readonly interfaceName: string;
}

/** The pod as the runtime names it (podman: the container's name, and no namespace). */
export interface PodName {
  readonly name: string;
  readonly namespace: string | undefined;
}

interface Attachment extends AttachmentId {
  readonly networkName: string;
}

interface AttachmentInNamespace extends Attachment {
  /** The path of the container's network namespace. */
  readonly netns: string;
  /** The caller knows that this may be the agent's own namespace (libcni's CNI_NETNS_OVERRIDE). */
  readonly mayBeOwnNamespace: boolean;
  readonly pod: PodName | undefined;
  readonly configuration: NetworkConfiguration;
}

export type CniRequest =
  /** `previous`: what earlier plugins of the chain made, for the result. */
  | (AttachmentInNamespace & { readonly command: 'ADD'; readonly previous: PreviousResult | undefined })
  /** `previousAddresses`: what ADD answered, which must still be there. */
  | (AttachmentInNamespace & { readonly command: 'CHECK'; readonly previousAddresses: readonly Ip[] })
  /** Without a namespace when it has gone already, or the runtime cleans up a second time. */
  | (Attachment & { readonly command: 'DEL'; readonly netns: string | undefined })
  /** Attachments of the network that still count; undefined when the caller did not say, so nothing may be removed. */
  | { readonly command: 'GC'; readonly networkName: string; readonly valid: readonly AttachmentId[] | undefined }
  | { readonly command: 'STATUS'; readonly networkName: string; readonly configuration: NetworkConfiguration }
  | { readonly command: 'VERSION' };

/** `version` is the one to answer in: the caller's where we speak it, else our newest. */
export type RequestResult =
  | { readonly ok: true; readonly version: CniVersion; readonly request: CniRequest }
  | { readonly ok: false; readonly version: CniVersion; readonly error: CniError };

type Command = CniRequest['command'];

const CONTAINER = 'CNI_CONTAINERID';
const NETNS = 'CNI_NETNS';
const INTERFACE = 'CNI_IFNAME';
const PATH = 'CNI_PATH';

const COMMANDS: {
  readonly [command in Command]: { readonly since: CniVersion; readonly required: readonly string[] };
} = {
  ADD: { since: '0.1.0', required: [CONTAINER, NETNS, INTERFACE, PATH] },
  DEL: { since: '0.1.0', required: [CONTAINER, INTERFACE, PATH] },
  CHECK: { since: '0.4.0', required: [CONTAINER, NETNS, INTERFACE, PATH] },
  GC: { since: '1.1.0', required: [PATH] },
  STATUS: { since: '1.1.0', required: [PATH] },
  VERSION: { since: '0.1.0', required: [] },
};

/**
 * CNI's own pattern, which knows no limit, with one that lets a network, a container and an interface together make the
 * name of a resource (253 characters). Container runtimes use 64 to 80.
 */
const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/;
/** IFNAMSIZ without the closing zero; "%" would be a pattern to the kernel. */
const INTERFACE_NAME = /^(?!\.{1,2}$)[!-$&-.0-9;-~]{1,15}$/;
/** GC lists all of a host's attachments to one network; Kubernetes means a host to have some hundreds. */
const VALID_ATTACHMENTS_MAX = 65536;
/** A caller's values are quoted in messages, and some callers' values are a hundred kilobytes long. */
const MESSAGE_LENGTH_MAX = 1000;
/** Sent by kubelet's runtimes, and of no use to us. */
const IGNORED_ARGUMENTS: readonly string[] = ['K8S_POD_INFRA_CONTAINER_ID', 'K8S_POD_UID'];

/** A namespace's name, as Kubernetes has it: the endpoint is stored under it. */
const POD_NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** Kubernetes' longest name; podman's containers have shorter ones. */
const POD_NAME_LENGTH_MAX = 253;

/** Reads a whole call; never throws. */
export function parseRequest(frame: RequestFrame): RequestResult {
  const { environment } = frame;
  const errors: CniError[] = [];
  const report: Report = (code, message) => {
    errors.push({ code, message: message.slice(0, MESSAGE_LENGTH_MAX), details: '' });
    return undefined;
  };
  const command = readCommand(environment, report);
  const document = command === undefined || command === 'VERSION' ? {} : readDocument(frame.input, report);
  const spoken = parseCniVersion(document?.cniVersion);
  const version = spoken ?? NEWEST_CNI_VERSION;
  const request =
    command === undefined || document === undefined
      ? undefined
      : readRequest(command, environment, document, spoken, report);
  const [error] = errors;
  if (error !== undefined) return { ok: false, version, error };
  assert(request !== undefined, 'a reader gave nothing and did not report why');
  return { ok: true, version, request };
}

function readCommand(environment: RequestFrame['environment'], report: Report): Command | undefined {
  const name = environment.get('CNI_COMMAND');
  const commands = Object.keys(COMMANDS) as Command[]; // the record's type says that these are its keys
  const command = commands.find((known) => known === name);
  if (command === undefined) {
    const list = commands.join(', ');
    return report(CNI_ERROR.invalidEnvironment, `CNI_COMMAND: ${quote(name ?? '')} is none of ${list}`);
  }
  const missing = COMMANDS[command].required.filter((variable) => (environment.get(variable) ?? '') === '');
  if (missing.length === 0) return command;
  return report(CNI_ERROR.invalidEnvironment, `${command} needs ${missing.join(', ')} in the environment`);
}

function readDocument(input: string, report: Report): JsonObject | undefined {
  const parsed = parseJson(input);
  if (!parsed.ok) {
    const reason = parsed.reason.slice(0, 200);
    return report(CNI_ERROR.decodingFailure, `the network configuration on stdin is not JSON: ${reason}`);
  }
  if (isJsonObject(parsed.value)) return parsed.value;
  return report(CNI_ERROR.decodingFailure, 'the network configuration on stdin is not a JSON object');
}

function readRequest(
  command: Command,
  environment: RequestFrame['environment'],
  document: JsonObject,
  version: CniVersion | undefined,
  report: Report,
): CniRequest | undefined {
  if (command === 'VERSION') return { command };
  const networkName = readIdentifier(document.name, 'name', CNI_ERROR.invalidConfiguration, report);
  const attachment = { containerId: '', interfaceName: '', networkName };
  if (COMMANDS[command].required.includes(CONTAINER)) {
    attachment.containerId = readIdentifier(
      environment.get(CONTAINER),
      CONTAINER,
      CNI_ERROR.invalidEnvironment,
      report,
    );
    attachment.interfaceName = readInterfaceName(environment.get(INTERFACE) ?? '', report);
  }
  checkVersion(command, document.cniVersion, version, report);
  const netns = environment.get(NETNS) ?? '';

  if (command === 'DEL') return { command, ...attachment, netns: netns === '' ? undefined : netns };
  if (command === 'GC') return { command, networkName, valid: readValidAttachments(document, report) };
  const configuration = readNetworkConfiguration(document, report);
  if (command === 'STATUS') return { command, networkName, configuration };

  if (!netns.startsWith('/')) {
    report(CNI_ERROR.invalidEnvironment, `${NETNS}: ${quote(netns)} is not an absolute path`);
  }
  const args = readArguments(environment.get('CNI_ARGS') ?? '', report);
  const requestedAddresses =
    configuration.requestedAddresses.length > 0 ? configuration.requestedAddresses : args.requestedAddresses;
  const common = {
    ...attachment,
    netns,
    mayBeOwnNamespace: /^(1|true)$/i.test(environment.get('CNI_NETNS_OVERRIDE') ?? ''),
    pod: args.pod,
    configuration: { ...configuration, requestedAddresses, mac: configuration.mac ?? args.mac },
  };
  const previous = readPreviousResult(document.prevResult, report);
  if (command === 'CHECK') return { command, ...common, previousAddresses: readChecked(previous, attachment, report) };
  checkOutsideAddresses(common.configuration, report);
  if (previous !== undefined && hasContainerInterface(previous, attachment.interfaceName)) {
    const remedy = 'muslin makes the interface itself, so list it before the plugins that work on one';
    const place = `prevResult: an earlier plugin has made ${attachment.interfaceName} already`;
    report(CNI_ERROR.invalidConfiguration, `${place}; ${remedy}`);
  }
  return { command, ...common, previous };
}

/** An outside address leads to an address of the same family. */
function checkOutsideAddresses(configuration: NetworkConfiguration, report: Report): void {
  const own = [...configuration.families, ...configuration.requestedAddresses.map(({ family }) => family)];
  const { floatingAddresses, serviceAddresses } = configuration;
  const lists = [
    ['cni.projectcalico.org/floatingIPs', floatingAddresses],
    [SERVICE_ADDRESSES, serviceAddresses],
  ] as const;
  for (const [annotation, addresses] of lists) {
    const stray = addresses.find(({ family }) => !own.includes(family));
    if (stray === undefined) continue;
    const place = `annotation ${annotation}: ${formatIp(stray)}`;
    const reason = `leads nowhere, as the container gets no IPv${stray.family} address`;
    report(CNI_ERROR.invalidConfiguration, `${place} ${reason}; set ipam.assign_ipv${stray.family} to "true"`);
  }
}

function checkVersion(command: Command, text: unknown, version: CniVersion | undefined, report: Report): void {
  const supported = CNI_VERSIONS.filter((known) => isAtLeast(known, COMMANDS[command].since)).join(', ');
  if (version === undefined) {
    report(CNI_ERROR.incompatibleVersion, `cniVersion ${quote(text)} is not supported; supported: ${supported}`);
  } else if (!isAtLeast(version, COMMANDS[command].since)) {
    report(CNI_ERROR.incompatibleVersion, `${command} does not exist in cniVersion ${version}, but in ${supported}`);
  }
}

/** A container id or network name; "" when it was bad, which has then been reported. */
function readIdentifier(value: unknown, place: string, code: CniError['code'], report: Report): string {
  if (typeof value === 'string' && IDENTIFIER.test(value)) return value;
  const found = value === undefined ? 'missing' : `${quote(value)}, which is malformed`;
  report(code, `${place}: ${found}; a letter or digit, then at most 99 letters, digits, "_", "." or "-"`);
  return '';
}

function readInterfaceName(name: string, report: Report): string {
  if (INTERFACE_NAME.test(name)) return name;
  const rule = '1 to 15 printable ASCII characters other than space, "/", ":", "%", and not "." or ".."';
  report(CNI_ERROR.invalidEnvironment, `${INTERFACE}: ${quote(name)} cannot name an interface: ${rule}`);
  return '';
}

interface Arguments {
  readonly pod: PodName | undefined;
  readonly requestedAddresses: readonly Ip[];
  readonly mac: Mac | undefined;
}

/** CNI_ARGS: "KEY=VALUE;KEY=VALUE". A key that we do not know is an error unless IgnoreUnknown is true. */
function readArguments(text: string, report: Report): Arguments {
  const code = CNI_ERROR.invalidEnvironment;
  const values = new Map<string, string>();
  for (const pair of text.split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0) values.set(pair.slice(0, equals), pair.slice(equals + 1));
    else if (pair !== '') report(code, `CNI_ARGS: ${quote(pair)} is not KEY=VALUE`);
  }
  const take = (key: string): string => {
    const value = values.get(key) ?? '';
    values.delete(key);
    return value;
  };
  const ignoreUnknown = /^(1|true)$/i.test(take('IgnoreUnknown'));
  const name = take('K8S_POD_NAME');
  const namespace = take('K8S_POD_NAMESPACE');
  if (namespace !== '' && !POD_NAMESPACE.test(namespace)) {
    const rule = 'at most 63 lower-case letters, digits and "-", with a letter or digit at each end';
    report(code, `CNI_ARGS: K8S_POD_NAMESPACE: ${quote(namespace)} is not a namespace: ${rule}`);
  }
  if (name.length > POD_NAME_LENGTH_MAX) {
    report(code, `CNI_ARGS: K8S_POD_NAME: ${name.length} characters; at most ${POD_NAME_LENGTH_MAX} are accepted`);
  }
  const addresses = take('IP');
  const mac = take('MAC');
  const unknown = [...values.keys()].filter((key) => !IGNORED_ARGUMENTS.includes(key));
  if (!ignoreUnknown && unknown.length > 0) {
    report(code, `CNI_ARGS: ${unknown.join(', ').slice(0, 200)} is not known; IgnoreUnknown=1 would let it pass`);
  }
  return {
    pod: name === '' ? undefined : { name, namespace: namespace === '' ? undefined : namespace },
    requestedAddresses: addresses === '' ? [] : readAddresses(addresses.split(','), 'CNI_ARGS: IP', code, report),
    mac: readMac(mac, 'CNI_ARGS: MAC', code, report),
  };
}

/** The addresses in the result that ADD gave, which CHECK must be handed again: those of our own interface. */
function readChecked(
  previous: PreviousResult | undefined,
  { interfaceName }: Attachment,
  report: Report,
): readonly Ip[] {
  const code = CNI_ERROR.invalidConfiguration;
  if (previous === undefined) {
    report(code, 'prevResult: missing; CHECK needs the result of ADD');
    return [];
  }
  const addresses = addressesOn(previous, interfaceName, report);
  if (addresses.length === 0)
    report(code, `prevResult.ips: none is on ${interfaceName}; CHECK needs the result of ADD`);
  return addresses;
}

function readValidAttachments(document: JsonObject, report: Report): readonly AttachmentId[] | undefined {
  // The specification calls the list valid-attachments; libcni writes it under both names.
  const list = document['cni.dev/valid-attachments'] ?? document['cni.dev/attachments'] ?? undefined;
  if (list === undefined) return undefined;
  const code = CNI_ERROR.invalidConfiguration;
  if (!Array.isArray(list) || list.length > VALID_ATTACHMENTS_MAX) {
    return report(code, `cni.dev/valid-attachments: not a list of at most ${VALID_ATTACHMENTS_MAX} attachments`);
  }
  const valid: AttachmentId[] = [];
  for (const [index, entry] of list.entries()) {
    const containerId = isJsonObject(entry) ? entry.containerID : undefined;
    const interfaceName = isJsonObject(entry) ? entry.ifname : undefined;
    if (typeof containerId === 'string' && typeof interfaceName === 'string')
      valid.push({ containerId, interfaceName });
    else report(code, `cni.dev/valid-attachments[${index}]: not {"containerID": …, "ifname": …}`);
  }
  return valid;
}
