/**
 * Where muslin starts: command-line.ts does the work, and is imported only after the compile cache is on.
 *
 * The cache keeps what V8 has compiled, and of the source tree what type stripping has made; it halves the start of a command
 * (npm run bench:cli). It holds machine code, so it must lie where nobody else can write: root's is never in a home
 * directory or /tmp. Without a place for it, or when it cannot be written, all goes on without.
 */
import { enableCompileCache } from 'node:module';

const directory = cacheDirectory();
if (directory !== undefined) enableCompileCache(directory);
const { runCommandLine } = await import('./command-line.ts');
await runCommandLine(process.argv.slice(2));

function cacheDirectory(): string | undefined {
  if (process.getuid?.() === 0) return '/var/cache/muslin';
  const home = process.env['HOME'];
  return home?.startsWith('/') ? `${home}/.cache/muslin` : undefined;
}
