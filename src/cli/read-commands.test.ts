/** describe, diff, validate, wait, explain, config, and what get can do beyond the plain: kinds, selectors, templates, watches. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { revision } from '../store/store.ts';
import type { Bench } from './command-bench.suite.ts';
import { bench, node, pool, put, run } from './command-bench.suite.ts';
import { COMMANDS } from './commands.ts';

/** A bench with two pools, two nodes and an endpoint on one of them. */
async function network(): Promise<Bench> {
  const one = bench();
  const text = `${pool('a', '10.0.0.0/16')}${pool('b', '10.1.0.0/16')}${node('host-a', '{rack: r1}')}${node('host-b')}`;
  const { exitCode, stderr } = await one.run('apply', '-f', one.file('network.yaml', text));
  assert.equal(exitCode, 0, stderr);
  const spec = { node: 'host-a', interfaceName: 'cali1', ipNetworks: ['10.0.0.1/32'] };
  await one.withStore((store) => put(store, 'WorkloadEndpoint', 'one', spec, 'shop'));
  return one;
}

interface Row {
  readonly words: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly stdout: RegExp;
  readonly stderr?: RegExp;
  readonly exitCode?: number;
}

const NOTHING = /^$/;

const ROWS: readonly Row[] = [
  { words: ['get', 'ippools,nodes'], stdout: /^NAME +CIDR.*\na .*\nb .*\n\nNAME\nhost-a\nhost-b\n$/ },
  { words: ['get', 'ippools,nodes', '-o', 'name'], stdout: /^ippool\/a\nippool\/b\nnode\/host-a\nnode\/host-b\n$/ },
  { words: ['get', 'ippools,nodes', '-o', 'yaml'], stdout: /^apiVersion: .*\nkind: List\nitems:\n/ },
  { words: ['get', 'ippools,ipblok'], stdout: NOTHING, stderr: /unknown kind "ipblok"/, exitCode: 2 },
  { words: ['get', 'ippools,nodes', 'a'], stdout: NOTHING, stderr: /write KIND NAME or KIND\/NAME/, exitCode: 2 },
  { words: ['get', 'ippool', 'a', 'b', '-o', 'name'], stdout: /^ippool\/a\nippool\/b\n$/ },
  { words: ['get', 'ippool/a', 'node/host-b', '-o', 'name'], stdout: /^ippool\/a\nnode\/host-b\n$/ },
  { words: ['get', 'ippool', 'a', 'x'], stdout: /^NAME.*\na /, stderr: /^IPPool x not found$/, exitCode: 3 },
  { words: ['get', 'ippool/a', 'host-b'], stdout: NOTHING, stderr: /write KIND NAME or KIND\/NAME/, exitCode: 2 },
  { words: ['get', 'nodes', '-l', 'rack == "r1"', '-o', 'name'], stdout: /^node\/host-a\n$/ },
  { words: ['get', 'nodes', '-l', '!has(rack)', '-o', 'name'], stdout: /^node\/host-b\n$/ },
  { words: ['get', 'nodes', '-l', 'rack == "r9"'], stdout: NOTHING, stderr: /^no nodes\n$/ },
  { words: ['get', 'nodes', '-l', 'rack='], stdout: NOTHING, stderr: /is not a selector: at character 5/, exitCode: 2 },
  { words: ['get', 'node', 'host-a', '-l', 'all()'], stdout: NOTHING, stderr: /leave out -l or NAME/, exitCode: 2 },
  { words: ['get', 'ippools', '-o', 'jsonpath={.items[*].spec.cidr}'], stdout: /^10\.0\.0\.0\/16 10\.1\.0\.0\/16\n$/ },
  { words: ['get', 'ippool', 'a', '-o', 'jsonpath=<{.spec.cidr}>'], stdout: /^<10\.0\.0\.0\/16>\n$/ },
  {
    words: ['get', 'ippool', 'a', '-o', 'jsonpath={.spec'],
    stdout: NOTHING,
    stderr: /closing } is missing/,
    exitCode: 2,
  },
  {
    words: ['get', 'ippool', '-o', 'yml'],
    stdout: NOTHING,
    stderr: /Allowed are table, wide, yaml.*did you mean yaml/,
    exitCode: 2,
  },
  { words: ['get', 'nodes,ippools', '-w'], stdout: NOTHING, stderr: /one kind at a time can be watched/, exitCode: 2 },
  {
    words: ['describe', 'node', 'host-a'],
    stdout:
      /^Kind: +Node\nName: +host-a\nLabels: +rack=r1\nAnnotations: +\(none\)\nSource: .*network.yaml:\d+\nCreated: .*Z \(\d+s ago\)\nRevision: +3\nUID: .*\nEndpoints: +shop\/one 10.0.0.1\/32\n\nSpec:\n/s,
  },
  {
    words: ['describe', 'wep', 'one', '-n', 'shop'],
    stdout:
      /\nNamespace: +shop\n.*\nNode: +host-a\nDevice: +cali1\nAddresses: +10.0.0.1\/32\n\nSpec:\n {2}node: host-a\n/s,
  },
  { words: ['describe', 'ippool'], stdout: /^Kind: +IPPool\nName: +a\n.*\n---\n\nKind: +IPPool\nName: +b\n/s },
  { words: ['describe', 'ippool', 'x'], stdout: NOTHING, stderr: /^IPPool x not found$/, exitCode: 3 },
  { words: ['describe', 'tier'], stdout: NOTHING, stderr: /nothing to describe/ },
  { words: ['diff', '-f', '$DIR/network.yaml'], stdout: NOTHING },
  {
    words: ['diff', '-f', '$DIR/network.yaml'],
    files: { 'network.yaml': pool('a', '10.0.0.0/16', '  disabled: true\n') + pool('c', '10.3.0.0/16') },
    stdout:
      /^--- store\/ippool\/a\n\+\+\+ file\/ippool\/a\n.*\n- {2}disabled: false\n\+ {2}disabled: true\n.*\n--- \/dev\/null\n\+\+\+ file\/ippool\/c\n@@ -0,0 \+1,\d+ @@\n\+apiVersion/s,
    exitCode: 10,
  },
  {
    words: ['diff', '-f', '$DIR/x.yaml'],
    files: { 'x.yaml': pool('c', '10.0.0.0/8') },
    stdout: NOTHING,
    stderr: /overlaps/,
    exitCode: 2,
  },
  { words: ['validate', '-f', '$DIR/network.yaml'], stdout: /^4 resources are valid\n$/ },
  { words: ['validate', '-f', '$DIR', '-R'], stdout: /^4 resources are valid\n$/ },
  {
    words: ['validate', '-f', '$DIR/x.yaml'],
    files: { 'x.yaml': pool('c', '10.0.0.1/8') + pool('D', '10.1.0.0/16', '  natOutgoin: true\n') },
    stdout: NOTHING,
    stderr:
      /x.yaml:7:9: spec.cidr: .*host bits.*\n.*x.yaml:12:9: metadata.name: .*\n.*x.yaml:15:3: spec.natOutgoin: unknown field; did you mean natOutgoing\?/,
    exitCode: 2,
  },
  {
    words: ['validate', '-f', '$DIR/x.yaml'],
    files: { 'x.yaml': pool('c', '10.0.0.0/8') + pool('d', '10.1.0.0/16') },
    stdout: NOTHING,
    stderr: /IPPool c: spec.cidr: .*overlaps.*\n.*IPPool d: spec.cidr: .*overlaps/,
    exitCode: 2,
  },
  { words: ['wait', 'ippool/a', '--for=exists'], stdout: /^ippool\/a is there\n$/ },
  { words: ['wait', 'ippool', 'x', '--for=delete'], stdout: /^ippool\/x is gone\n$/ },
  {
    words: ['wait', 'ippool', 'a', 'b', '--for', 'jsonpath={.spec.disabled}=false'],
    stdout: /^ippool\/a, ippool\/b has the value\n$/,
  },
  { words: ['wait', 'nodes', '-l', 'has(rack)', '--for=exists'], stdout: /^nodes is there\n$/ },
  {
    words: ['wait', 'ippool', 'a', '--for', 'jsonpath={.spec.disabled}=true', '--timeout', '1ms'],
    stdout: NOTHING,
    stderr: /^ippool\/a has "false", not "true" after 0.001s$/,
    exitCode: 124,
  },
  {
    words: ['wait', 'nodes', '-l', 'has(x)', '--for=exists', '--timeout', '1ms'],
    stdout: NOTHING,
    stderr: /is not there after/,
    exitCode: 124,
  },
  {
    words: ['wait', 'ippool', 'a', '--for=gone'],
    stdout: NOTHING,
    stderr: /Write exists, delete, or jsonpath/,
    exitCode: 2,
  },
  {
    words: ['wait', 'ippool', 'a', '--for=exists', '--timeout', '1y'],
    stdout: NOTHING,
    stderr: /not a time; write 30s/,
    exitCode: 2,
  },
  { words: ['wait', 'ippool', 'a'], stdout: NOTHING, stderr: /required option '--for/, exitCode: 2 },
];

for (const { words, files = {}, stdout, stderr = NOTHING, exitCode = 0 } of ROWS) {
  test(`"${words.join(' ')}" ends with ${exitCode}${stderr === NOTHING ? '' : `: ${stderr.source}`}`, async () => {
    const one = await network();
    for (const [name, text] of Object.entries(files)) one.file(name, text);
    const placed = words.map((word) => word.replace('$DIR', one.directory));
    const result = await (words[0] === 'validate' ? run(placed) : one.run(...placed));
    assert.match(result.stderr, stderr);
    assert.match(result.stdout, stdout);
    assert.equal(result.exitCode, exitCode);
  });
}

test('diff shows that a secret differs, and not the secret', async () => {
  const one = bench();
  const text = (password: string) =>
    `apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: a, annotations: {bgp-password: ${password}}}\nspec: {}\n`;
  await one.run('apply', '-f', one.file('a.yaml', text('old-word')));
  const { stdout, exitCode } = await one.run('diff', '-f', one.file('a.yaml', text('new-word')));
  assert.equal(exitCode, 10);
  assert.match(stdout, /\n- {4}bgp-password: \(secret\)\n\+ {4}bgp-password: \(secret, another one\)\n/);
  assert.doesNotMatch(stdout, /word$/m);
});

interface ExplainRow {
  readonly word: string;
  readonly stdout: RegExp;
  readonly stderr?: RegExp;
}

const EXPLAINED: readonly ExplainRow[] = [
  {
    word: 'ipp',
    stdout: /^KIND: +IPPool\nWORDS: +ippools, ipp, pool\nNAMESPACED: +no\n\nFIELD .*\ncidr +text +\(required\)\n/,
  },
  { word: 'block', stdout: /\nWRITTEN BY: +muslin alone: it records/ },
  { word: 'ippool.spec.cidr', stdout: /\nFIELD: +spec.cidr\nTYPE: +text\nREQUIRED: +yes\n$/ },
  { word: 'ippool.ipipMode', stdout: /\nREQUIRED: +no\nDEFAULT: +"Never"\nALLOWED: +Never, Always, CrossSubnet\n$/ },
  { word: 'ippool.nodeSelector', stdout: /\nDEFAULT: +"all\(\)"\n/ },
  {
    word: 'node.spec.addresses',
    stdout: /\nTYPE: +list of mapping\n.*\n\n.*\naddress +text +\(required\)\ntype +text +CalicoNodeIP, /,
  },
  { word: 'node.addresses.type', stdout: /\nFIELD: +spec.addresses.type\n.*ALLOWED: +CalicoNodeIP/s },
  { word: 'bgpconfig.listenPort', stdout: /\nTYPE: +whole number\n.*ALLOWED: +1 to 65535\n/s },
  { word: 'node.metadata.labels', stdout: /\nTYPE: +mapping to text\n/ },
  { word: 'node.metadata.labels.rack', stdout: /\nFIELD: +metadata.labels.rack\nTYPE: +text\n/ },
  {
    word: 'ippool.spec.cdir',
    stdout: NOTHING,
    stderr: /^IPPool.spec has no field "cdir"; did you mean cidr\? \(fields: cidr, /,
  },
  { word: 'ippool.spec.cidr.x', stdout: NOTHING, stderr: /^IPPool.spec.cidr has no field "x" \(it has no fields\)$/ },
  { word: 'ipool', stdout: NOTHING, stderr: /unknown kind "ipool"; did you mean IPPool\?/ },
];

for (const { word, stdout, stderr = NOTHING } of EXPLAINED) {
  test(`explain ${word}`, async () => {
    const result = await run(['explain', word]);
    assert.match(result.stderr, stderr);
    assert.match(result.stdout, stdout);
    assert.equal(result.exitCode, stderr === NOTHING ? 0 : 2);
  });
}

test('explain has words for every field of every kind', async () => {
  const { KINDS } = await import('../model/kinds.ts');
  for (const { plural } of KINDS) {
    const { stdout, exitCode } = await run(['explain', plural]);
    assert.equal(exitCode, 0, plural);
    assert.doesNotMatch(stdout, /undefined|\[object/, plural);
  }
});

test('config says which store was chosen, and by what', async () => {
  const before = process.env['MUSLIN_STORE'];
  try {
    process.env['MUSLIN_STORE'] = 'etcd://root:hush@host-a:2379';
    assert.match(
      (await run(['config'])).stdout,
      /\nMUSLIN_STORE +etcd:\/\/root:\*\*\*@host-a:2379 +yes\n.*\ndefault .*\.db\n$/s,
    );
    const flagged = (await run(['config', '--store', '/tmp/x.db'])).stdout;
    assert.match(flagged, /\n--store +\/tmp\/x.db +yes\nMUSLIN_STORE +etcd:\/\/root:\*\*\*@host-a:2379\n/);
    const { store } = JSON.parse((await run(['config', '-o', 'json'])).stdout);
    assert.deepEqual(store, { from: 'MUSLIN_STORE', value: 'etcd://root:***@host-a:2379' });
    assert.equal((await run(['config', '-o', 'xml'])).exitCode, 2);
  } finally {
    if (before === undefined) delete process.env['MUSLIN_STORE'];
    else process.env['MUSLIN_STORE'] = before;
  }
});

type Step = (interrupt: () => void) => unknown;

/** Does one step each time when the output ends as the step says. */
function script(...steps: readonly (readonly [ending: string, step: Step])[]) {
  let next = 0;
  return (stdout: string, interrupt: () => void) => {
    const [ending, step] = steps[next] ?? [];
    if (ending === undefined || step === undefined || !stdout.endsWith(ending)) return;
    next += 1;
    step(interrupt);
  };
}

test('get -w prints what is there, each change as a row, and ends with Ctrl-C', { timeout: 30_000 }, async () => {
  const one = await network();
  const heard = script(
    ['there     host-b\n', () => one.run('label', 'node', 'host-b', 'rack=r1')],
    ['changed   host-b\n', () => one.run('apply', '-f', one.file('c.yaml', node('host-c')))],
    ['added     host-c\n', () => one.run('delete', 'node', 'host-a')],
    ['gone      host-a\n', (interrupt) => interrupt()],
  );
  assert.deepEqual(await one.listen(heard, 'get', 'nodes', '-w'), {
    stdout:
      'CHANGE    NAME\nthere     host-a\nthere     host-b\nchanged   host-b\nadded     host-c\ngone      host-a\n',
    stderr: '',
    exitCode: 0,
  });
});

test('get -w -l: what no longer matches is gone, and what comes to match is added', { timeout: 30_000 }, async () => {
  const one = await network();
  const heard = script(
    ['node/host-a there\n', () => one.run('label', 'node', 'host-b', 'rack=r2')],
    ['node/host-b added\n', () => one.run('label', 'node', 'host-a', 'rack-')],
    ['node/host-a gone\n', (interrupt) => interrupt()],
  );
  const { stdout } = await one.listen(heard, 'get', 'nodes', '-l', 'has(rack)', '-o', 'name', '-w');
  assert.equal(stdout, 'node/host-a there\nnode/host-b added\nnode/host-a gone\n');
});

test('get -w of one name prints JSON in a line, and YAML with what happened', { timeout: 30_000 }, async () => {
  const one = await network();
  const heard = (_: string, interrupt: () => void) => interrupt();
  const { change, resource } = JSON.parse((await one.listen(heard, 'get', 'ippool', 'b', '-w', '-o', 'json')).stdout);
  assert.deepEqual([change, resource.kind, resource.metadata.name], ['there', 'IPPool', 'b']);
  const { stdout } = await one.listen(heard, 'get', 'ippool', 'b', '-w', '-o', 'yaml');
  assert.match(stdout, /^--- # there\napiVersion: .*\nkind: IPPool\n/);
});

test('wait sees what happens after it has looked', { timeout: 30_000 }, async () => {
  const one = await network();
  const waiting = one.run('wait', 'ippool', 'a', 'b', '--for=delete', '--timeout', '20s');
  await one.run('delete', 'ippool', 'a');
  await one.run('delete', 'ippool', 'b');
  assert.deepEqual(await waiting, { stdout: 'ippool/a, ippool/b is gone\n', stderr: '', exitCode: 0 });
});

test('reading changes nothing in the store', async () => {
  const one = await network();
  const revisionNow = () => one.withStore(async (store) => (await store.list('/')).revision);
  const before = await revisionNow();
  for (const words of [
    ['get', 'nodes'],
    ['describe', 'nodes'],
    ['diff', '-f', `${one.directory}/network.yaml`],
  ]) {
    await one.run(...words);
  }
  assert.equal(await revisionNow(), before);
  assert.notEqual(before, revision(0));
});

test('every command has help with an example', async () => {
  for (const { path } of COMMANDS) {
    if (path[0].startsWith('__')) continue; // for scripts, not for people
    const { buildProgram } = await import('./program.ts');
    const program = await buildProgram(path);
    const [first, second] = path;
    const group = program.commands.find((command) => command.name() === first);
    const command = second === undefined ? group : group?.commands.find((each) => each.name() === second);
    let help = '';
    command?.configureOutput({ writeOut: (text) => (help += text) });
    command?.outputHelp();
    assert.match(help, /\nExamples?:\n {2}|muslin completion/, path.join(' '));
  }
});
