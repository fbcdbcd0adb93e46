/**
 * The lab "services": one address that several containers on two hosts answer, and a floating one, asked for from outside,
 * from containers and from hosts.
 *
 * The containers run a server that says who it is and whom it sees, and says who it is again for each line that it is sent.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TestLab } from './two-hosts-fixture.ts';

const SERVICE = '203.0.113.10';
const FLOATING = '203.0.113.7';
const CLIENT = '198.51.100.7';
const ROUND = 40;
/** Far more than an answer takes on a busy machine. */
const ANSWER_MS = 20_000;
/** What is denied gets no answer, however long one waits. */
const REFUSED_MS = 1_000;

const SERVER = `const [name] = process.argv.slice(1);
require('node:net').createServer((socket) => {
  socket.on('error', () => undefined);
  socket.on('data', () => socket.write(name + '\\n'));
  socket.write(name + ' sees ' + socket.remoteAddress + '\\n');
}).listen(80, '0.0.0.0');`;

/** Connects one after another, and prints what is answered first. */
const ASKER = `const [host, count, patience, localAddress] = process.argv.slice(1);
const { connect } = require('node:net');
const ask = () => new Promise((resolve) => {
  const socket = connect({ host, port: 80, localAddress, timeout: Number(patience) });
  const end = (answer) => { socket.destroy(); resolve(answer); };
  socket.once('data', (data) => end(String(data).trim()));
  socket.once('timeout', () => end('no answer'));
  socket.once('error', (error) => end(error.code));
});
(async () => { for (let turn = 0; turn < count; turn++) console.log(await ask()); })();`;

/** Holds one connection and prints each answer. */
const HOLDER = `const [host] = process.argv.slice(1);
const socket = require('node:net').connect({ host, port: 80 });
socket.on('data', (data) => { process.stdout.write(data); setTimeout(() => socket.write('again\\n'), 20); });
socket.on('error', (error) => { console.log(error.code); });`;

/** How often each was answered. */
type Answers = ReadonlyMap<string, number>;

const ALL_SEEING = (address: string) => ['web1', 'web2', 'web3'].map((name) => `${name} sees ${address}`);

const DIALECTS: readonly { readonly name: string; readonly spec: string; readonly listing: readonly string[] }[] = [
  {
    name: 'nftables',
    spec: 'nftablesMode: Enabled',
    listing: ['nft', 'list', 'chain', 'inet', 'muslin', `cali-svc-${SERVICE}`],
  },
  {
    name: 'iptables, nft variant',
    spec: 'nftablesMode: Disabled, iptablesBackend: NFT',
    listing: ['iptables-nft', '-t', 'nat', '-S', `cali-svc-${SERVICE}`],
  },
  {
    name: 'iptables, legacy',
    spec: 'nftablesMode: Disabled, iptablesBackend: Legacy',
    listing: ['iptables-legacy', '-t', 'nat', '-S', `cali-svc-${SERVICE}`],
  },
];

describe('services', () => {
  const lab = new TestLab('services');

  before(async () => {
    lab.up();
    // Over hosts by connection, not by client alone.
    lab.inside('edge', 'sysctl', '-qw', 'net.ipv4.fib_multipath_hash_policy=1');
    lab.inside('client', 'ip', 'address', 'add', '198.51.100.8/24', 'dev', 'eth0');
    for (const name of ['web1', 'web2', 'web3', 'db1']) {
      lab.spawnInside(name, process.execPath, '-e', SERVER, name);
      await lab.eventually(`${name} listens`, () => lab.inside(name, 'ss', '-Hlnt').includes(':80 '));
    }
  });

  after(() => lab.down());

  function ask(from: string, address: string, count = ROUND, patienceMs = ANSWER_MS, ...more: string[]): Answers {
    const asked = [address, String(count), String(patienceMs), ...more];
    const lines = lab.inside(from, process.execPath, '-e', ASKER, ...asked);
    const answers = new Map<string, number>();
    for (const line of lines.trim().split('\n')) answers.set(line, (answers.get(line) ?? 0) + 1);
    return answers;
  }

  const who = (answers: Answers) => [...answers.keys()].sort();

  function apply(text: string): void {
    const outcome = lab.muslin(
      'lab',
      'exec',
      '--lab',
      lab.name,
      'host-a',
      '--',
      'sh',
      '-c',
      `muslin apply -f - <<'END'\n${text}\nEND`,
    );
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  }

  /** The hosts that the outside goes through. */
  function gateways(): string[] {
    const text = lab.inside('edge', 'ip', 'route', 'show', SERVICE);
    return [...text.matchAll(/via (\S+)/g)].map(([, address = '']) => address).sort();
  }

  for (const { name, spec, listing } of DIALECTS) {
    describe(name, () => {
      before(async () => {
        apply(
          `{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled, ${spec}}}`,
        );
        for (const host of ['host-a', 'host-b', 'host-c']) {
          await lab.eventually(`${host} has the rules`, () => lab.tryInside(host, ...listing).code === 0);
        }
        await lab.eventually('all hosts are in sync', () => lab.status().hosts.every(({ inSync }) => inSync));
      });

      it('spread over hosts, and evenly over the containers of a host, which see the client', () => {
        const answers = ask('client', SERVICE);
        assert.deepEqual(who(answers), ALL_SEEING(CLIENT));
        const [first = 0, second = 0] = ['web1', 'web2'].map((each) => answers.get(`${each} sees ${CLIENT}`));
        assert.ok(Math.abs(first - second) <= 1, `host-a gave ${first} and ${second}`);
      });

      it('are for those that policy lets in, by the address that they have', () => {
        assert.deepEqual(who(ask('client', SERVICE, 1, REFUSED_MS, '198.51.100.8')), ['no answer']);
      });

      it('are reached from a container whose host has none, by the labels that its policy names', () => {
        assert.deepEqual(who(ask('job1', SERVICE, 12)), ALL_SEEING('172.17.10.2'));
        assert.deepEqual(who(ask('job1', FLOATING, 1, REFUSED_MS)), ['no answer']);
      });

      it('are reached by their own containers, of which one may be the one that asks', () => {
        assert.deepEqual(who(ask('web1', SERVICE, 12)), [`web1 sees ${SERVICE}`, 'web2 sees 172.17.8.2']);
      });

      it('are reached by hosts, with and without a container of it', () => {
        assert.deepEqual(who(ask('host-a', SERVICE, 12)), ['web1 sees 192.168.100.100', 'web2 sees 192.168.100.100']);
        assert.ok(who(ask('host-c', SERVICE, 4)).every((answer) => /^web\d sees 192\.168\.100\.102$/.test(answer)));
      });

      it('stand beside floating addresses', () => {
        assert.deepEqual(who(ask('client', FLOATING, 2)), [`db1 sees ${CLIENT}`]);
      });
    });
  }

  it('a connection stays where it began, and new ones go to who is left', async () => {
    const held = lab.spawnInside('host-a', process.execPath, '-e', HOLDER, SERVICE);
    let heard = '';
    held.stdout?.on('data', (data: Buffer) => {
      heard += data.toString('utf8');
    });
    await lab.eventually('the connection is held', () => heard.split('\n').length > 3);
    const [server = ''] = heard.split(' ');
    const other = server === 'web1' ? 'web2' : 'web1';
    label(server, 'muslin.io/service-address-');
    await lab.eventually(`${other} alone answers on host-a`, () => {
      return who(ask('host-a', SERVICE, 4)).join() === `${other} sees 192.168.100.100`;
    });
    const before = heard.length;
    await lab.eventually('the held connection goes on', () => heard.length > before + 50);
    const names = new Set(heard.split('\n').slice(1, -1));
    assert.deepEqual([...names], [server]);
    label(server, `muslin.io/service-address=${SERVICE}`);
    await lab.eventually('both answer again', () => who(ask('host-a', SERVICE, 4)).length === 2);
  });

  it('a host without containers of it announces it no more, and the others take over', async () => {
    assert.deepEqual(gateways(), ['192.168.100.100', '192.168.100.101']);
    assert.equal(lab.muslin('lab', 'detach', 'web3', '--lab', lab.name).code, 0);
    await lab.eventually('host-b is gone from the route', () => gateways().join() === '192.168.100.100');
    assert.deepEqual(who(ask('client', SERVICE)), ALL_SEEING(CLIENT).slice(0, 2));
    // host-b has none now, and its own containers ask those of host-a.
    assert.deepEqual(who(ask('db1', SERVICE, 1, REFUSED_MS)), ['no answer'], 'a policy of web does not let db in');
    assert.match(lab.inside('host-b', 'ip', 'route', 'show', SERVICE), /via 192\.168\.100\.100/);
  });

  it('what BGPConfiguration does not list is served, but not announced', async () => {
    apply('{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {}}');
    await lab.eventually('edge has no route', () => gateways().length === 0);
    assert.deepEqual(who(ask('host-a', SERVICE, 2)).length, 2);
    const described = lab.muslin(
      'lab',
      'exec',
      '--lab',
      lab.name,
      'host-a',
      '--',
      'muslin',
      'endpoint',
      'describe',
      'web1',
    );
    assert.match(described.stdout, /^service +203\.0\.113\.10 for 2 containers, 2 here; not announced: /m);
    apply(
      '{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {serviceLoadBalancerIPs: [{cidr: 203.0.113.10/32}]}}',
    );
    await lab.eventually('edge has it again', () => gateways().join() === '192.168.100.100');
  });

  /** Sets or takes away a label of a container of host-a, as `muslin label` does. */
  function label(workload: string, change: string): void {
    const muslin = (...words: string[]) =>
      lab.muslin('lab', 'exec', '--lab', lab.name, 'host-a', '--', 'muslin', ...words);
    const listed = muslin('get', 'wep', '-n', 'default', '-o', 'json');
    assert.equal(listed.code, 0, listed.stderr);
    const { items } = JSON.parse(listed.stdout) as {
      items: { metadata: { name: string }; spec: { pod?: string } }[];
    };
    const found = items.find(({ spec }) => spec.pod === workload);
    assert.ok(found !== undefined, `no endpoint of ${workload}`);
    const outcome = muslin('label', 'wep', found.metadata.name, '-n', 'default', change, '--overwrite');
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  }
});
