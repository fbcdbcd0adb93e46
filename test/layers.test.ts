/**
 * Who may import whom, checked on the whole tree.
 *
 * The table is structure/rooms.ts, the rules structure/layers.ts. Each rule is also shown a small tree that breaks it, so
 * that a rule that has gone blind is noticed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { barrels, cycles, importDirection, nodeModules, packages, places } from './structure/layers.ts';
import { PACKAGE_ROOMS, ROOMS } from './structure/rooms.ts';
import { parseSources } from './structure/source.ts';
import { REPOSITORY, readTree, typescriptOf } from './structure/source-tree.ts';

const RULES = { importDirection, nodeModules, packages, cycles, barrels, places };

describe('the tree keeps its layers', () => {
  const sources = parseSources(typescriptOf(readTree(REPOSITORY)));
  for (const [name, rule] of Object.entries(RULES)) {
    test(name, () => {
      const complaints = rule(sources);
      assert.ok(complaints.length === 0, complaints.join('\n'));
    });
  }

  test('the rows of the room table stand in an order in which each imports only what is above it', () => {
    const above = new Set<string>();
    for (const room of ROOMS) {
      for (const name of room.imports)
        assert.ok(above.has(name), `${room.name} imports ${name}, which is not above it`);
      above.add(room.name);
    }
  });

  test('packages are given to rooms that exist', () => {
    const rooms = new Set(ROOMS.map(({ name }) => name));
    for (const room of Object.values(PACKAGE_ROOMS).flat()) assert.ok(rooms.has(room), room);
  });
});

interface Case {
  readonly title: string;
  readonly rule: keyof typeof RULES;
  readonly files: Readonly<Record<string, string>>;
  /** A piece of each complaint, in order; none when the tree is fine. */
  readonly complaints: readonly RegExp[];
}

const CASES: readonly Case[] = [
  {
    title: 'an import up the layers is a complaint with its reason',
    rule: 'importDirection',
    files: {
      'src/bgp/speaker.ts': "import { pool } from '../model/pool.ts';\nexport const speaker = pool;",
      'src/model/pool.ts': 'export const pool = 1;',
    },
    complaints: [
      /^src\/bgp\/speaker\.ts:1: imports src\/model\/pool\.ts: bgp may import lib, net: .*knows no resource/,
    ],
  },
  {
    title: 'a type import up the layers counts as well',
    rule: 'importDirection',
    files: { 'src/lib/a.ts': "import type { Ip } from '../net/ip.ts';\nexport type A = Ip;" },
    complaints: [/lib may import nothing/],
  },
  {
    title: 'an import type expression, a dynamic import and a re-export count as well',
    rule: 'importDirection',
    files: {
      'src/net/a.ts': "export type A = import('../store/store.ts').Store;",
      'src/net/b.ts': "export const b = () => import('../store/store.ts');",
      'src/net/c.ts': "export { store } from '../store/store.ts';",
    },
    complaints: [/net\/a\.ts:1/, /net\/b\.ts:1/, /net\/c\.ts:1/],
  },
  {
    title: 'a folder inside a room belongs to the room, and felix has three rooms',
    rule: 'importDirection',
    files: {
      'src/felix/dataplane/nftables/print.ts':
        "import { x } from '../../desired/x.ts';\nimport { y } from '../../calc/y.ts';",
    },
    complaints: [/print\.ts:2: imports src\/felix\/calc\/y\.ts: felix\/dataplane may import lib, net, felix\/desired/],
  },
  {
    title: 'allowed imports, and any import of a test, pass',
    rule: 'importDirection',
    files: {
      'src/net/ip.ts': "import { byteAt } from '../lib/bytes.ts';\nimport { b } from './b.ts';",
      'src/lib/bytes.test.ts': "import { node } from '../node/agent.ts';",
      'src/lib/text.ts': "const text = \"import { x } from '../node/agent.ts'\"; // import '../node/agent.ts'",
    },
    complaints: [],
  },
  {
    title: 'product code imports neither tests nor what is outside of src',
    rule: 'importDirection',
    files: { 'src/node/a.ts': "import { s } from '../store/store.suite.ts';\nimport { t } from '../../test/t.ts';" },
    complaints: [/:1: .*test or suite/, /:2: .*stands alone/],
  },
  {
    title: 'a node: module in a pure room',
    rule: 'nodeModules',
    files: {
      'src/ipam/block.ts': "import { readFileSync } from 'node:fs';",
      'src/kernel/socket.ts': "import { readFileSync } from 'node:fs';",
      'src/ipam/block.test.ts': "import test from 'node:test';",
    },
    complaints: [/^src\/ipam\/block\.ts:1: imports node:fs: ipam is pure/],
  },
  {
    title: 'a package outside of its rooms, and one that nobody has allowed',
    rule: 'packages',
    files: {
      'src/bgp/a.ts': "import koffi from 'koffi';",
      'src/kernel/a.ts': "import koffi from 'koffi';",
      'src/cli/a.ts': "import { x } from '@scope/name/deep';",
    },
    complaints: [/bgp\/a\.ts:1: .*koffi: only kernel may/, /cli\/a\.ts:1: .*@scope\/name: no room may/],
  },
  {
    title: 'a cycle is printed as a round, type imports included, once',
    rule: 'cycles',
    files: {
      'src/net/a.ts': "import type { B } from './b.ts';\nexport type A = B;",
      'src/net/b.ts': "import { c } from './c.ts';\nexport type B = typeof c;",
      'src/net/c.ts': "import type { A } from './a.ts';\nexport const c: A[] = [];",
      'src/net/d.ts': "import { c } from './c.ts';\nexport const d = c;",
    },
    complaints: [/src\/net\/a\.ts → src\/net\/b\.ts → src\/net\/c\.ts → src\/net\/a\.ts/],
  },
  {
    title: 'two ways to one file are no cycle',
    rule: 'cycles',
    files: {
      'src/net/a.ts': "import './b.ts';\nimport './c.ts';",
      'src/net/b.ts': "import './d.ts';",
      'src/net/c.ts': "import './d.ts';",
      'src/net/d.ts': 'export const d = 1;',
    },
    complaints: [],
  },
  {
    title: 'a file that only re-exports, in any of its forms',
    rule: 'barrels',
    files: {
      'src/net/index.ts': "export * from './ip.ts';\nexport type { Cidr } from './cidr.ts';",
      'src/net/all.ts': "import { ip } from './ip.ts';\nexport { ip };",
      'src/net/ip.ts': "export { mac } from './mac.ts';\nexport const ip = 1;",
    },
    complaints: [/net\/index\.ts: only re-exports/, /net\/all\.ts: only re-exports/],
  },
  {
    title: 'a file too deep, and files in no room',
    rule: 'places',
    files: {
      'src/felix/dataplane/nftables/rules/print.ts': '',
      'src/felix/dataplane/nftables/print.ts': '',
      'src/felix/loop.ts': '',
      'src/metrics/count.ts': '',
      'src/main.ts': '',
    },
    complaints: [
      /rules\/print\.ts: 4 folders/,
      /felix\/loop\.ts: in no room/,
      /metrics\/count\.ts: in no room/,
      /src\/main\.ts: in no room/,
    ],
  },
];

describe('each rule sees what breaks it', () => {
  for (const { title, rule, files, complaints } of CASES) {
    test(`${rule}: ${title}`, () => {
      const found = RULES[rule](parseSources(new Map(Object.entries(files))));
      assert.equal(found.length, complaints.length, found.join('\n'));
      for (const [index, pattern] of complaints.entries()) assert.match(found[index]!, pattern);
    });
  }
});
