/** muslin ipam show, check, explain, release, configure, and delete of a pool in use, on SQLite stores. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { ip } from '../net/ip.ts';
import { AddressAllocator } from '../node/addresses/address-allocator.ts';
import { type Bench, bench, pool, put } from './command-bench.suite.ts';
import { CommandError } from './exit-code.ts';
import { ipamCheckCommand } from './ipam-check.ts';
import { ipamConfigureCommand } from './ipam-configure.ts';
import { ipamExplainCommand } from './ipam-explain.ts';
import { ipamReleaseCommand } from './ipam-release.ts';
import { ipamShowCommand } from './ipam-show.ts';

interface Run {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Runs `muslin ipam WORDS`; $DIR in words is the bench's directory. */
async function ipam(one: Bench, ...words: readonly string[]): Promise<Run> {
  let stdout = '';
  const program = new Command('ipam');
  const rows = [ipamShowCommand, ipamCheckCommand, ipamExplainCommand, ipamReleaseCommand, ipamConfigureCommand];
  for (const command of rows.map((make) => make())) {
    const writeOut = (text: string) => {
      stdout += text;
    };
    program.addCommand(command.exitOverride().configureOutput({ writeOut, writeErr: () => {} }));
  }
  const given = words.map((word) => word.replace('$DIR', one.directory));
  try {
    await program.parseAsync([...given, '--store', one.url], { from: 'user' });
    return { stdout, stderr: '', exitCode: Number(process.exitCode ?? 0) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { stdout, stderr: error.message, exitCode: error instanceof CommandError ? error.exitCode : 2 };
  } finally {
    process.exitCode = undefined;
  }
}

const HOUR_MS = 3_600_000;

/** Node a has container web (10.0.0.0) and a leak of an hour (10.0.0.1); node b a leak that is young, in a block of its own. */
async function network(): Promise<Bench> {
  const one = bench();
  const pools = pool('four', '10.0.0.0/28', '  blockSize: 29\n') + pool('six', 'fd00::/64', '  disabled: true\n');
  assert.equal((await one.run('apply', '-f', one.file('pools.yaml', pools))).exitCode, 0);
  await one.withStore(async (store) => {
    const request = { labels: {}, requestedPools: [], use: 'Workload' as const, namespace: 'default', families: [] };
    const give = (node: string, handle: string, address: string, ageMs: number) =>
      new AddressAllocator(store, { now: () => Date.now() - ageMs }).assign({
        ...{ ...request, node, handle, requestedAddresses: [ip(address)], attributes: { node, pod: handle } },
      });
    await give('a', 'web', '10.0.0.0', 26 * HOUR_MS);
    await give('a', 'old', '10.0.0.1', HOUR_MS);
    await give('b', 'young', '10.0.0.8', 0);
    const endpoint = { node: 'a', interfaceName: 'cali1', ipNetworks: ['10.0.0.0/32'] };
    await put(store, 'WorkloadEndpoint', 'web', endpoint, 'default');
  });
  return one;
}

interface Row {
  readonly words: readonly string[];
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
  readonly exitCode?: number;
}

const ROWS: readonly Row[] = [
  {
    words: ['show'],
    stdout:
      /^GROUPING +CIDR +IPS TOTAL +IPS IN USE +IPS FREE\nIP Pool +10.0.0.0\/28 +16 +3 \(19%\) +13 \(81%\)\nIP Pool \(disabled\) +fd00::\/64 +1.8447e19 +0 \(0%\) +1.8447e19 \(100%\)\n$/,
  },
  {
    words: ['show', '--show-blocks'],
    stdout:
      /NODE +BORROWED\nIP Pool .*\nBlock +10.0.0.0\/29 +8 +2 \(25%\) +6 \(75%\) +a +0\nBlock +10.0.0.8\/29 +8 +1 \(13%\) +7 \(88%\) +b +0\nIP Pool/,
  },
  {
    words: ['show', '-o', 'json'],
    stdout: /^\[\n {2}\{\n {4}"cidr": "10.0.0.0\/28",\n {4}"addresses": 16,\n {4}"inUse": 3/,
  },
  { words: ['show', '--ip', '10.0.0.0'], stdout: /^10.0.0.0 is assigned\n/ },
  {
    words: ['explain', '10.0.0.0'],
    stdout:
      /^10.0.0.0 is assigned\n {2}pool +four\n {2}block +10.0.0.0\/29 of node a\n {2}handle +web\n {2}holder +node=a pod=web\n {2}since +\S+Z \(1d2h ago\)\n {2}used by +endpoint default\/web of node a\n {2}next +once released: 6 other free addresses of block 10.0.0.0\/29 are\n {10}assigned before it\n$/,
  },
  {
    words: ['explain', '10.0.0.1'],
    stdout: /used by +no endpoint\n(.*\n)+\nleak 10.0.0.1\n {2}cause +assigned 60 min ago to handle old on node a/,
  },
  {
    words: ['explain', '10.0.0.3'],
    stdout: /^10.0.0.3 is free\n(.*\n)+ {2}next +1 other free address of block 10.0.0.0\/29 is assigned before it\n$/,
  },
  { words: ['explain', '10.0.0.2'], stdout: /next +it is the next of its block\n$/ },
  {
    words: ['explain', 'fd00::1'],
    stdout: /^fd00::1 is in no block\n(.*\n)+.*once a node claims a block(.*\n.*)*disabled/,
  },
  { words: ['explain', '10.9.0.1'], stdout: /^10.9.0.1 is outside of all pools\n/, exitCode: 3 },
  { words: ['explain', '10.0.0.0/32'], stderr: /^"10.0.0.0\/32" is not an address/, exitCode: 2 },
  { words: ['explain', '10.0.0.1', '-o', 'json'], stdout: /"handle": "old",\n {2}"since": "/ },
  {
    words: ['check'],
    stdout:
      /^leak 10.0.0.1\n {2}cause +(.*\n)+ {2}repair +releases 10.0.0.1\nleak 10.0.0.8\n(.*\n)+ {2}to do +nothing before it is 15 min old(.*\n)+2 problems; 1 of them can be repaired: muslin ipam check --repair\n$/,
    exitCode: 10,
  },
  {
    words: ['check', '--repair'],
    stdout: /^repaired: leak 10.0.0.1: releases 10.0.0.1\nleak 10.0.0.8\n(.*\n)+1 problem\n$/,
    exitCode: 10,
  },
  {
    words: ['check', '--repair', '--grace', '0'],
    stdout:
      /^repaired: leak 10.0.0.1: releases 10.0.0.1\nrepaired: leak 10.0.0.8: releases 10.0.0.8\nno problems are left\n$/,
  },
  { words: ['check', '--grace', 'x'], stderr: /Write whole minutes/, exitCode: 2 },
  { words: ['release'], stderr: /^which addresses\?/, exitCode: 2 },
  { words: ['release', '--ip', '10.0.0.1', '--dry-run'], stdout: /^10.0.0.1 released from old \(dry run\)\n$/ },
  {
    words: ['release', '--ip', '10.0.0.1', '10.0.0.8'],
    stdout: /^10.0.0.1 released from old\n10.0.0.8 released from young\n$/,
  },
  { words: ['release', '--ip', '10.0.0.5'], stderr: /^10.0.0.5 is assigned to nobody$/, exitCode: 3 },
  {
    words: ['release', '--ip', '10.0.0.0', '10.0.0.1'],
    stdout: /^10.0.0.1 released from old\n$/,
    stderr: /^10.0.0.0 is kept: endpoint default\/web has it/,
    exitCode: 4,
  },
  { words: ['release', '--ip', '10.0.0.0', '--force'], stdout: /^10.0.0.0 released from web\n$/ },
  { words: ['release', '--from-report', '$DIR/no.json'], stderr: /^there is no file .*no.json$/, exitCode: 3 },
  { words: ['release', '--from-report', '$DIR/pools.yaml'], stderr: /pools.yaml is no report: /, exitCode: 2 },
  { words: ['configure'], stdout: /^NAME +STRICTAFFINITY .*\ndefault +false +0 +true *\n$/ },
  {
    words: ['configure', '--strict-affinity', 'true', '--max-blocks-per-host', '4'],
    stdout: /^ipamconfiguration\/default created\n$/,
  },
  {
    words: ['configure', '--max-blocks-per-host', '4'],
    stderr: /maxBlocksPerHost: 4 needs strictAffinity: true/,
    exitCode: 2,
  },
  { words: ['configure', '--strict-affinity', 'maybe'], stderr: /Write true or false/, exitCode: 2 },
];

for (const { words, stdout = /^$/, stderr = /^$/, exitCode = 0 } of ROWS) {
  test(`muslin ipam ${words.join(' ')}`, async () => {
    const result = await ipam(await network(), ...words);
    assert.match(result.stdout, stdout);
    assert.match(result.stderr, stderr);
    assert.equal(result.exitCode, exitCode);
    for (const line of result.stdout.split('\n')) if (!line.startsWith(' ')) assert.ok(line.length <= 100, line);
  });
}

test('what is repaired or released is gone from the next check', async () => {
  const one = await network();
  await ipam(one, 'check', '--repair', '--grace', '0');
  assert.deepEqual(await ipam(one, 'check'), { stdout: 'no problems\n', stderr: '', exitCode: 0 });
});

test('leaks of a report are released, unless the address has changed hands since', async () => {
  const one = await network();
  const { stdout } = await ipam(one, 'check', '-o', 'json');
  one.file('report.json', stdout);
  await one.withStore(async (store) => {
    const allocator = new AddressAllocator(store);
    await allocator.release('young');
    const request = { labels: {}, requestedPools: [], use: 'Workload' as const, namespace: undefined, families: [] };
    await allocator.assign({
      ...{ ...request, node: 'b', handle: 'young', requestedAddresses: [ip('10.0.0.8')], attributes: {} },
    });
  });
  assert.deepEqual(await ipam(one, 'release', '--from-report', '$DIR/report.json'), {
    stdout: '10.0.0.1 released from old\n',
    stderr: '10.0.0.8 is kept: handle young has got it since',
    exitCode: 4,
  });
});

test('configure changes what it is told and leaves the rest', async () => {
  const one = await network();
  await ipam(one, 'configure', '--strict-affinity', 'true', '--max-blocks-per-host', '4');
  await ipam(one, 'configure', '--auto-allocate-blocks', 'false');
  const { stdout } = await ipam(one, 'configure');
  assert.match(stdout, /\ndefault +true +4 +false *\n$/);
});

test('a pool is deleted with its empty blocks, and not while its addresses are in use', async () => {
  const one = await network();
  const refused = await one.run('delete', 'ippool', 'four', 'six');
  assert.equal(refused.exitCode, 4);
  assert.match(
    refused.stderr,
    /^ippool\/four cannot be deleted: 3 of its addresses are in use: 2 in blocks of a, 1 in blocks of b\nset disabled: true/,
  );
  assert.equal((await one.run('delete', 'ippool', 'four', '--dry-run')).exitCode, 4);
  assert.match((await one.run('get', 'ippool', 'four', '-o', 'yaml')).stdout, /disabled: false/);
  await ipam(one, 'release', '--ip', '10.0.0.0', '10.0.0.1', '10.0.0.8', '--force');
  assert.equal((await one.run('delete', 'ippool', 'four', '--dry-run')).stdout, 'ippool/four deleted (dry run)\n');
  assert.equal((await one.run('get', 'ipamblock', '-o', 'name')).stdout.split('\n').length, 3);
  assert.equal((await one.run('delete', 'ippool', 'four')).stdout, 'ippool/four deleted\n');
  assert.equal((await one.run('get', 'ipamblock,blockaffinity,ippool', '-o', 'name')).stdout, 'ippool/six\n');
});
