/**
 * How long does a command take to start? `muslin get nodes` and `muslin --version` from the bundle and from the sources,
 * with a warm compile cache and without one, beside the floor: `node -e 0`. Prints a table with ratios to that floor and
 * writes it to bench/cli-start.txt. Ends with 1 when `get` from the bundle takes longer than GET_MS_MAX.
 *
 * Each round starts each contender once, so that what disturbs the machine disturbs all alike; medians are compared. The
 * bundle is built afresh, the store is an SQLite file of the bench's own. Run: npm run bench:cli
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Column, renderTable } from '../src/lib/table.ts';

const ROUNDS = 30;
/** Not counted: the page cache and the compile cache fill. */
const WARM_UP_ROUNDS = 3;
/** People feel a tenth of a second as at once (Nielsen, Usability Engineering, 1993); and a little. */
const GET_MS_MAX = 120;

const REPOSITORY = join(import.meta.dirname, '..');
const NODE = process.execPath;
const SOURCE = join(REPOSITORY, 'src', 'cli', 'main.ts');
const BUNDLE = join(REPOSITORY, 'build', 'muslin', 'program', 'cli', 'main.js');
/** Node.js's own switch for it. */
const WITHOUT_CACHE = { NODE_DISABLE_COMPILE_CACHE: '1' };

interface Contender {
  readonly title: string;
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly milliseconds: number[];
}

function contender(title: string, words: readonly string[], environment: Contender['environment'] = {}): Contender {
  return { title, words, environment, milliseconds: [] };
}

function start({ title, words, environment }: Contender): number {
  const { NODE_EXTRA_CA_CERTS: _, ...inherited } = process.env;
  const began = performance.now();
  const { status, stderr } = spawnSync(NODE, words, { env: { ...inherited, ...environment }, encoding: 'utf8' });
  const took = performance.now() - began;
  if (status !== 0) throw new Error(`${title} ended with ${status}: ${stderr}`);
  return took;
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? Number.NaN;
}

function tableOf(contenders: readonly Contender[]): string {
  const floor = quantile(contenders[0]?.milliseconds ?? [], 0.5);
  const columns: readonly Column<Contender>[] = [
    { title: 'COMMAND', cell: ({ title }) => title },
    { title: 'MEDIAN', cell: ({ milliseconds }) => `${quantile(milliseconds, 0.5).toFixed(0)} ms` },
    { title: 'BEST', cell: ({ milliseconds }) => `${quantile(milliseconds, 0).toFixed(0)} ms` },
    { title: 'P90', cell: ({ milliseconds }) => `${quantile(milliseconds, 0.9).toFixed(0)} ms` },
    { title: 'RATIO', cell: ({ milliseconds }) => (quantile(milliseconds, 0.5) / floor).toFixed(1) },
  ];
  return renderTable(columns, contenders);
}

const folder = mkdtempSync(join(tmpdir(), 'muslin-bench-cli-'));
try {
  const built = spawnSync(NODE, [join(REPOSITORY, 'scripts', 'build.ts')], { stdio: 'inherit' });
  if (built.status !== 0) throw new Error('scripts/build.ts failed');
  const get = ['get', 'nodes', '--store', join(folder, 'store.db')];
  const bundledGet = contender('get nodes, bundle', [BUNDLE, ...get]);
  const contenders = [
    contender('node -e 0', ['-e', '0']),
    bundledGet,
    contender('get nodes, bundle, no cache', [BUNDLE, ...get], WITHOUT_CACHE),
    contender('get nodes, source', [SOURCE, ...get]),
    contender('get nodes, source, no cache', [SOURCE, ...get], WITHOUT_CACHE),
    contender('--version, bundle', [BUNDLE, '--version']),
    contender('--version, source', [SOURCE, '--version']),
  ];
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    for (const each of contenders) {
      const took = start(each);
      if (round >= 0) each.milliseconds.push(took);
    }
  }
  const machine = `Node.js ${process.version}, Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model}`;
  const load = `load ${loadavg()[0]?.toFixed(1)} at the end; ${ROUNDS} rounds; RATIO is to the first line`;
  const text = `${machine}\n${load}\n\n${tableOf(contenders)}`;
  process.stdout.write(text);
  writeFileSync(join(import.meta.dirname, 'cli-start.txt'), text);
  const median = quantile(bundledGet.milliseconds, 0.5);
  if (median > GET_MS_MAX) {
    process.stderr.write(`get from the bundle takes ${median.toFixed(0)} ms; at most ${GET_MS_MAX}\n`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
