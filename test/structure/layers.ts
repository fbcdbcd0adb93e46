/**
 * Rules on who imports whom, as functions from parsed files to complaints.
 *
 * A complaint is one line: where, what, why, and what would be right. No complaints means that the rule holds. The rules
 * look at `import type` as well: a type that a lower room needs from an upper one is a boundary in the wrong place.
 */
import { DEPTH_MAX, isTest, PACKAGE_ROOMS, ROOMS, type Room, roomOf } from './rooms.ts';
import type { Import, Source } from './source.ts';

type Rule = (sources: readonly Source[]) => string[];

/** Imports between rooms go only along the table's arrows. */
export const importDirection: Rule = (sources) =>
  eachImport(sources, (source, room, taken) => {
    if (taken.path === undefined) return [];
    const where = `${source.path}:${taken.line}: imports ${taken.path}:`;
    if (!taken.path.startsWith('src/')) return [`${where} src/ stands alone; only tests may reach outside of it`];
    if (isTest(taken.path)) return [`${where} a test or suite; what both need belongs in a file of its own`];
    const target = roomOf(taken.path);
    if (target === undefined || target === room || room.imports.includes(target.name)) return [];
    return [`${where} ${room.name} may import ${listed(room.imports)}: ${room.reason}`];
  });

/** Only I/O rooms import `node:` modules. */
export const nodeModules: Rule = (sources) =>
  eachImport(sources, (source, room, taken) => {
    if (!taken.specifier.startsWith('node:') || room.io) return [];
    const allowed = ROOMS.filter(({ io }) => io).map(({ name }) => name);
    return [
      `${source.path}:${taken.line}: imports ${taken.specifier}: ${room.name} is pure; take what it gives as an argument, ` +
        `or move the code to ${listed(allowed)}`,
    ];
  });

/** An npm package is imported only by the rooms that the table gives it. */
export const packages: Rule = (sources) =>
  eachImport(sources, (source, room, taken) => {
    if (taken.path !== undefined || taken.specifier.startsWith('node:')) return [];
    const name = packageOf(taken.specifier);
    const allowed = PACKAGE_ROOMS[name];
    if (allowed?.includes(room.name)) return [];
    const rule = allowed === undefined ? 'no room may: see PACKAGE_ROOMS' : `only ${listed(allowed)} may`;
    return [`${source.path}:${taken.line}: imports the package ${name}: ${rule}`];
  });

/** No file imports itself by way of others; prints one round for each knot. */
export const cycles: Rule = (sources) => {
  const targets = new Map<string, readonly string[]>();
  for (const source of sources) {
    if (!isTest(source.path))
      targets.set(
        source.path,
        source.imports.flatMap(({ path }) => path ?? []),
      );
  }
  const complaints: string[] = [];
  const finished = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const round = [...trail.slice(start), path].join(' → ');
      complaints.push(`${path}: import cycle ${round}: move what both need into a file that imports neither`);
      return;
    }
    if (finished.has(path)) return;
    for (const next of targets.get(path) ?? []) walk(next, [...trail, path]);
    finished.add(path);
  };
  for (const path of targets.keys()) walk(path, []);
  return complaints;
};

/** No file only passes on what others export. */
export const barrels: Rule = (sources) =>
  sources
    .filter(({ onlyReexports }) => onlyReexports)
    .map(({ path }) => `${path}: only re-exports (a barrel file): import the file that has the thing`);

/** Every file is in a room, and no deeper than three folders. */
export const places: Rule = (sources) =>
  sources
    .filter(({ path }) => path.startsWith('src/'))
    .flatMap(({ path }) => {
      const depth = path.split('/').length - 2;
      if (depth > DEPTH_MAX)
        return [`${path}: ${depth} folders below src/; at most ${DEPTH_MAX}: folders are rooms, not drawers`];
      if (roomOf(path) === undefined)
        return [`${path}: in no room; add a row to ROOMS in test/structure/rooms.ts or move it`];
      return [];
    });

function eachImport(
  sources: readonly Source[],
  check: (source: Source, room: Room, taken: Import) => readonly string[],
): string[] {
  return sources
    .filter(({ path }) => path.startsWith('src/') && !isTest(path))
    .flatMap((source) => {
      const room = roomOf(source.path);
      return room === undefined ? [] : source.imports.flatMap((taken) => check(source, room, taken));
    });
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'nothing' : names.join(', ');
}
