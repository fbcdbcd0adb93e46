/**
 * Bundles muslin into build/muslin: what `bin/muslin` runs there starts faster and needs no node_modules but koffi's.
 *
 *   bin/muslin                  the same launcher as in the source tree
 *   program/cli/                main.js, bfd-worker.js for BFD's thread, a chunk for each command's imports, and the data
 *                               that lies beside its source
 *   package.json, labs/         where the sources find them, two folders up from a chunk
 *   build/cni/muslin            the CNI plugin, when it has been built
 *   node_modules/               koffi and its native library, which cannot be bundled
 *
 * Not minified, so a stack trace names our functions. The folder is made beside the old one and then takes
 * its place, so that nobody runs half a bundle. Run: npm run build
 */
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

const REPOSITORY = join(import.meta.dirname, '..');
const TARGET = join(REPOSITORY, 'build', 'muslin');
/** koffi loads its library from a package of its own, by the machine's CPU. */
const NATIVE_PACKAGES = ['koffi', '@koromix'];

/** zod brings its messages in fifty languages, which are half of its size and time to load; ours are in English. */
const englishOnly: Plugin = {
  name: 'english-only',
  setup: ({ onLoad }) =>
    onLoad({ filter: /[/]zod[/]v4[/]locales[/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
    })),
};

/**
 * A module that imports node:http reads each of its exports once, and so loads the whole client behind its WebSocket, which
 * takes an agent 40 ms and 3 MB. `require` reads nothing.
 */
const httpWithoutWebSocket: Plugin = {
  name: 'http-without-websocket',
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^node:http$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'required' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'required' }, ({ path }) => ({
      contents: `module.exports = require('${path}');`,
    }));
  },
};

const next = `${TARGET}.${process.pid}`;
try {
  await bundle(join(next, 'program', 'cli'));
  copyAround(next);
  rmSync(TARGET, { recursive: true, force: true });
  renameSync(next, TARGET);
} finally {
  rmSync(next, { recursive: true, force: true });
}

/**
 * All chunks lie flat in program/cli, so that `../../` leads from each to where it leads from each folder of src/.
 * Packages in CommonJS call `require`, which a module has not: the banner makes one.
 */
async function bundle(directory: string): Promise<void> {
  await build({
    entryPoints: [
      { in: join(REPOSITORY, 'src', 'cli', 'main.ts'), out: 'main' },
      { in: join(REPOSITORY, 'src', 'node', 'bfd-worker.ts'), out: 'bfd-worker' },
    ],
    outdir: directory,
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minify: false,
    external: NATIVE_PACKAGES.flatMap((name) => [name, `${name}/*`]),
    banner: {
      js: "import { createRequire as requireOfBundle } from 'node:module';\nconst require = requireOfBundle(import.meta.url);",
    },
    plugins: [englishOnly, httpWithoutWebSocket],
    logLevel: 'warning',
  });
}

function copyAround(directory: string): void {
  const copy = (path: string) => cpSync(join(REPOSITORY, path), join(directory, path), { recursive: true });
  copy('bin');
  copy('labs');
  copy('LICENSE');
  const plugin = join('build', 'cni', 'muslin');
  if (existsSync(join(REPOSITORY, plugin))) copy(plugin);
  cpSync(join(REPOSITORY, 'src', 'store', 'etcd.proto'), join(directory, 'program', 'cli', 'etcd.proto'));
  for (const name of NATIVE_PACKAGES) copy(join('node_modules', name));
  // npm writes this file; what is taken from it is checked by npm as well.
  const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as Record<string, unknown>;
  const { name, version, description, license, type } = manifest;
  writeFileSync(
    join(directory, 'package.json'),
    `${JSON.stringify({ name, version, description, license, type, private: true }, undefined, 2)}\n`,
  );
}
