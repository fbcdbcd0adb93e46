/**
 * Reading the repository's own files for the structure tests.
 *
 * What git would not track (dependencies, build output) is left out by name rather than by asking git, so that the tests
 * also run on an unpacked archive.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const SKIPPED = new Set(['node_modules', 'build', '.git', 'package-lock.json', 'LICENSE']);
const TEXT_EXTENSIONS = new Set(['', '.ts', '.md', '.json', '.yaml', '.yml', '.c', '.h', '.sh', '.txt']);

/** Every text file below the root, by its path from there, in order of paths. */
export function readTree(root: string): Map<string, string> {
  const files = new Map<string, string>();
  const visit = (folder: string): void => {
    const entries = readdirSync(join(root, folder), { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (SKIPPED.has(entry.name)) continue;
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile() && TEXT_EXTENSIONS.has(extname(entry.name))) {
        files.set(path, readFileSync(join(root, path), 'utf8'));
      }
    }
  };
  visit('');
  return files;
}

/** The TypeScript files among them. */
export function typescriptOf(files: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...files].filter(([path]) => path.endsWith('.ts')));
}
