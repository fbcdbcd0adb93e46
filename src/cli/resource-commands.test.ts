/**
 * get, apply and delete as a user meets them: arguments in; stdout, stderr, exit code and store out.
 *
 * Commands run in this process on an SQLite store in a directory of the test's own. Only what is about stdin runs as a process.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { bench, pool, put, root, run } from './command-bench.suite.ts';

const HEAD = 'apiVersion: projectcalico.org/v3\n';

test('apply creates, configures, and leaves alone what is as it should be', async () => {
  const { run, file } = bench();
  const path = file('a.yaml', pool('a', '10.0.0.0/16') + pool('b', '10.1.0.0/16'));
  assert.deepEqual(await run('apply', '-f', path), {
    stdout: 'ippool/a created\nippool/b created\n',
    stderr: '',
    exitCode: 0,
  });
  assert.equal((await run('apply', '-f', path)).stdout, 'ippool/a unchanged\nippool/b unchanged\n');
  file('a.yaml', pool('a', '10.0.0.0/16', '  natOutgoing: true\n') + pool('b', '10.1.0.0/16', '  ipipMode: Never\n'));
  // b stands one line lower now, so its recorded source moves.
  assert.equal((await run('apply', '-f', path)).stdout, 'ippool/a configured\nippool/b configured\n');
  assert.equal((await run('apply', '-f', path)).stdout, 'ippool/a unchanged\nippool/b unchanged\n');
});

test('an object keeps its uid and creation time, and knows the file and line it came from', async () => {
  const { run, file } = bench();
  const path = file('a.yaml', pool('a', '10.0.0.0/16'));
  await run('apply', '-f', path);
  const first = JSON.parse((await run('get', 'ippool', 'a', '-o', 'json')).stdout);
  assert.match(first.metadata.uid, /^[0-9a-f-]{36}$/);
  assert.match(first.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(first.metadata.annotations['muslin.io/source'], `${path}:2`);
  assert.equal(first.metadata.resourceVersion, '1');
  // Unquoted, YAML 1.1 parsers would read a date and not text.
  assert.match((await run('get', 'ippool', 'a', '-o', 'yaml')).stdout, /creationTimestamp: "2/);
  file('a.yaml', pool('a', '10.0.0.0/16', '  disabled: true\n'));
  await run('apply', '-f', path);
  const second = JSON.parse((await run('get', 'ippool', 'a', '-o', 'json')).stdout);
  assert.equal(second.metadata.uid, first.metadata.uid);
  assert.equal(second.metadata.creationTimestamp, first.metadata.creationTimestamp);
  assert.equal(second.metadata.resourceVersion, '2');
});

test('what get prints, apply takes back without changing anything', async () => {
  const { run, file, url, withStore } = bench();
  const pools = pool('a', '10.0.0.0/16').replace(
    'name: a',
    `name: a\n  annotations: {x: "1.10", y: "null", z: "a: b #c", w: "\\n - x\\n"}`,
  );
  await run('apply', '-f', file('a.yaml', pools + pool('b', 'fd00::/48')));
  const revisionNow = () => withStore(async (store) => (await store.list('/')).revision);
  const before = await revisionNow();
  const program = (call: string) => `
    import { Command } from 'commander';
    import { getCommand } from ${JSON.stringify(new URL('./get.ts', import.meta.url).href)};
    import { applyCommand } from ${JSON.stringify(new URL('./write-files.ts', import.meta.url).href)};
    await new Command('muslin').addCommand(getCommand()).addCommand(applyCommand()).parseAsync(${call}, { from: 'user' });`;
  const child = (words: readonly string[], input: string) => {
    const options = { input, encoding: 'utf8', cwd: import.meta.dirname } as const;
    return spawnSync(process.execPath, ['--input-type=module', '--eval', program(JSON.stringify(words))], options);
  };
  for (const words of [
    ['ippools', '-o', 'yaml'],
    ['ippools', '-o', 'json'],
    ['ippool', 'a', '-o', 'yaml'],
  ]) {
    const printed = child(['get', ...words, '--store', url], '');
    assert.equal(printed.status, 0, printed.stderr);
    const applied = child(['apply', '-f', '-', '--store', url], printed.stdout);
    assert.equal(applied.status, 0, applied.stderr);
    assert.match(applied.stdout, /^(ippool\/[ab] unchanged\n)+$/);
  }
  // Text without the annotation leaves the recorded source alone, too.
  const bare = child(
    ['apply', '-f', '-', '--store', url],
    pools
      .replace(/\n {2}annotations: .*/, '')
      .replace('name: a', 'name: b')
      .replace('10.0.0.0/16', 'fd00::/48'),
  );
  assert.equal(bare.stdout, 'ippool/b unchanged\n', bare.stderr);
  assert.equal(await revisionNow(), before);
});

test('nothing is applied when anything is wrong, and all of it is said', async () => {
  const { run, file, directory } = bench();
  file('1.yaml', pool('a', '10.0.0.0/16'));
  file('2.yml', pool('b', '10.1.0.1/16'));
  file('3.json', '{"kind": "Nod"}');
  file('4.txt', 'not for us');
  const result = await run('apply', '-f', directory);
  assert.equal(result.exitCode, 2);
  assert.equal(result.stdout, '');
  assert.match(
    result.stderr,
    /2.yml:7:9: spec.cidr: "10.1.0.1\/16" has host bits set; write 10.1.0.0\/16\n.*3.json:1:10: kind: unknown kind "Nod"; did you mean Node\?/,
  );
  assert.equal((await run('get', 'ippools', '-o', 'name')).stdout, '');
});

test('apply --lenient leaves out what it does not know, and says so; without it that is an error', async () => {
  const { run, file } = bench();
  const path = file('a.yaml', `${pool('a', '10.0.0.0/16')}  natOutgoin: true\n`);
  const strict = await run('apply', '-f', path);
  assert.equal(strict.exitCode, 2);
  const warning = 'a.yaml:8:3: spec.natOutgoin: unknown field; did you mean natOutgoing?';
  assert.ok(strict.stderr.includes(warning), strict.stderr);
  const lenient = await run('apply', '--lenient', '-f', path);
  assert.equal(lenient.exitCode, 0, lenient.stderr);
  assert.equal(lenient.stdout, 'ippool/a created\n');
  assert.match(lenient.stderr, /^warning: .*a.yaml:8:3: spec.natOutgoin: .*; left out\n$/);
});

test('-n says where resources of files are that do not say; what says otherwise is refused', async () => {
  const { run, file } = bench();
  const set = (more: string) =>
    `apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: { name: s${more} }\nspec: {}\n`;
  const path = file('set.yaml', set(''));
  for (const verb of ['create', 'apply', 'replace']) {
    assert.equal((await run(verb, '-f', path, '-n', 'blue')).exitCode, 0, verb);
  }
  assert.match((await run('get', 'netsets', '-A')).stdout, /^NAMESPACE.*\nblue +s\b/);
  const elsewhere = await run('apply', '-n', 'blue', '-f', file('other.yaml', set(', namespace: green')));
  assert.equal(elsewhere.exitCode, 2);
  assert.match(elsewhere.stderr, /other\.yaml:3:\d+: metadata\.namespace: "green" is not "blue"/);
  assert.equal((await run('delete', '-f', path)).exitCode, 3, 'in the default namespace there is none');
  assert.equal((await run('delete', '-f', path, '-n', 'blue')).exitCode, 0);
});

test('--lenient serves the other commands that take files, too', async () => {
  const { run, file } = bench();
  const path = file('a.yaml', `${pool('a', '10.0.0.0/16')}  natOutgoin: true\n`);
  for (const verb of ['diff', 'create', 'replace']) {
    assert.equal((await run(verb, '-f', path)).exitCode, 2, verb);
    const lenient = await run(verb, '--lenient', '-f', path);
    assert.equal(lenient.exitCode, verb === 'diff' ? 10 : 0, `${verb}: ${lenient.stderr}`);
    assert.match(lenient.stderr, /^warning: .*natOutgoin.*; left out\n$/);
  }
});

interface Refusal {
  readonly title: string;
  readonly text: string;
  readonly exitCode: number;
  readonly message: RegExp;
}

const REFUSED: readonly Refusal[] = [
  {
    title: 'a pool that overlaps one that is there',
    text: pool('new', '10.0.128.0/17'),
    exitCode: 2,
    message:
      /a.yaml:2: IPPool new: spec.cidr: "10.0.128.0\/17" overlaps "10.0.0.0\/16" of IPPool old; pools may not overlap/,
  },
  {
    title: 'pools that overlap each other',
    text: pool('x', '10.8.0.0/16') + pool('y', '10.8.8.0/24'),
    exitCode: 2,
    message: /IPPool x: .*of IPPool y.*\n.*IPPool y: .*of IPPool x/,
  },
  {
    title: 'another cidr for a pool',
    text: pool('old', '10.2.0.0/16'),
    exitCode: 2,
    message: /IPPool old: spec.cidr: cannot change from 10.0.0.0\/16 to 10.2.0.0\/16/,
  },
  {
    title: 'another block size for a pool',
    text: pool('old', '10.0.0.0/16', '  blockSize: 24\n'),
    exitCode: 2,
    message: /IPPool old: spec.blockSize: cannot change from 26 to 24/,
  },
  {
    title: 'a handle',
    text: `${HEAD}kind: IPAMHandle\nmetadata: {name: h}\nspec: {handleID: h, block: {}}\n`,
    exitCode: 2,
    message: /a.yaml:1: IPAMHandle h cannot be applied: it records whose addresses are in use/,
  },
  {
    title: 'the same object in two files',
    text: pool('z', '10.9.0.0/16') + pool('z', '10.9.0.0/16'),
    exitCode: 2,
    message: /a.yaml:9: IPPool z is already at .*a.yaml:2/,
  },
  {
    title: 'a version that is gone by',
    text: pool('old', '10.0.0.0/16', '  disabled: true\n').replace('name: old', 'name: old\n  resourceVersion: "77"'),
    exitCode: 4,
    message: /IPPool old stands on resourceVersion 77, but it is now 1/,
  },
  {
    title: 'a version of what is not there',
    text: pool('new', '10.7.0.0/16').replace('name: new', 'name: new\n  resourceVersion: "1"'),
    exitCode: 4,
    message: /IPPool new stands on resourceVersion 1, but it is not there/,
  },
  { title: 'an empty file', text: '# nothing\n', exitCode: 2, message: /no resources in .*a.yaml/ },
];

for (const { title, text, exitCode, message } of REFUSED) {
  test(`apply refuses ${title}`, async () => {
    const { run, file, withStore } = bench();
    await run('apply', '-f', file('old.yaml', pool('old', '10.0.0.0/16')));
    const result = await run('apply', '-f', file('a.yaml', text));
    assert.match(result.stderr, message);
    assert.equal(result.exitCode, exitCode);
    assert.equal(result.stdout, '');
    assert.equal(await withStore(async (store) => (await store.list('/')).revision), 1);
  });
}

test('a resourceVersion that is the current one lets the change through', async () => {
  const { run, file } = bench();
  await run('apply', '-f', file('a.yaml', pool('a', '10.0.0.0/16')));
  const text = pool('a', '10.0.0.0/16', '  disabled: true\n').replace('name: a', 'name: a\n  resourceVersion: "1"');
  assert.equal((await run('apply', '-f', file('a.yaml', text))).stdout, 'ippool/a configured\n');
});

test('when it fails in the middle, apply says what was applied and what was not', async () => {
  const { run, file } = bench();
  await run('apply', '-f', file('b.yaml', pool('b', '10.1.0.0/16')));
  const stale = pool('b', '10.1.0.0/16', '  disabled: true\n').replace('name: b', 'name: b\n  resourceVersion: "9"');
  const result = await run('apply', '-f', file('a.yaml', pool('a', '10.0.0.0/16') + stale + pool('c', '10.2.0.0/16')));
  assert.equal(result.stdout, 'ippool/a created\n');
  assert.match(result.stderr, /\napplied 1 of 3; not applied: ippool\/b, ippool\/c$/);
  assert.equal(result.exitCode, 4);
});

test('get prints tables, wide ones and names', async () => {
  const { run, file } = bench();
  await run(
    'apply',
    '-f',
    file('a.yaml', pool('b', '10.1.0.0/16', '  nodeSelector: has(rack)\n') + pool('a', '10.0.0.0/16')),
  );
  assert.equal(
    (await run('get', 'ipp')).stdout,
    'NAME   CIDR          SELECTOR\na      10.0.0.0/16   all()\nb      10.1.0.0/16   has(rack)\n',
  );
  assert.match(
    (await run('get', 'IPPOOLS', '-o', 'wide')).stdout,
    /^NAME +CIDR +SELECTOR +NAT +IPIPMODE .*\na +10.0.0.0\/16 +all\(\) +false +Never/,
  );
  assert.equal((await run('get', 'ippool', '-o', 'name')).stdout, 'ippool/a\nippool/b\n');
  assert.equal((await run('get', 'ippool/a', '-o', 'name')).stdout, 'ippool/a\n');
});

test('namespaced kinds are read in one namespace or in all', async () => {
  const { run, withStore } = bench();
  const spec = (node: string) => ({ node, interfaceName: 'cali1', ipNetworks: ['10.0.0.1/32'] });
  await withStore(async (store) => {
    await put(store, 'WorkloadEndpoint', 'one', spec('a'), 'default');
    await put(store, 'WorkloadEndpoint', 'two', spec('b'), 'other');
  });
  assert.match((await run('get', 'wep')).stdout, /^NAME .*\none +a +10.0.0.1\/32 +cali1\n$/);
  assert.match((await run('get', 'wep', '-n', 'other')).stdout, /\ntwo /);
  assert.match((await run('get', 'wep', '-A')).stdout, /^NAMESPACE +NAME .*\ndefault +one .*\nother +two /);
  assert.equal((await run('get', 'wep', 'two')).exitCode, 3);
  assert.match((await run('get', 'wep', 'two')).stderr, /^WorkloadEndpoint two not found in namespace default$/);
  assert.equal((await run('get', 'wep', 'two', '-n', 'other')).exitCode, 0);
  assert.equal((await run('get', 'wep', 'two', '-A')).exitCode, 2);
  assert.deepEqual(await run('get', 'wep', '-n', 'none'), {
    stdout: '',
    stderr: 'no workloadendpoints in namespace none\n',
    exitCode: 0,
  });
});

test('an entry that cannot be read is named, and the others are printed', async () => {
  const { run, withStore } = bench();
  await withStore(async (store) => {
    await put(store, 'IPPool', 'broken', { cidr: '10.0.0.1/8' });
    await put(store, 'IPPool', 'good', { cidr: '10.0.0.0/8' });
  });
  const listed = await run('get', 'ippools', '-o', 'name');
  assert.equal(listed.stdout, 'ippool/good\n');
  assert.match(listed.stderr, /^warning: left out: \/resources\/IPPool\/broken: spec.cidr: .*host bits/);
  assert.equal((await run('get', 'ippool', 'broken')).exitCode, 1);
});

test('delete removes by name and by file, and says what was not there', async () => {
  const { run, file } = bench();
  const path = file('a.yaml', ['a', 'b', 'c', 'd'].map((name, index) => pool(name, `10.${index}.0.0/16`)).join(''));
  await run('apply', '-f', path);
  assert.deepEqual(await run('delete', 'ippool', 'a'), { stdout: 'ippool/a deleted\n', stderr: '', exitCode: 0 });
  assert.deepEqual(await run('delete', 'ippool', 'x', 'b'), {
    stdout: 'ippool/b deleted\n',
    stderr: 'IPPool x not found',
    exitCode: 3,
  });
  assert.equal((await run('delete', 'ippool/c')).stdout, 'ippool/c deleted\n');
  const rest = await run('delete', '-f', path);
  assert.equal(rest.stdout, 'ippool/d deleted\n');
  assert.equal(rest.exitCode, 3);
  assert.deepEqual(await run('delete', '-f', path, '--ignore-not-found'), { stdout: '', stderr: '', exitCode: 0 });
});

const MISUSED: readonly (readonly [readonly string[], number, RegExp])[] = [
  [['get', 'ipool'], 2, /unknown kind "ipool"; did you mean IPPool\? \(known kinds: /],
  [['get', 'ippool', 'x'], 3, /^IPPool x not found$/],
  [['get', 'ippool', 'X'], 2, /"X" is not a name.*write x/],
  [['get', 'ippool/a', 'b'], 2, /write KIND NAME or KIND\/NAME/],
  [['get', 'ippool/'], 2, /write KIND NAME or KIND\/NAME/],
  [['get', 'affinity', 'a/b'], 2, /BlockAffinity: is not a name/],
  [['delete'], 2, /write KIND NAME, or -f FILE/],
  [['delete', 'ippool'], 2, /which IPPool\? write its name/],
  [['delete', 'ippool', 'a', '-f', 'x'], 2, /write KIND NAME, or -f FILE/],
  [['delete', 'block', '10-0-0-0-26'], 2, /^IPAMBlock cannot be deleted: it records which addresses are in use/],
  [['apply', '-f', '/nonexistent/file.yaml'], 2, /^\/nonexistent\/file.yaml: no such file or directory$/],
];

for (const [words, exitCode, message] of MISUSED) {
  test(`"${words.join(' ')}" ends with ${exitCode} and says why`, async () => {
    const result = await bench().run(...words);
    assert.match(result.stderr, message);
    assert.equal(result.exitCode, exitCode);
    assert.equal(result.stdout, '');
  });
}

test('a store that cannot be opened ends with 5 and names the ways to choose another', async () => {
  const result = await run(['get', 'ippools', '--store', join(root, 'nowhere', 'store.db')]);
  assert.equal(result.exitCode, 5);
  assert.match(result.stderr, /nowhere\/store.db: its directory does not exist; create it.*\n.*--store, MUSLIN_STORE/);
  assert.equal((await run(['get', 'ippools', '--store', 'redis://x'])).exitCode, 2);
});

test('the flag goes before the variable', async () => {
  const one = bench();
  const other = bench();
  await one.run('apply', '-f', one.file('a.yaml', pool('a', '10.0.0.0/16')));
  const before = process.env['MUSLIN_STORE'];
  try {
    process.env['MUSLIN_STORE'] = one.url;
    assert.equal((await run(['get', 'ippools', '-o', 'name'])).stdout, 'ippool/a\n');
    assert.equal((await run(['get', 'ippools', '-o', 'name', '--store', other.url])).stdout, '');
  } finally {
    if (before === undefined) delete process.env['MUSLIN_STORE'];
    else process.env['MUSLIN_STORE'] = before;
  }
});
