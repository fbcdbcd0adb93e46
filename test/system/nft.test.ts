/**
 * The packet filter on a real kernel: applied, applied again, damaged and repaired, and met by real packets.
 *
 *   a (cali-a) ─┐                         ┌─ out1 (eth-1, 10.9.1.0/24)
 *   b (cali-b) ─┼─ host: routes, filter ──┤
 *   x (cali-x) ─┘  x is never declared    └─ out2 (eth-2, 10.9.2.0/24)
 *
 * Everything is in namespaces of this test's own. A packet that must be dropped is first seen to pass without the filter.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { buildFilterProgram } from '../../src/felix/dataplane/filter/build.ts';
import type { FilterPlan } from '../../src/felix/dataplane/nftables/difference.ts';
import { planFilter, planFilterAfter } from '../../src/felix/dataplane/nftables/plan.ts';
import { NFT_TABLE } from '../../src/felix/dataplane/nftables/print.ts';
import type { DesiredEndpoint } from '../../src/felix/desired/desired.ts';
import { addNamespace, namespaceNames, namespacePath, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { type Nft, openNft, openSpawnedNft } from '../../src/kernel/nft.ts';
import { cidr } from '../../src/net/cidr.ts';

const PREFIX = `muslin-test-nft-${process.pid}-`;
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

function endpoint(name: string, ...addresses: string[]): DesiredEndpoint {
  const provenance = { origin: `WorkloadEndpoint default/${name}` };
  return { id: name, deviceName: `cali-${name}`, addresses: addresses.map(cidr), provenance };
}

const A = endpoint('a', '172.17.8.2/32', 'fd00:17::2/128');
const B = endpoint('b', '172.17.8.3/32', 'fd00:17::3/128');
const BOTH = buildFilterProgram([A, B]);

/** One reading, one plan, one transaction. */
function apply(nft: Nft, program = BOTH): FilterPlan {
  const plan = planFilter(program, nft.listTable(NFT_TABLE));
  nft.run(plan.script);
  return plan;
}

/** The listing without what differs between two equal tables. */
function contents(nft: Nft): unknown {
  const text = JSON.stringify(nft.listTable(NFT_TABLE), (key, value: unknown) =>
    key === 'handle' ? undefined : value,
  );
  const items = (JSON.parse(text) as { nftables: object[] }).nftables.map((item) => JSON.stringify(item));
  // Rules keep their order within a chain; chains come in the order in which they were made.
  return items.sort((a, b) => order(a).localeCompare(order(b)));
}

function order(item: string): string {
  const [kind, body] = Object.entries(JSON.parse(item) as Record<string, { chain?: string; name?: string }>)[0]!;
  return `${kind} ${body.chain ?? body.name}`;
}

function handleOf(nft: Nft, chain: string, index: number): number {
  const { nftables } = nft.listTable(NFT_TABLE) as { nftables: { rule?: { chain: string; handle: number } }[] };
  return nftables.flatMap(({ rule }) => (rule?.chain === chain ? [rule.handle] : []))[index]!;
}

/** Each damages the table; the number is how many things the repair changes, undefined where it makes all anew. */
const DAMAGES: readonly [string, (nft: Nft) => string, number | undefined][] = [
  [
    'a rule is deleted',
    (nft) => `delete rule inet muslin cali-fw-cali-a handle ${handleOf(nft, 'cali-fw-cali-a', 1)}`,
    1,
  ],
  ['a foreign rule is inserted', () => 'insert rule inet muslin cali-FORWARD accept', 1],
  ['a foreign rule is appended', () => 'add rule inet muslin cali-tw-cali-b drop', 1],
  [
    'a rule is replaced',
    (nft) => `replace rule inet muslin cali-wl-to-host handle ${handleOf(nft, 'cali-wl-to-host', 1)} accept`,
    1,
  ],
  ['a chain is flushed', () => 'flush chain inet muslin cali-from-wl-dispatch', 1],
  ['all rules are flushed', () => 'flush table inet muslin', 10],
  ['a map element is deleted', () => 'delete element inet muslin cali-from-wl { "cali-a" }', 1],
  [
    'a map element leads elsewhere',
    () =>
      'delete element inet muslin cali-to-wl { "cali-a" }\nadd element inet muslin cali-to-wl { "cali-a" : accept }',
    2,
  ],
  ['a foreign device is dispatched', () => 'add element inet muslin cali-from-wl { "cali-x" : accept }', 1],
  [
    'an endpoint’s chain is gone',
    () => 'delete element inet muslin cali-to-wl { "cali-b" }\ndelete chain inet muslin cali-tw-cali-b',
    2,
  ],
  [
    'a foreign chain is called',
    () => 'add chain inet muslin mine\nadd rule inet muslin mine accept\ninsert rule inet muslin cali-INPUT jump mine',
    2,
  ],
  [
    'foreign chains call one another',
    () => 'add chain inet muslin m2\nadd chain inet muslin m1\nadd rule inet muslin m1 jump m2',
    2,
  ],
  [
    'a foreign base chain drops',
    () => 'add chain inet muslin mine { type filter hook forward priority -5; policy drop; }',
    1,
  ],
  ['a policy is changed', () => 'chain inet muslin cali-FORWARD { policy drop; }', undefined],
  ['a foreign set is made', () => 'add set inet muslin s { type ipv4_addr; }', undefined],
  ['the table is put to sleep', () => 'add table inet muslin { flags dormant; }', undefined],
  [
    'a hook is moved',
    () =>
      'delete chain inet muslin cali-OUTPUT\nadd chain inet muslin cali-OUTPUT { type filter hook output priority 7; }',
    undefined,
  ],
  ['the table is deleted', () => 'delete table inet muslin', undefined],
];

const FOREIGN = `add table inet other
add chain inet other keep { type filter hook forward priority 5; policy accept; }
add rule inet other keep ip daddr 192.0.2.1 drop comment "cali:not-ours"
`;

for (const [engine, openEngine] of [
  ['libnftables', openNft],
  ['spawned nft', openSpawnedNft],
] as const) {
  describe(`by ${engine}`, { skip }, () => {
    const name = `${PREFIX}${engine.replace(' ', '-')}`;
    let nft: Nft;
    before(() => {
      nft = openEngine(addNamespace(name));
      nft.run(FOREIGN);
      apply(nft);
    });
    after(() => {
      nft.close();
      removeNamespace(name);
    });

    test('a second application changes nothing', () => {
      const plan = planFilter(BOTH, nft.listTable(NFT_TABLE));
      assert.deepEqual([plan.script, plan.changes], ['', 0]);
    });

    for (const [what, damage, changes] of DAMAGES) {
      test(`${what}: repaired`, () => {
        const sound = contents(nft);
        nft.run(`${damage(nft)}\n`);
        const plan = apply(nft);
        assert.notEqual(plan.changes, 0);
        if (changes === undefined) assert.match(plan.script, /^add table inet muslin\ndelete table/);
        else assert.equal(plan.changes, changes);
        assert.deepEqual(contents(nft), sound);
        assert.equal(apply(nft).script, '');
      });
    }

    test('endpoints come, change and go, from plan to plan without a listing', () => {
      let plan = planFilter(BOTH, nft.listTable(NFT_TABLE));
      const moved = endpoint('a', '172.17.8.22/32');
      for (const endpoints of [[A], [A, B, endpoint('c', '172.17.8.4/32')], [moved, B], [], [A, B]]) {
        const program = buildFilterProgram(endpoints);
        plan = planFilterAfter(plan, program);
        nft.run(plan.script);
        assert.equal(planFilter(program, nft.listTable(NFT_TABLE)).script, '');
      }
    });

    test('a foreign table is left as it is', () => {
      const before = JSON.stringify(nft.listTable('inet other'));
      nft.run('delete table inet muslin\n');
      apply(nft);
      apply(nft, buildFilterProgram([]));
      assert.equal(JSON.stringify(nft.listTable('inet other')), before);
      apply(nft);
    });

    test('a refused script changes nothing and says why', () => {
      const script = 'add chain inet muslin c\nadd rule inet muslin c jump nowhere\n';
      // libnftables quotes the first line, whichever it was; the words and the code are what counts.
      assert.throws(() => nft.run(script), { name: 'KernelError', code: 'ENOENT', message: /nft: .*No such file/ });
      assert.throws(() => nft.run('frobnicate\n'), { code: 'EINVAL', message: /syntax error/ });
      assert.equal(apply(nft).script, '');
    });

    test('a table that is not there is undefined, not an error', () => {
      assert.equal(nft.listTable('inet nowhere'), undefined);
    });

    test('what a small change costs among 200 containers', (context) => {
      const endpoints = Array.from({ length: 200 }, (_, index) => endpoint(`n${index}`, `10.1.0.${index}/32`));
      let plan = apply(nft, buildFilterProgram(endpoints));
      const times: Record<string, number[]> = { 'list and plan': [], plan: [], run: [] };
      const timed = <Result>(what: string, work: () => Result): Result => {
        const start = performance.now();
        const result = work();
        times[what]!.push(performance.now() - start);
        return result;
      };
      const programs = Array.from({ length: 10 }, (_, round) =>
        buildFilterProgram([...endpoints, endpoint('new', `10.2.0.${round}/32`)]),
      );
      for (const program of programs) timed('list and plan', () => planFilter(program, nft.listTable(NFT_TABLE)));
      for (const program of programs) {
        plan = timed('plan', () => planFilterAfter(plan, program));
        timed('run', () => nft.run(plan.script));
      }
      const medians = Object.entries(times).map(
        ([what, list]) => `${what} ${list.sort((a, b) => a - b)[5]!.toFixed(2)} ms`,
      );
      context.diagnostic(`${engine}, median of 10: ${medians.join(', ')}`);
      apply(nft);
    });
  });
}

describe('real packets', { skip }, () => {
  let nft: Nft;
  before(() => {
    buildNetwork();
    nft = openNft(namespacePath(`${PREFIX}host`));
  });
  after(() => {
    nft?.close();
    for (const name of namespaceNames()) if (name.startsWith(PREFIX)) removeNamespace(name);
  });

  test('without the filter everything passes, also what is forged', async () => {
    await check(PINGS.map(([from, source, target]) => [from, source, target, true]));
  });

  test('with the filter only what is right passes', async () => {
    nft.run(FOREIGN);
    apply(nft);
    await check(PINGS);
    assert.ok(count('cali-fw-cali-a', 'Forged IPv4') > 0 && count('cali-fw-cali-a', 'Forged IPv6') > 0);
    assert.ok(count('cali-from-wl-dispatch', 'Unknown') > 0 && count('cali-to-wl-dispatch', 'Unknown') > 0);
  });

  test('a container cannot send VXLAN of its own', () => {
    assert.equal(count('cali-fw-cali-a', 'VXLAN'), 0);
    inside('a', 'bash', '-c', 'echo x > /dev/udp/10.9.1.2/4789; echo x > /dev/udp/10.9.1.2/4788');
    assert.equal(count('cali-fw-cali-a', 'VXLAN'), 1);
  });

  test('what we accept, a foreign table may still drop', async () => {
    nft.run(
      'add chain inet other veto { type filter hook input priority 5; }\nadd rule inet other veto ip saddr 172.17.8.2 drop\n',
    );
    await check([
      ['a', '172.17.8.2', HOST_4, false],
      ['b', '172.17.8.3', HOST_4, true],
    ]);
    nft.run('delete chain inet other veto\n');
  });

  test('a container that is declared passes from then on, one that is withdrawn no more', async () => {
    apply(nft, buildFilterProgram([B, endpoint('x', '172.17.8.9/32')]));
    await check([
      ['x', '172.17.8.9', '172.17.8.3', true],
      ['a', '172.17.8.2', '172.17.8.3', false],
    ]);
    apply(nft);
  });
});

const HOST_4 = '10.9.1.1';
const HOST_6 = 'fd00:9:1::1';

/** From where, by which source address, to where, and whether an answer comes once the filter is in force. */
type Ping = readonly [from: string, source: string, target: string, passes: boolean];
const PINGS: readonly Ping[] = [
  ['a', '172.17.8.2', '172.17.8.3', true],
  ['a', 'fd00:17::2', 'fd00:17::3', true],
  ['a', '172.17.8.2', HOST_4, true],
  ['a', 'fd00:17::2', HOST_6, true],
  ['a', '172.17.8.2', '10.9.1.2', true],
  ['out1', '10.9.1.2', '172.17.8.2', true],
  ['out1', 'fd00:9:1::2', 'fd00:17::3', true],
  ['host', HOST_4, '172.17.8.2', true],
  ['host', HOST_6, 'fd00:17::2', true],
  // Others' traffic is none of our business.
  ['out1', '10.9.1.2', '10.9.2.2', true],
  ['out1', 'fd00:9:1::2', 'fd00:9:2::2', true],
  ['out1', '10.9.1.2', HOST_4, true],
  // 172.17.8.99 and fd00:17::99 lead to a, who may not use them.
  ['a', '172.17.8.99', '172.17.8.3', false],
  ['a', 'fd00:17::99', 'fd00:17::3', false],
  ['a', '172.17.8.99', HOST_4, false],
  ['a', 'fd00:17::99', HOST_6, false],
  ['a', '172.17.8.99', '10.9.1.2', false],
  // Nobody has declared x.
  ['x', '172.17.8.9', '172.17.8.3', false],
  ['x', '172.17.8.9', HOST_4, false],
  ['x', 'fd00:17::9', HOST_6, false],
  ['x', '172.17.8.9', '10.9.1.2', false],
  ['a', '172.17.8.2', '172.17.8.9', false],
  ['out1', '10.9.1.2', '172.17.8.9', false],
];

async function check(pings: readonly Ping[]): Promise<void> {
  const answered = await Promise.all(pings.map(([from, source, target]) => ping(from, source, target)));
  const lines = (passed: readonly boolean[]) =>
    pings.map(([from, source, target], index) => `${from} ${source} → ${target}: ${passed[index]}`);
  assert.deepEqual(lines(answered), lines(pings.map(([, , , passes]) => passes)));
}

/** Whether one of up to three echo requests is answered; the first may be lost to neighbour discovery. */
function ping(from: string, source: string, target: string): Promise<boolean> {
  const options = ['-c', '3', '-i', '0.2', '-W', '1', '-I', source, target];
  return new Promise((resolve) => {
    execFile('ip', ['netns', 'exec', PREFIX + from, 'ping', ...options], (error) => resolve(error === null));
  });
}

/** How many packets a rule has counted. */
function count(chain: string, words: string): number {
  const lines = inside('host', 'nft', 'list', 'chain', 'inet', 'muslin', chain).split('\n');
  return Number(/packets (\d+)/.exec(lines.find((line) => line.includes(words)) ?? '')?.[1]);
}

function inside(name: string, command: string, ...rest: string[]): string {
  return execFileSync('ip', ['netns', 'exec', PREFIX + name, command, ...rest], { encoding: 'utf8' });
}

function ip(name: string, ...words: string[]): void {
  execFileSync('ip', ['-n', PREFIX + name, ...words.flatMap((word) => word.split(' '))]);
}

function buildNetwork(): void {
  for (const name of ['host', 'a', 'b', 'x', 'out1', 'out2']) {
    addNamespace(PREFIX + name);
    // Link-local addresses are to be usable at once.
    inside(name, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.accept_dad=0');
    ip(name, 'link set lo up');
  }
  inside('host', 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  addWorkload('a', '172.17.8.2', 'fd00:17::2', '172.17.8.99', 'fd00:17::99');
  addWorkload('b', '172.17.8.3', 'fd00:17::3');
  addWorkload('x', '172.17.8.9', 'fd00:17::9');
  for (const number of [1, 2]) {
    const name = `out${number}`;
    ip('host', `link add eth-${number} type veth peer name eth0 netns ${PREFIX}${name}`);
    ip('host', `addr add 10.9.${number}.1/24 dev eth-${number}`);
    ip('host', `addr add fd00:9:${number}::1/64 dev eth-${number} nodad`);
    ip('host', `link set eth-${number} up`);
    ip(name, `addr add 10.9.${number}.2/24 dev eth0`);
    ip(name, `addr add fd00:9:${number}::2/64 dev eth0 nodad`);
    ip(name, 'link set eth0 up');
    ip(name, `route add default via 10.9.${number}.1`);
    ip(name, `route add default via fd00:9:${number}::1`);
  }
}

/** As the agent would: a pair whose host end is at ee:ee:ee:ee:ee:ee, /32 and /128 routes, a gateway that no one has. */
function addWorkload(name: string, ...addresses: string[]): void {
  ip('host', `link add cali-${name} address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns ${PREFIX}${name}`);
  ip('host', `link set cali-${name} up`);
  ip(name, 'link set eth0 up');
  for (const address of addresses) {
    ip(name, `addr add ${address} dev eth0${address.includes(':') ? ' nodad' : ''}`);
    ip('host', `route add ${address} dev cali-${name}`);
  }
  ip(name, 'neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent');
  ip(name, 'route add 169.254.1.1 dev eth0 scope link');
  ip(name, 'route add default via 169.254.1.1 dev eth0');
  // The host end's link-local address follows from its MAC; it is found by neighbour discovery, through the filter.
  ip(name, 'route add default via fe80::ecee:eeff:feee:eeee dev eth0');
}
