/**
 * The agent's own configuration file: who it is and where it finds its things.
 *
 *   node: host-a                                   default: the host's name
 *   store: sqlite:///var/lib/muslin/store.db       default: that
 *   runDirectory: /run/muslin                      default: that; sockets and the pid file
 *   secretsDirectory: /etc/muslin/secrets          default: that; passwords that resources refer to, NAME/KEY in it
 *   cniConfiguration: /etc/cni/net.d/10-muslin.conflist    default: none; written for container runtimes when the agent is ready
 *   cniPlugins: /opt/cni/bin                       default: that; where runtimes find plugins that go with ours
 *   bgp: true                                      default: that; false where none may be spoken: the store tells routes then
 *   bmpCollector: 10.0.0.9:11019                   default: none; who is told of BGP as it happens (RFC 7854)
 *   podmanState: /var/lib/containers/storage/libpod/bolt_state.db                   default: that; where podman and
 *   containerdState: /var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db     containerd keep containers' labels
 *   logLevel: info                                 debug, info, warn or error
 *
 * All else that there is to configure lives in resources in the store. A mistake is one message with file, line, and what is right.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Ip } from '../net/ip.ts';
import { parseIp } from '../net/ip.ts';
import { DEFAULT_STORE } from '../store/open-store.ts';
import { DEFAULT_RUN_DIRECTORY } from './control-api.ts';
import { PLUGIN_DIRECTORY } from './install/conflist.ts';
import type { LogLevel } from './log.ts';
import { DEFAULT_CONTAINER_DATABASES } from './runtimes/container-databases.ts';

export interface AgentConfiguration {
  readonly node: string;
  readonly store: string;
  readonly runDirectory: string;
  readonly secretsDirectory: string;
  readonly cniConfiguration: string | undefined;
  readonly cniPlugins: string;
  /** Whether BGP is spoken at all. */
  readonly bgp: boolean;
  readonly bmpCollector: { readonly address: Ip; readonly port: number } | undefined;
  readonly podmanState: string;
  readonly containerdState: string;
  readonly logLevel: LogLevel;
}

export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const DEFAULT_SECRETS_DIRECTORY = '/etc/muslin/secrets';

const LOG_LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'];

interface Field {
  readonly standard: () => string;
  readonly valid: (value: string) => boolean;
  readonly rule: string;
}

const FIELDS: Readonly<Record<keyof AgentConfiguration, Field>> = {
  node: {
    standard: () => hostname().toLowerCase(),
    valid: (value) => /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(value),
    rule: 'lower-case letters, digits, "-" and ".", at most 253 of them',
  },
  store: { standard: () => DEFAULT_STORE, valid: (value) => value !== '', rule: 'the place of a store' },
  runDirectory: {
    standard: () => DEFAULT_RUN_DIRECTORY,
    // A Unix socket's path has at most 107 bytes; ours need room for a name.
    valid: (value) => value.startsWith('/') && value.length <= 90,
    rule: 'an absolute path of at most 90 characters',
  },
  secretsDirectory: {
    standard: () => DEFAULT_SECRETS_DIRECTORY,
    valid: (value) => value.startsWith('/'),
    rule: 'an absolute path',
  },
  cniConfiguration: {
    standard: () => '',
    valid: (value) => /^\/.*\.conflist$/.test(value),
    rule: 'an absolute path that ends in .conflist',
  },
  cniPlugins: {
    standard: () => PLUGIN_DIRECTORY,
    valid: (value) => value.startsWith('/'),
    rule: 'an absolute path',
  },
  bgp: { standard: () => 'true', valid: (value) => value === 'true' || value === 'false', rule: 'true or false' },
  bmpCollector: {
    standard: () => '',
    valid: (value) => endpointOf(value) !== undefined,
    rule: 'an address and a port, 10.0.0.9:11019 or "[fd00::9]:11019"',
  },
  podmanState: {
    standard: () => DEFAULT_CONTAINER_DATABASES.podman,
    valid: (value) => value.startsWith('/'),
    rule: 'an absolute path',
  },
  containerdState: {
    standard: () => DEFAULT_CONTAINER_DATABASES.containerd,
    valid: (value) => value.startsWith('/'),
    rule: 'an absolute path',
  },
  logLevel: { standard: () => 'info', valid: (value) => LOG_LEVELS.includes(value), rule: LOG_LEVELS.join(', ') },
};

/** Reads and checks the file; throws ConfigurationError with all that is wrong. */
export function readAgentConfiguration(path: string): AgentConfiguration {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError(`${path}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  return parseAgentConfiguration(text, path);
}

/** `text` is YAML; `path` is for messages. */
export function parseAgentConfiguration(text: string, path: string): AgentConfiguration {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, maxAliasCount: 0 } as Parameters<typeof parseDocument>[1]);
  const [syntaxError] = document.errors;
  if (syntaxError !== undefined) throw new ConfigurationError(`${path}: ${syntaxError.message}`);
  if (document.contents !== null && !isMap(document.contents)) {
    throw new ConfigurationError(`${path}: not a mapping; write lines such as "node: host-a"`);
  }
  const problems: string[] = [];
  const values = new Map<string, string>();
  for (const { key, value } of document.contents?.items ?? []) {
    const name = isScalar(key) ? String(key.value) : '';
    const place = lineCounter.linePos((isScalar(key) ? key.range?.[0] : undefined) ?? 0);
    const field = FIELDS[name as keyof AgentConfiguration] as Field | undefined;
    const content = isScalar(value) ? String(value.value ?? '') : String(value ?? '');
    if (field === undefined) {
      problems.push(`${path}:${place.line}: ${name}: no such field; there are ${Object.keys(FIELDS).join(', ')}`);
    } else if (!isScalar(value) || !field.valid(content)) {
      problems.push(`${path}:${place.line}: ${name}: ${JSON.stringify(content)} is not ${field.rule}`);
    } else values.set(name, content);
  }
  if (problems.length > 0) throw new ConfigurationError(problems.join('\n'));
  const settingOf = (name: keyof AgentConfiguration) => values.get(name) ?? FIELDS[name].standard();
  return {
    node: settingOf('node'),
    store: settingOf('store'),
    runDirectory: settingOf('runDirectory'),
    secretsDirectory: settingOf('secretsDirectory'),
    cniConfiguration: settingOf('cniConfiguration') || undefined,
    cniPlugins: settingOf('cniPlugins'),
    bgp: settingOf('bgp') === 'true',
    bmpCollector: endpointOf(settingOf('bmpCollector')),
    podmanState: settingOf('podmanState'),
    containerdState: settingOf('containerdState'),
    logLevel: settingOf('logLevel') as LogLevel, // its field lets nothing else through
  };
}

/** "10.0.0.9:11019" or "[fd00::9]:11019"; undefined for anything else. */
function endpointOf(text: string): AgentConfiguration['bmpCollector'] {
  const [, inBrackets, plain, digits = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = parseIp(inBrackets ?? plain ?? '');
  const port = Number(digits);
  if (address === undefined || (address.family === 6) !== (inBrackets !== undefined)) return undefined;
  return port > 0 && port <= 0xffff ? { address, port } : undefined;
}
