/**
 * What an installed host has, as data: each file with its place, its content and whose it is.
 *
 * Places are those on the host, whatever folder they are installed below. The network configuration for runtimes is not here: the
 * agent writes it when it is ready (cni-configuration-file.ts). The order is that of installing: what uses others comes after them.
 */
import { PLUGIN_DIRECTORY } from './conflist.ts';
import {
  CONFIGURATION_PATH,
  CONFIGURATION_TEXT,
  NETWORK_MANAGER_TEXT,
  SYSCTL_TEXT,
  UNIT_NAME,
  unitText,
} from './unit.ts';

export const PLUGIN_PATH = `${PLUGIN_DIRECTORY}/muslin`;
export const UNIT_PATH = `/etc/systemd/system/${UNIT_NAME}`;
export const NETWORK_MANAGER_DIRECTORY = '/etc/NetworkManager';
export const STATE_DIRECTORY = '/var/lib/muslin';

export interface InstalledFile {
  /** On the host. */
  readonly path: string;
  /** What it is, for people. */
  readonly title: string;
  readonly content: Uint8Array;
  readonly mode: number;
  /** "operator": written once as a start, and never again. */
  readonly owner: 'muslin' | 'operator';
}

export interface LayoutWish {
  /** bin/muslin, where it is on the host. */
  readonly program: string;
  readonly plugin: Uint8Array;
  /** What /etc/muslin/muslin.yaml shall say; undefined for a start with defaults. */
  readonly configuration: string | undefined;
  readonly hasNetworkManager: boolean;
}

export function layoutOf({ program, plugin, configuration, hasNetworkManager }: LayoutWish): InstalledFile[] {
  const text = (path: string, title: string, content: string): InstalledFile => {
    return { path, title, content: Buffer.from(content), mode: 0o644, owner: 'muslin' };
  };
  const networkManager = text(
    `${NETWORK_MANAGER_DIRECTORY}/conf.d/muslin.conf`,
    'keeps NetworkManager off',
    NETWORK_MANAGER_TEXT,
  );
  return [
    { path: PLUGIN_PATH, title: 'CNI plugin', content: plugin, mode: 0o755, owner: 'muslin' },
    text('/etc/sysctl.d/90-muslin.conf', 'kernel settings at boot', SYSCTL_TEXT),
    ...(hasNetworkManager ? [networkManager] : []),
    {
      ...text(CONFIGURATION_PATH, "the agent's configuration", configuration ?? CONFIGURATION_TEXT),
      mode: 0o600, // the address of a store may hold a password
      owner: 'operator',
    },
    text(UNIT_PATH, 'systemd unit', unitText(program)),
  ];
}
