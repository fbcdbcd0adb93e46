/** create, replace, patch, label, edit, and what apply and delete can do beyond the plain: dry runs, directories, selectors. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Bench } from './command-bench.suite.ts';
import { bench, node, pool, put } from './command-bench.suite.ts';

/** A bench with pool a and nodes host-a (rack r1) and host-b (rack r2). */
async function network(): Promise<Bench> {
  const one = bench();
  const text = pool('a', '10.0.0.0/16') + node('host-a', '{rack: r1}') + node('host-b', '{rack: r2, ssd: ""}');
  const { exitCode, stderr } = await one.run('apply', '-f', one.file('network.yaml', text));
  assert.equal(exitCode, 0, stderr);
  return one;
}

const revisionOf = ({ withStore }: Bench) => withStore(async (store) => (await store.list('/')).revision);

const specOf = async ({ run }: Bench, ...words: string[]) =>
  JSON.parse((await run('get', ...words, '-o', 'json')).stdout).spec;

interface Row {
  readonly words: readonly string[];
  /** Files that are there first; `$DIR` in words is their directory. */
  readonly files?: Readonly<Record<string, string>>;
  readonly stdout?: string;
  readonly stderr?: RegExp;
  readonly exitCode?: number;
  /** The store is as it was. Rows that fail always leave it so. */
  readonly same?: boolean;
}

const ROWS: readonly Row[] = [
  {
    words: ['create', '-f', '$DIR/b.yaml'],
    files: { 'b.yaml': pool('b', '10.1.0.0/16') },
    stdout: 'ippool/b created\n',
  },
  {
    words: ['create', '-f', '$DIR/b.yaml'],
    files: { 'b.yaml': pool('b', '10.1.0.0/16') + pool('a', '10.0.0.0/16') },
    stderr: /b.yaml:9: IPPool a is already there; use apply or replace to change it\nnothing was created$/,
    exitCode: 4,
  },
  {
    words: ['create', '-f', '$DIR/b.yaml'],
    files: { 'b.yaml': pool('b', '10.0.0.0/8') },
    stderr: /overlaps/,
    exitCode: 2,
  },
  {
    words: ['create', '-f', '$DIR/b.yaml', '--dry-run'],
    files: { 'b.yaml': pool('b', '10.1.0.0/16') },
    stdout: 'ippool/b created (dry run)\n',
    same: true,
  },
  {
    words: ['replace', '-f', '$DIR/a.yaml'],
    files: { 'a.yaml': pool('a', '10.0.0.0/16', '  disabled: true\n') },
    stdout: 'ippool/a replaced\n',
  },
  {
    words: ['replace', '-f', '$DIR/b.yaml'],
    files: { 'b.yaml': pool('a', '10.0.0.0/16', '  disabled: true\n') + pool('b', '10.1.0.0/16') },
    stderr: /b.yaml:10: IPPool b is not there; use create or apply to make it\nnothing was replaced$/,
    exitCode: 3,
  },
  {
    words: ['replace', '-f', '$DIR/a.yaml', '--dry-run'],
    files: { 'a.yaml': pool('a', '10.0.0.0/16', '  disabled: true\n') },
    stdout: 'ippool/a replaced (dry run)\n',
    same: true,
  },
  {
    words: ['apply', '-f', '$DIR/a.yaml', '--dry-run'],
    files: { 'a.yaml': pool('a', '10.0.0.0/16', '  disabled: true\n') + pool('b', '10.1.0.0/16') },
    stdout: 'ippool/a configured (dry run)\nippool/b created (dry run)\n',
    same: true,
  },
  {
    words: ['apply', '-f', '$DIR/a.yaml', '--dry-run'],
    files: { 'a.yaml': pool('b', '10.0.0.0/8') },
    stderr: /overlaps/,
    exitCode: 2,
  },
  {
    words: ['apply', '-R', '-f', '$DIR/net'],
    files: {
      'net/1.yaml': pool('b', '10.1.0.0/16'),
      'net/deep/er/2.yml': pool('c', '10.2.0.0/16'),
      'net/deep/x.txt': '?',
    },
    stdout: 'ippool/b created\nippool/c created\n',
  },
  {
    words: ['apply', '-f', '$DIR/net'],
    files: { 'net/1.yaml': pool('b', '10.1.0.0/16'), 'net/deep/2.yml': pool('c', '10.2.0.0/16') },
    stdout: 'ippool/b created\n',
  },
  {
    words: ['apply', '-f', '$DIR/1.yaml', '-f', '$DIR/2.yaml'],
    files: { '1.yaml': pool('b', '10.1.0.0/16'), '2.yaml': pool('c', '10.2.0.0/16') },
    stdout: 'ippool/b created\nippool/c created\n',
  },
  { words: ['patch', 'ippool', 'a', '-p', '{"spec": {"disabled": true}}'], stdout: 'ippool/a patched\n' },
  { words: ['patch', 'ippool/a', '-p', '{"spec": {"disabled": false}}'], stdout: 'ippool/a unchanged\n', same: true },
  {
    words: ['patch', 'ippool', 'a', '-p', '{"spec": {"disabled": true}}', '--dry-run'],
    stdout: 'ippool/a patched (dry run)\n',
    same: true,
  },
  {
    words: [
      'patch',
      'ippool',
      'a',
      '--type',
      'json',
      '-p',
      '[{"op": "replace", "path": "/spec/disabled", "value": true}]',
    ],
    stdout: 'ippool/a patched\n',
  },
  {
    words: [
      'patch',
      'ippool',
      'a',
      '--type',
      'json',
      '-p',
      '[{"op": "test", "path": "/spec/disabled", "value": true}]',
    ],
    stderr: /operation 0 of the patch: test: \/spec\/disabled is false, not true/,
    exitCode: 4,
  },
  { words: ['patch', 'ippool', 'a', '-p', '{"spec"'], stderr: /the patch is not JSON/, exitCode: 2 },
  {
    words: ['patch', 'ippool', 'a', '--type', 'strategic', '-p', '{}'],
    stderr: /Allowed choices are merge, json/,
    exitCode: 2,
  },
  { words: ['patch', 'ippool', 'x', '-p', '{}'], stderr: /^IPPool x not found$/, exitCode: 3 },
  { words: ['patch', 'ippool', '-p', '{}'], stderr: /which ippool\? write KIND NAME/, exitCode: 2 },
  {
    words: ['patch', 'ippool', 'a', '-p', '{"spec": {"disable": 1, "ipipMode": "Alway"}}'],
    stderr:
      /IPPool a: spec.ipipMode: "Alway" is not one of .*; did you mean Always\?\nIPPool a: spec.disable: unknown field; did you mean disabled\?/,
    exitCode: 2,
  },
  {
    words: ['patch', 'ippool', 'a', '-p', '{"spec": {"cidr": "10.9.0.0/16"}}'],
    stderr: /cannot change from/,
    exitCode: 2,
  },
  {
    words: ['patch', 'ippool', 'a', '-p', '{"metadata": {"name": "b"}}'],
    stderr: /would become IPPool b/,
    exitCode: 2,
  },
  {
    words: ['patch', 'ippool', 'a', '-p', '{"metadata": {"resourceVersion": "77"}, "spec": {"disabled": true}}'],
    stderr: /stands on resourceVersion 77, but it is now 1/,
    exitCode: 4,
  },
  { words: ['patch', 'block', '10-0-0-0-26', '-p', '{}'], stderr: /IPAMBlock cannot be patched: /, exitCode: 2 },
  { words: ['label', 'node', 'host-a', 'zone=z1', 'rack-'], stdout: 'node/host-a labelled\n' },
  { words: ['label', 'node/host-a', 'node/host-b', 'zone=z1'], stdout: 'node/host-a labelled\nnode/host-b labelled\n' },
  { words: ['label', 'node', 'host-a', 'rack=r1'], stdout: 'node/host-a unchanged\n', same: true },
  { words: ['label', 'node', 'host-a', 'zone=z', '--dry-run'], stdout: 'node/host-a labelled (dry run)\n', same: true },
  { words: ['label', 'node', '-l', 'has(ssd)', 'ssd-'], stdout: 'node/host-b labelled\n' },
  {
    words: ['label', 'node', '-l', 'has(none)', 'ssd-'],
    stdout: '',
    stderr: /nothing matches the selector/,
    same: true,
  },
  { words: ['label', 'node', 'host-a', 'rack=r2', '--overwrite'], stdout: 'node/host-a labelled\n' },
  {
    words: ['label', 'node', 'host-b', 'host-a', 'rack=r2'],
    stdout: 'node/host-b unchanged\n',
    stderr: /label rack is "r1" already; .*--overwrite\nlabelled 1 of 2; not labelled: node\/host-a$/,
    exitCode: 4,
  },
  { words: ['label', 'node', 'host-a', 'ra ck=x'], stderr: /"ra ck" is not a label/, exitCode: 2 },
  { words: ['label', 'node', 'host-a', 'a=1', 'a-'], stderr: /"a" is there twice/, exitCode: 2 },
  { words: ['label', 'node', 'host-a'], stderr: /which label\? write key=value, or key-/, exitCode: 2 },
  { words: ['label', 'node', 'a=b'], stderr: /which Node\? write its name, or choose some with -l/, exitCode: 2 },
  { words: ['label', 'node', 'host-x', 'a=b'], stderr: /Node host-x not found/, exitCode: 3 },
  { words: ['label', 'affinity', 'x', 'a=b'], stderr: /BlockAffinity cannot be labelled: /, exitCode: 2 },
  { words: ['delete', 'node', '-l', 'rack == "r1"'], stdout: 'node/host-a deleted\n' },
  { words: ['delete', 'node', '-l', 'rack=r1'], stderr: /write 'rack == "r1"'/, exitCode: 2 },
  { words: ['delete', 'node', '-l', 'rack == "r9"'], stdout: '', stderr: /nothing matches/, same: true },
  { words: ['delete', 'node', 'host-a', '-l', 'all()'], stderr: /leave out -l or NAME/, exitCode: 2 },
  { words: ['delete', 'ippool', 'a', '--dry-run'], stdout: 'ippool/a deleted (dry run)\n', same: true },
  { words: ['delete', 'ippool', 'x', '--dry-run'], stderr: /IPPool x not found/, exitCode: 3 },
];

for (const { words, files = {}, stdout = '', stderr, exitCode = 0, same = exitCode !== 0 } of ROWS) {
  test(`"${words.join(' ')}" ends with ${exitCode}${stderr === undefined ? '' : `: ${stderr.source}`}`, async () => {
    const one = await network();
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(one.directory, name)), { recursive: true });
      one.file(name, text);
    }
    const before = await revisionOf(one);
    const result = await one.run(...words.map((word) => word.replace('$DIR', one.directory)));
    assert.match(result.stderr, stderr ?? /^$/);
    assert.equal(result.stdout, stdout);
    assert.equal(result.exitCode, exitCode);
    assert.equal((await revisionOf(one)) === before, same, 'whether the store is as it was');
  });
}

test('a directory that leads back into itself is read once', async () => {
  const one = bench();
  one.file('a.yaml', pool('a', '10.0.0.0/16'));
  symlinkSync(one.directory, join(one.directory, 'again'));
  assert.equal((await one.run('apply', '-R', '-f', one.directory)).stdout, 'ippool/a created\n');
});

test('a merge patch changes what it names, and null brings back the default', async () => {
  const one = await network();
  await one.run('patch', 'ippool', 'a', '-p', '{"spec": {"disabled": true, "natOutgoing": true}}');
  await one.run('patch', 'ippool', 'a', '-p', '{"spec": {"disabled": null}}');
  const { disabled, natOutgoing, cidr } = await specOf(one, 'ippool', 'a');
  assert.deepEqual({ disabled, natOutgoing, cidr }, { disabled: false, natOutgoing: true, cidr: '10.0.0.0/16' });
});

test('a patch keeps uid, source and creation time', async () => {
  const one = await network();
  const metadataOf = async () => JSON.parse((await one.run('get', 'ippool', 'a', '-o', 'json')).stdout).metadata;
  const { resourceVersion: _, ...before } = await metadataOf();
  await one.run('patch', 'ippool', 'a', '-p', '{"metadata": {"uid": "mine"}, "spec": {"disabled": true}}');
  const { resourceVersion: __, ...after } = await metadataOf();
  assert.deepEqual(after, before);
});

test('a Kubernetes object is patched, labelled and printed under its own API version', async () => {
  const one = bench();
  const text =
    'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: {podSelector: {}}\n';
  assert.match((await one.run('apply', '-f', one.file('p.yaml', text))).stdout, /\/p created\n$/);
  const title = (await one.run('apply', '-f', one.file('p.yaml', text))).stdout.split(' ')[0] ?? '';
  assert.equal((await one.run('label', title, 'a=b', '-n', 'shop')).stdout, `${title} labelled\n`);
  const patch = ['-p', '{"spec": {"policyTypes": ["Egress"]}}', '-n', 'shop'];
  assert.equal((await one.run('patch', title, ...patch)).stdout, `${title} patched\n`);
  const printed = (await one.run('get', title, '-n', 'shop', '-o', 'yaml')).stdout;
  assert.match(printed, /^apiVersion: networking.k8s.io\/v1\nkind: NetworkPolicy\n/);
  assert.equal((await one.run('replace', '-f', one.file('q.yaml', printed))).exitCode, 0);
});

test('when it fails in the middle, delete says what was deleted and what was not', async () => {
  const one = await network();
  const words = ['delete', '-f', one.file('b.yaml', pool('x', '10.7.0.0/16')), '--ignore-not-found'];
  assert.deepEqual(await one.run(...words), { stdout: '', stderr: '', exitCode: 0 });
  await one.withStore((store) => put(store, 'Node', 'broken', { bgp: 7 }));
  const result = await one.run('label', 'node/host-a', 'node/broken', 'node/host-b', 'x=y');
  assert.match(result.stderr, /Node\/broken: spec.bgp.*\nlabelled 1 of 3; not labelled: node\/broken, node\/host-b$/s);
  assert.equal(result.exitCode, 1);
});

interface EditRow {
  readonly title: string;
  /** What the editor does to "$1", as a shell command; `$2` is a file that counts its runs. */
  readonly editor: string;
  readonly stdout: string;
  readonly stderr?: RegExp;
  readonly exitCode?: number;
}

const EDITS: readonly EditRow[] = [
  { title: 'a change', editor: "sed -i 's/disabled: false/disabled: true/'", stdout: 'ippool/a edited\n' },
  { title: 'no change', editor: 'true', stdout: 'ippool/a unchanged\n' },
  { title: 'an empty text', editor: 'truncate -s 0', stdout: 'ippool/a unchanged\n' },
  {
    title: 'what stays wrong',
    editor: "sed -i 's/disabled: false/disabled: maybe/'",
    stdout: '',
    stderr:
      /what was wrong is still there:\nedit.yaml:\d+:\d+: spec.disabled: must be true or false, not "maybe"\nthe text is kept in .*edit.yaml$/,
    exitCode: 2,
  },
  {
    title: 'an editor that fails',
    editor: 'false',
    stdout: '',
    stderr: /the editor "false" ended with 1/,
    exitCode: 1,
  },
  {
    title: 'another name',
    editor: "sed -i 's/name: a/name: b/'",
    stdout: '',
    stderr: /IPPool a would become IPPool b/,
    exitCode: 2,
  },
  {
    title: 'a version that is gone by',
    editor: `sed -i 's/resourceVersion: .*/resourceVersion: "77"/'`,
    stdout: '',
    stderr: /stands on resourceVersion 77.*\nthe text is kept in/s,
    exitCode: 4,
  },
  {
    title: 'a mistake that is mended when its reason is read',
    editor: `sh -c 'if grep -q "^# ! line [0-9]*:.*spec.disabled" "$0"; then sed -i s/maybe/true/ "$0"; else sed -i "s/disabled: false/disabled: maybe/" "$0"; fi'`,
    stdout: 'ippool/a edited\n',
  },
];

for (const { title, editor, stdout, stderr, exitCode = 0 } of EDITS) {
  test(`edit: ${title}`, async () => {
    const one = await network();
    const result = await withEditor(editor, () => one.run('edit', 'ippool', 'a'));
    assert.match(result.stderr, stderr ?? /^$/);
    assert.equal(result.stdout, stdout);
    assert.equal(result.exitCode, exitCode);
    assert.equal((await specOf(one, 'ippool', 'a')).disabled, stdout === 'ippool/a edited\n');
  });
}

test('the text that is edited is for its owner alone, and is removed', async () => {
  const one = await network();
  const seen = join(one.directory, 'seen');
  await withEditor(`sh -c 'stat -c "%a %n" "$0" "$(dirname "$0")" > ${seen}'`, () => one.run('edit', 'ippool', 'a'));
  const [file = '', directory = ''] = readFileSync(seen, 'utf8').split('\n');
  assert.match(file, /^600 /);
  assert.match(directory, /^700 /);
  assert.throws(() => readFileSync(file.slice(4)), /ENOENT/);
});

test('edit refuses what is not there and what agents alone write', async () => {
  const one = await network();
  assert.equal((await one.run('edit', 'ippool', 'x')).exitCode, 3);
  assert.equal((await one.run('edit', 'block', '10-0-0-0-26')).exitCode, 2);
});

async function withEditor<Result>(editor: string, work: () => Promise<Result>): Promise<Result> {
  const { VISUAL, EDITOR } = process.env;
  delete process.env['VISUAL'];
  process.env['EDITOR'] = editor;
  try {
    return await work();
  } finally {
    Object.assign(process.env, { ...(VISUAL !== undefined && { VISUAL }), ...(EDITOR !== undefined && { EDITOR }) });
    if (EDITOR === undefined) delete process.env['EDITOR'];
  }
}
