import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planInstall } from './install-plan.ts';
import type { InstalledFile } from './layout.ts';
import { layoutOf, PLUGIN_PATH } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { digestOf, manifestText, parseManifest } from './manifest.ts';
import { unitText } from './unit.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const file = (owner: InstalledFile['owner']): InstalledFile => {
  return { path: '/a', title: 'a file', content: bytes('new'), mode: 0o644, owner };
};
const manifest = (files: Record<string, string>): Manifest => {
  const digests = Object.entries(files).map(([path, text]) => [path, digestOf(bytes(text))] as const);
  return { version: '1', files: new Map(digests), bootId: 'first', settings: new Map([['ipv4/ip_forward', '0']]) };
};

interface Row {
  readonly title: string;
  readonly owner?: InstalledFile['owner'];
  readonly present?: string;
  readonly installed?: string;
  readonly change: string;
  /** What the manifest says of it afterwards. */
  readonly after: string | undefined;
}

const ROWS: readonly Row[] = [
  { title: 'what is not there is created', change: 'create', after: 'new' },
  { title: 'what was removed is created again', installed: 'new', change: 'create', after: 'new' },
  { title: 'what is right is left', present: 'new', installed: 'new', change: 'unchanged', after: 'new' },
  { title: 'what is right is ours from now on', present: 'new', change: 'unchanged', after: 'new' },
  { title: 'what we installed before is replaced', present: 'old', installed: 'old', change: 'replace', after: 'new' },
  { title: 'what somebody has edited is kept', present: 'his', installed: 'old', change: 'keep', after: 'old' },
  { title: "what is somebody else's is in the way", present: 'his', change: 'conflict', after: undefined },
  { title: "the operator's is created", owner: 'operator', change: 'create', after: 'new' },
  {
    title: "the operator's is never replaced",
    owner: 'operator',
    present: 'old',
    installed: 'old',
    change: 'keep',
    after: 'old',
  },
  { title: "the operator's was there first", owner: 'operator', present: 'his', change: 'keep', after: undefined },
];

describe('installing', () => {
  for (const { title, owner = 'muslin', present, installed, change, after } of ROWS) {
    it(title, () => {
      const plan = planInstall({
        wanted: [file(owner)],
        present: new Map(present === undefined ? [] : [['/a', bytes(present)]]),
        before: installed === undefined ? undefined : manifest({ '/a': installed }),
        settings: new Map(),
        bootId: 'second',
        version: '2',
      });
      assert.deepEqual(plan.files, [{ path: '/a', title: 'a file', change }]);
      assert.equal(plan.manifest.files.get('/a'), after === undefined ? undefined : digestOf(bytes(after)));
    });
  }

  it('removes what is not wanted any more, unless somebody has edited it', () => {
    const plan = planInstall({
      wanted: [],
      present: new Map([
        ['/a', bytes('old')],
        ['/b', bytes('his')],
      ]),
      before: manifest({ '/a': 'old', '/b': 'old', '/gone': 'old' }),
      settings: new Map(),
      bootId: 'second',
      version: '2',
    });
    assert.deepEqual(
      plan.files.map(({ path, change }) => [path, change]),
      [['/a', 'remove']],
    );
  });

  it('remembers what settings were before the first time', () => {
    const settings = new Map([['ipv4/ip_forward', '1']]);
    const options = { wanted: [], present: new Map(), settings, bootId: 'second', version: '2' };
    const after = (before: Manifest | undefined) => {
      const { manifest: made } = planInstall({ ...options, before });
      return [made.bootId, ...made.settings.values()];
    };
    assert.deepEqual(after(undefined), ['second', '1']);
    assert.deepEqual(after(manifest({})), ['first', '0']);
  });

  it('writes a manifest that reads back', () => {
    const before = manifest({ '/b': 'x', '/a': 'y' });
    const text = manifestText(before);
    assert.deepEqual(parseManifest(text), {
      ...before,
      files: new Map([...before.files].toReversed()),
    });
    assert.equal(manifestText(parseManifest(text) ?? manifest({})), text);
  });

  for (const text of ['', '[]', '{"format": 2, "files": {}}', 'null']) {
    it(`takes ${JSON.stringify(text)} for no manifest`, () => assert.equal(parseManifest(text), undefined));
  }

  it('has the unit last, and NetworkManager told only where it is', () => {
    const wish = { program: '/opt/muslin/bin/muslin', plugin: bytes('ELF'), configuration: undefined };
    const paths = (hasNetworkManager: boolean) => layoutOf({ ...wish, hasNetworkManager }).map(({ path }) => path);
    assert.equal(paths(false)[0], PLUGIN_PATH);
    assert.equal(paths(false).at(-1), '/etc/systemd/system/muslin.service');
    assert.deepEqual(
      paths(true).filter((path) => !paths(false).includes(path)),
      ['/etc/NetworkManager/conf.d/muslin.conf'],
    );
  });
});

const PROGRAMS: [path: string, word: string][] = [
  ['/opt/muslin/bin/muslin', '/opt/muslin/bin/muslin'],
  ['/opt/my muslin/bin/muslin', '"/opt/my muslin/bin/muslin"'],
  ['/opt/100%$x/"q"', '"/opt/100%%$$x/\\"q\\""'],
];
for (const [path, word] of PROGRAMS) {
  it(`the unit starts ${path}`, () => {
    const lines = unitText(path).split('\n');
    assert.ok(lines.includes(`ExecStart=${word} node run --config /etc/muslin/muslin.yaml`));
  });
}
