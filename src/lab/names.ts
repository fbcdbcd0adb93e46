/**
 * Where a lab's things are: namespaces, directories, sockets, logs, all computed from the lab's and the entity's name.
 *
 *   /run/netns/muslin-LAB-ENTITY            a host, router, segment or workload
 *   /run/muslin/lab/LAB/                    state.json, topology.yaml, store.db
 *   /run/muslin/lab/LAB/HOST/               agent.yaml, agent.sock, cni.sock, agent.log
 *
 * Because the places follow from the names, a lab whose state was lost can still be found and removed. One lab's
 * name may begin like another's ("two-hosts" and "two-hosts-dual-stack"), so a namespace belongs to the lab with the
 * longest name that fits.
 */
import { CNI_SOCKET_NAME, CONTROL_SOCKET_NAME, DEFAULT_RUN_DIRECTORY } from '../node/control-api.ts';

export const LABS_DIRECTORY = `${DEFAULT_RUN_DIRECTORY}/lab`;

/** Names of labs and entities: they become namespaces, directories and Node resources, so DNS labels. */
export const NAME_PATTERN = /^[a-z]([a-z0-9-]*[a-z0-9])?$/;

/**
 * A Unix socket's path has at most 107 bytes (sun_path of unix(7)): "/run/muslin/lab/" + lab + "/" + host + "/agent.sock"
 * leaves 79 for the two names.
 */
export const NAME_LENGTH_MAX = 39;

export function namespaceOf(lab: string, entity: string): string {
  return `${namespacePrefix(lab)}${entity}`;
}

function namespacePrefix(lab: string): string {
  return `muslin-${lab}-`;
}

/** Those of `namespaces` that are `lab`'s, where `otherLabs` are all the other labs that are known to exist. */
export function namespacesOfLab(lab: string, namespaces: readonly string[], otherLabs: readonly string[]): string[] {
  const longer = otherLabs.filter((other) => other.length > lab.length).map(namespacePrefix);
  return namespaces.filter(
    (name) => name.startsWith(namespacePrefix(lab)) && !longer.some((prefix) => name.startsWith(prefix)),
  );
}

export interface LabPlaces {
  readonly directory: string;
  readonly state: string;
  readonly topology: string;
  readonly storeUrl: string;
}

export function labPlaces(lab: string): LabPlaces {
  const directory = `${LABS_DIRECTORY}/${lab}`;
  return {
    directory,
    state: `${directory}/state.json`,
    topology: `${directory}/topology.yaml`,
    storeUrl: `sqlite://${directory}/store.db`,
  };
}

export interface HostPlaces {
  readonly runDirectory: string;
  /** The agent's configuration; its path on a command line is how the agent's process is recognised. */
  readonly config: string;
  readonly controlSocket: string;
  readonly cniSocket: string;
  readonly logFile: string;
}

export function hostPlaces(lab: string, host: string): HostPlaces {
  const runDirectory = `${LABS_DIRECTORY}/${lab}/${host}`;
  return {
    runDirectory,
    config: `${runDirectory}/agent.yaml`,
    controlSocket: `${runDirectory}/${CONTROL_SOCKET_NAME}`,
    cniSocket: `${runDirectory}/${CNI_SOCKET_NAME}`,
    logFile: `${runDirectory}/agent.log`,
  };
}
