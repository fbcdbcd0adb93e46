/**
 * The agent hands its host over to itself: once it is ready, it writes the network configuration for container runtimes.
 *
 * Before that no runtime asks for a container that would have to wait; and it stays when the agent stops, since an agent that restarts is
 * asked again by runtimes, while a file that went would have them start containers on another network. One that somebody has edited is his.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentConfiguration } from '../configuration.ts';
import { CNI_SOCKET_NAME } from '../control-api.ts';
import { conflistText, isOwnConflist } from './conflist.ts';
import { readIfThere, replaceFile } from './files.ts';

/** Writes the file that the agent's configuration asks for. Throws what the file system says. */
export function writeCniConfiguration(
  configuration: Pick<AgentConfiguration, 'runDirectory' | 'cniConfiguration' | 'cniPlugins'>,
): 'not wanted' | 'written' | 'unchanged' | 'kept' {
  const { runDirectory, cniConfiguration: path, cniPlugins } = configuration;
  if (path === undefined) return 'not wanted';
  const text = conflistText({
    agentSocket: join(runDirectory, CNI_SOCKET_NAME),
    hasPortmap: existsSync(join(cniPlugins, 'portmap')),
  });
  const present = readIfThere(path)?.toString('utf8');
  if (present === text) return 'unchanged';
  if (present !== undefined && !isOwnConflist(present)) return 'kept';
  replaceFile(path, text, 0o644);
  return 'written';
}
