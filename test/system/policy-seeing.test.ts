/**
 * What an operator sees of policy, with real agents and real packets: who denied what, which rule of which file, what is in force
 * where. On the shipped lab `shop`, as its own comments tell to try it.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { MUSLIN, run, TestLab } from './two-hosts-fixture.ts';

/** Lines as a command prints them. */
class Lines {
  readonly seen: string[] = [];
  readonly #child: ChildProcess;

  constructor(words: readonly string[]) {
    this.#child = spawn(MUSLIN, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.seen.push(line));
    }
  }

  close(): void {
    this.#child.kill('SIGINT');
  }
}

/** The line of the topology on which this stands, after the line on which `behind` does. */
function lineOf(lab: TestLab, behind: string, text: string): number {
  const lines = run('cat', [lab.file]).stdout.split('\n');
  const start = lines.findIndex((line) => line.includes(behind));
  return lines.findIndex((line, index) => index > start && line.includes(text)) + 1;
}

function onHost(lab: TestLab, host: string, ...words: string[]): string {
  const { code, stdout, stderr } = lab.muslin('lab', 'exec', '--lab', lab.name, host, '--', 'muslin', ...words);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

function ping(lab: TestLab, from: string, to: string): boolean {
  return lab.tryInside(from, 'ping', '-c', '1', '-W', '1', to).code === 0;
}

const DB = '172.17.8.3';
const API = '172.17.9.2';

describe('seeing policy', () => {
  const lab = new TestLab('shop');
  let drops: Lines | undefined;

  before(() => lab.up());
  after(() => {
    drops?.close();
    lab.down();
  });

  it('`drops -f` says who, to whom, tier, policy, rule and line as a packet is denied', async () => {
    const watch = new Lines(['lab', 'exec', '--lab', lab.name, 'host-a', '--', 'muslin', 'drops', '-f']);
    drops = watch;
    await lab.eventually('drops are watched', () => watch.seen.some((line) => line.startsWith('watching')));
    assert.equal(ping(lab, 'api1', DB), true, 'the api may ask the db');
    assert.equal(ping(lab, 'job1', DB), false, 'a job may not');
    const line = lineOf(lab, 'nobody-else', '- action: Deny');
    const place = `${lab.file}:${line}`;
    const expected = `ingress icmp default/job1 (172.17.9.3) > default/db1 (${DB}) denied by tier default, GlobalNetworkPolicy nobody-else rule 0 (${place})`;
    await lab.eventually('the drop is told', () => watch.seen.some((each) => each.endsWith(expected)));
    assert.equal(watch.seen.length, 2, `one packet, one line: ${watch.seen.join('\n')}`);
    assert.match(watch.seen[1] ?? '', /^\d\d:\d\d:\d\d\.\d{3} ingress/);
    assert.equal(ping(lab, 'db1', API), false, 'the db may ask nobody');
    await lab.eventually('the end of the tier is told', () =>
      watch.seen.some((each) =>
        each.includes(`egress icmp default/db1 (${DB}) > default/api1 (${API}) denied by end of tier`),
      ),
    );
  });

  it('`endpoint list` and `endpoint describe` show rules in order with their counters', () => {
    assert.match(onHost(lab, 'host-a', 'endpoint', 'list'), /^default\/db1 +cali[0-9a-f]{11} +172\.17\.8\.3 +2 +yes$/m);
    const text = onHost(lab, 'host-a', 'endpoint', 'describe', 'db1');
    const rows = text.split('\n').filter((row) => row.startsWith('default '));
    const line = lineOf(lab, 'nobody-else', '- action: Deny');
    assert.match(rows[0] ?? '', /NetworkPolicy default\/db +0 +allow +0\*/);
    assert.match(rows[1] ?? '', /NetworkPolicy default\/db +1 +allow +1\*/);
    assert.match(rows[2] ?? '', new RegExp(`GlobalNetworkPolicy nobody-else +0 +deny +1\\* +.*:${line}$`));
    assert.match(text, /^Egress.*\n.*\ndefault +end of tier default +- +deny +1 +-$/m);
    const wrong = lab.muslin('lab', 'exec', '--lab', lab.name, 'host-a', '--', 'muslin', 'endpoint', 'describe', 'db2');
    assert.equal(wrong.code, 3, wrong.stdout);
    assert.match(wrong.stderr, /^muslin: no endpoint "db2" on this host; is it "default\/db1"\?$|endpoint list/m);
  });

  it('`drops` lists the rules that have denied, with their packets', () => {
    const text = onHost(lab, 'host-a', 'drops');
    assert.match(text, /^1 +\* +ingress +default +GlobalNetworkPolicy nobody-else +0 +.*topology\.yaml:\d+$/m);
    assert.match(text, /^1 +default\/db1 +egress +default +end of tier default +- +-$/m);
  });

  it('`policy status` tells of all nodes, and which rules were never hit', async () => {
    const policy = `apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: no-telnet}\nspec:\n  order: 1\n  selector: all()\n  ingress:\n  - action: Deny\n    protocol: TCP\n    destination: {ports: [23]}\n  - action: Pass\n    protocol: UDP\n    destination: {ports: [1]}\n  - action: Allow\n    http: {methods: [GET]}\n`;
    const file = join(lab.directory, 'no-telnet.yaml');
    writeFileSync(file, policy);
    onHost(lab, 'host-a', 'apply', '-f', file);
    await lab.eventually('both nodes have it in force', () =>
      /^GlobalNetworkPolicy no-telnet +default +2 +4 +2 of 2 rules +1 rule left out$/m.test(
        onHost(lab, 'host-b', 'policy', 'status'),
      ),
    );
    const text = onHost(lab, 'host-a', 'policy', 'status', 'no-telnet');
    assert.match(text, /^host-a +in force +\d+ +2$/m);
    assert.match(text, /^host-b +in force +\d+ +2$/m);
    assert.match(text, new RegExp(`^ingress 0 +deny +never hit +${file}:8$`, 'm'));
    assert.match(text, /^left out +ingress\[2\] is left out: it asks for HTTP/m);
    const hits = () => onHost(lab, 'host-a', 'policy', 'status', 'nobody-else');
    await lab.eventually('the hit is reported', () => /^ingress 0 +deny +1 +/m.test(hits()));
  });

  it('`policy status` names the nodes whose agents are gone', async () => {
    await lab.killAgent('host-b');
    const text = onHost(lab, 'host-a', 'policy', 'status');
    assert.match(text, /^GlobalNetworkPolicy no-telnet +default +1 +2 /m);
    assert.match(text, /^nothing heard from host-b: /m);
    lab.restart('host-b');
    await lab.eventually('host-b reports again', () =>
      /^GlobalNetworkPolicy no-telnet +default +2 +4 /m.test(onHost(lab, 'host-a', 'policy', 'status')),
    );
  });

  it('`node status` says which packet filter is in force and why', () => {
    assert.match(
      onHost(lab, 'host-a', 'node', 'status'),
      /^filter +nftables.* \(nftablesMode Auto, and nftables works here\)$/m,
    );
  });
});

describe('a lab with --dataplane', () => {
  for (const [dataplane, title] of [
    ['iptables', /^filter +iptables, (nft|legacy) variant .* \(FelixConfiguration: nftablesMode Disabled\)$/m],
    ['nftables', /^filter +nftables.* \(FelixConfiguration: nftablesMode Enabled\)$/m],
  ] as const) {
    it(`${dataplane} uses it, enforces the same, and leaves nothing behind`, async () => {
      const lab = new TestLab('shop');
      try {
        const up = lab.muslin('lab', 'up', lab.file, '--dataplane', dataplane, '--timeout', '60');
        assert.equal(up.code, 0, up.stdout + up.stderr);
        assert.match(onHost(lab, 'host-a', 'node', 'status'), title);
        await lab.eventually('the api may ask the db', () => ping(lab, 'api1', DB));
        assert.equal(ping(lab, 'job1', DB), false, 'a job may not');
        const drops = onHost(lab, 'host-a', 'drops');
        assert.match(drops, /^1 +\* +ingress +default +GlobalNetworkPolicy nobody-else +0 +.*topology\.yaml:\d+$/m);
        const isNft = lab.rules('host-a').includes('table inet muslin');
        assert.equal(isNft && lab.rules('host-a').includes('cali-FORWARD'), dataplane === 'nftables');
      } finally {
        lab.down();
      }
      const left = readdirSync('/run/netns').filter((name) => name.startsWith(`muslin-${lab.name}-`));
      assert.deepEqual([left, existsSync(`/run/muslin/lab/${lab.name}`)], [[], false]);
    });
  }
});
