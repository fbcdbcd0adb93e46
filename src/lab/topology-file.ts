/**
 * Where topologies come from: the shipped ones in labs/, by name, and a user's own, by file.
 *
 * What has a slash or ends in .yaml is a file, everything else a shipped name; so a file in the way can never take the place
 * of a shipped lab.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LabError } from './lab-error.ts';
import { suggestion } from './wording.ts';

const SHIPPED_DIRECTORY = fileURLToPath(new URL('../../labs/', import.meta.url));

/** The names of the shipped topologies. */
export function shippedLabs(): string[] {
  return readdirSync(SHIPPED_DIRECTORY)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/** A topology's text and where it came from: a shipped name, or a file. Throws LabError. */
export function findTopology(nameOrFile: string): { readonly source: string; readonly text: string } {
  const isFile = nameOrFile.includes('/') || /\.ya?ml$/.test(nameOrFile);
  const source = isFile ? nameOrFile : `${SHIPPED_DIRECTORY}${nameOrFile}.yaml`;
  if (!existsSync(source)) {
    if (isFile) throw new LabError('notFound', `there is no file ${source}`);
    const hint = existsSync(`${nameOrFile}.yaml`) ? `; for the file here, write ./${nameOrFile}.yaml` : '';
    throw new LabError('notFound', `there is no lab "${nameOrFile}"${hint || suggestion(nameOrFile, shippedLabs())}`);
  }
  try {
    return { source, text: readFileSync(source, 'utf8') };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new LabError('failed', `${source} cannot be read: ${reason}`);
  }
}
