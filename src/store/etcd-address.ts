/**
 * The address of an etcd cluster, as users write it, read into its parts.
 *
 *   etcd://HOST[:PORT][,HOST[:PORT]…][/PREFIX]                  without TLS
 *   etcds://…?ca=FILE&cert=FILE&key=FILE&user=NAME              with TLS; each part of the query may be left out
 *
 * A password is never in the address, since addresses are shown in logs and process lists: it comes from the variable
 * MUSLIN_STORE_PASSWORD or, by `passwordFile=FILE`, from a file, which is read again at each login so that it can change.
 */
import { readFileSync } from 'node:fs';
import { StoreError } from './store.ts';

/** Read at each login when it does not come from a file. */
export const PASSWORD_VARIABLE = 'MUSLIN_STORE_PASSWORD';

const DEFAULT_PORT = 2379;
const DEFAULT_PREFIX = '/muslin';

/** A key is at most this long and etcd sorts all of them in memory; nobody needs more for a name. */
const PREFIX_LENGTH_MAX = 128;
const ENDPOINTS_MAX = 16;

const FORM = 'write etcd://HOST:PORT[,HOST:PORT…]/PREFIX, or etcds:// with TLS';
const PARAMETERS = ['ca', 'cert', 'key', 'user', 'passwordFile', 'compact'] as const;

type Parameter = (typeof PARAMETERS)[number];

export interface EtcdEndpoint {
  /** A name or an address, without brackets. */
  readonly host: string;
  /** HOST:PORT, with brackets around an IPv6 address. */
  readonly text: string;
}

export interface EtcdTls {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

export interface EtcdAddress {
  readonly endpoints: readonly [EtcdEndpoint, ...EtcdEndpoint[]];
  /** What all keys begin with: empty, or a path without a slash at its end. */
  readonly prefix: string;
  readonly tls: EtcdTls | undefined;
  readonly login: { readonly user: string; readonly password: () => string } | undefined;
  /** Whether we remove the cluster's old history. */
  readonly compacts: boolean;
  /** The address without its query, to show. */
  readonly description: string;
}

/** Throws StoreError `invalid`, or `unavailable` when a file that the address names cannot be read. */
export function parseEtcdAddress(url: string): EtcdAddress {
  const parts = /^(etcds?):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?$/.exec(url);
  const [, scheme = '', hosts = '', path = '', query = ''] = parts ?? [];
  if (hosts.includes('@')) {
    refuse('the address of a store holds no user or password', `?user=NAME and set ${PASSWORD_VARIABLE}`);
  }
  if (parts === null || hosts === '') refuse(`${JSON.stringify(url)} is not the address of an etcd`, FORM);
  const [first, ...others] = hosts.split(',').map(endpointOf);
  if (first === undefined || others.length >= ENDPOINTS_MAX) refuse('too many endpoints', `at most ${ENDPOINTS_MAX}`);
  const prefix = prefixOf(path);
  const parameters = parametersOf(query);
  const description = `${scheme}://${[first, ...others].map(({ text }) => text).join(',')}${prefix}`;
  const compact = parameters.get('compact') ?? 'yes';
  if (compact !== 'yes' && compact !== 'no') refuse(`compact=${compact} is not known`, 'compact=yes or compact=no');
  return {
    endpoints: [first, ...others],
    prefix,
    tls: tlsOf(scheme === 'etcds', parameters),
    login: loginOf(parameters),
    compacts: compact === 'yes',
    description,
  };
}

function endpointOf(text: string): EtcdEndpoint {
  const [, address, name, port = String(DEFAULT_PORT)] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = address ?? name;
  if (host === undefined || Number(port) < 1 || Number(port) > 65535) {
    refuse(`${JSON.stringify(text)} is not an endpoint`, 'HOST:PORT, [IPV6]:PORT; several are joined by commas');
  }
  return { host, text: `${address === undefined ? host : `[${host}]`}:${port}` };
}

function prefixOf(path: string): string {
  if (path === '') return DEFAULT_PREFIX;
  const prefix = path.replace(/\/$/, '');
  if (prefix.length > PREFIX_LENGTH_MAX || !/^(\/[A-Za-z0-9._~-]+)*$/.test(prefix)) {
    const right = `a path of letters, digits, and . _ ~ - of at most ${PREFIX_LENGTH_MAX} characters`;
    refuse(`${JSON.stringify(path)} cannot be the prefix of a store's keys`, right);
  }
  return prefix;
}

function parametersOf(query: string): ReadonlyMap<Parameter, string> {
  const parameters = new Map<Parameter, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === 'password') {
      refuse('a password does not belong in an address', `passwordFile=FILE, or set ${PASSWORD_VARIABLE}`);
    }
    const parameter = PARAMETERS.find((each) => each === name);
    if (parameter === undefined) refuse(`"${name}" is no option of an etcd address`, `${PARAMETERS.join(', ')}`);
    if (parameters.has(parameter) || value === '') refuse(`"${name}" is empty or given twice`, `${name}=VALUE`);
    parameters.set(parameter, value);
  }
  return parameters;
}

function tlsOf(wanted: boolean, parameters: ReadonlyMap<Parameter, string>): EtcdTls | undefined {
  const given = (['ca', 'cert', 'key'] as const).filter((name) => parameters.has(name));
  if (!wanted && given.length > 0) refuse(`"${given[0]}" is for TLS, which etcd:// is without`, 'etcds://…');
  if (parameters.has('cert') !== parameters.has('key')) {
    refuse('a certificate is of use only with its key', 'both cert=FILE and key=FILE, or neither');
  }
  if (!wanted) return undefined;
  const read = (name: Parameter) => {
    const path = parameters.get(name);
    return path === undefined ? undefined : fileAt(path, name);
  };
  return { ca: read('ca'), cert: read('cert'), key: read('key') };
}

function loginOf(parameters: ReadonlyMap<Parameter, string>): EtcdAddress['login'] {
  const user = parameters.get('user');
  const file = parameters.get('passwordFile');
  if (user === undefined) {
    if (file !== undefined) refuse('a password without a user', 'user=NAME with passwordFile=FILE');
    return undefined;
  }
  const password =
    file === undefined
      ? () => process.env[PASSWORD_VARIABLE] ?? refuse(`no password for user "${user}"`, `set ${PASSWORD_VARIABLE}`)
      : () =>
          fileAt(file, 'passwordFile')
            .toString('utf8')
            .replace(/\r?\n$/, '');
  password(); // one that is not there is said at once
  return { user, password };
}

function fileAt(path: string, parameter: Parameter): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreError('unavailable', `the store's ${parameter}= cannot be read: ${reason}`, { cause: error });
  }
}

function refuse(what: string, right: string): never {
  throw new StoreError('invalid', `${what}; right is: ${right}`);
}
