/**
 * The network configuration that makes container runtimes use us: what it says, and whether one that is there is as we made it.
 *
 * Runtimes take the first file of a folder, so that this file appears is what switches a host over; the agent writes it when it is
 * ready (cni-configuration-file.ts). It bears a seal, a digest of all else in it, under a key that runtimes ignore (CNI
 * SPEC 1.0.0, section 1): where the seal does not fit, somebody has edited the file, and it is his. A change of blanks is no edit.
 */
import { createHash } from 'node:crypto';
import { isJsonObject, type Json } from '../../lib/json.ts';

/** Where runtimes look, and what they find there first unless another network plugin has been installed before. */
export const CONFLIST_PATH = '/etc/cni/net.d/10-muslin.conflist';
/** Where runtimes look for plugins. */
export const PLUGIN_DIRECTORY = '/opt/cni/bin';

const SEAL = 'muslin.seal';

export interface ConflistWish {
  /** The agent's CNI socket. */
  readonly agentSocket: string;
  /** Whether the plugin that publishes ports of containers on the host stands beside ours. */
  readonly hasPortmap: boolean;
}

/** The whole file, for these wishes. */
export function conflistText({ agentSocket, hasPortmap }: ConflistWish): string {
  const muslin = {
    type: 'muslin',
    agentSocket,
    ipam: { type: 'muslin' },
    // What the runtime is asked to hand on, where it has it (CNI conventions).
    capabilities: { ips: true, mac: true, 'io.kubernetes.cri.pod-annotations': true },
  };
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  const document = {
    cniVersion: '1.0.0',
    name: 'muslin',
    plugins: hasPortmap ? [muslin, portmap] : [muslin],
  };
  return `${JSON.stringify({ ...document, [SEAL]: sealOf(document) }, undefined, 2)}\n`;
}

/** Whether `text` is a configuration that we made and nobody has changed since. */
export function isOwnConflist(text: string): boolean {
  const document = parse(text);
  if (!isJsonObject(document)) return false;
  const { [SEAL]: seal, ...rest } = document;
  return seal === sealOf(rest as Json); // what JSON.parse has made is JSON
}

function sealOf(document: Json): string {
  return `sha256:${createHash('sha256').update(JSON.stringify(document)).digest('hex')}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
