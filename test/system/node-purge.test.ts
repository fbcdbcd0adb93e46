/**
 * A purge on a real kernel: it lists what is ours and nothing else, removes it, and leaves the host as it was before the agent.
 *
 * The host's network is written down before the agent ever starts, with objects of others that look like ours. Then the agent runs,
 * with containers and policies of both families, on each of the packet filters; and after the purge the host must be the same,
 * line by line. What the host itself sends goes on all the while.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { NODE, PEER_ADDRESS, TestHost } from './host-fixture.ts';

/** What others have on the host; each bears a name, a comment or a place that resembles ours. */
const FOREIGN = `
  nft add table inet muslins; nft add chain inet muslins forward '{ type filter hook forward priority 5; }'
  nft add rule inet muslins forward ip saddr 10.9.0.1 counter comment '"cali-FORWARD"'
  nft add table ip muslin
  for v in nft legacy; do for t in raw mangle nat filter; do
    iptables-legacy -t $t -S >/dev/null; ip6tables-legacy -t $t -S >/dev/null; done
    iptables-$v -N calibrate; iptables-$v -A calibrate -s 10.9.0.2 -j DROP
    iptables-$v -A FORWARD -m comment --comment 'as cali-FORWARD' -j calibrate
  done
  ipset create calico4 hash:ip; ipset add calico4 10.9.0.3
  ip route add 10.9.0.0/16 via ${PEER_ADDRESS} proto static
  ip route add blackhole 10.10.0.0/16 proto 200
  ip route add blackhole 10.11.0.0/16 table 100 proto bird
  ip link add xcali0 type veth peer name xcali1; for d in xcali0 xcali1; do ip link set $d addrgenmode none; ip link set $d up; done; ip route add 10.12.0.0/16 dev xcali0
  ip neigh add proxy 10.9.0.4 dev up0
`;

const PARAMETERS = {
  nftables: 'nftablesMode: Enabled',
  'iptables-nft': 'nftablesMode: Disabled, iptablesBackend: NFT',
  'iptables-legacy': 'nftablesMode: Disabled, iptablesBackend: Legacy',
} as const;

function resources(backend: keyof typeof PARAMETERS): string {
  return `
apiVersion: projectcalico.org/v3
kind: Node
metadata: { name: ${NODE} }
spec: { bgp: { ipv4Address: 192.168.77.1/24, ipv6Address: "fd77::1/64" } }
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: { name: default }
spec: { ${PARAMETERS[backend]} }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: four }
spec: { cidr: 172.17.8.0/23, blockSize: 26, natOutgoing: true }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: six }
spec: { cidr: "fd65::/112", blockSize: 122 }
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: default.from-pods }
spec:
  ingress:
    - { action: Allow, source: { selector: projectcalico.org/orchestrator == 'cni' } }
`;
}

interface Row {
  readonly backend: keyof typeof PARAMETERS;
  readonly killed?: true;
  /** Kinds that the packet filter of the backend has. */
  readonly kinds: readonly string[];
}

const ROWS: readonly Row[] = [
  { backend: 'nftables', kinds: ['nft table'] },
  { backend: 'iptables-nft', kinds: ['iptables chain', 'iptables rule', 'ipset'] },
  { backend: 'iptables-legacy', kinds: ['iptables chain', 'iptables rule', 'ipset'], killed: true },
];

interface Report {
  readonly objects: readonly { readonly kind: string; readonly name: string; readonly detail: string }[];
  readonly left?: readonly unknown[];
}

const hosts: TestHost[] = [];
function newHost(name: string): TestHost {
  const host = new TestHost(name);
  hosts.push(host);
  return host;
}

after(() => {
  for (const host of hosts) host.remove();
});

for (const { backend, killed, kinds } of ROWS) {
  describe(`a purge of a host with ${backend}${killed ? ', whose agent was killed' : ''}`, { timeout: 280_000 }, () => {
    const host = newHost(backend);
    let before: string[] = [];

    it('lists what is ours and nothing else', async () => {
      host.inside(FOREIGN);
      for (const device of ['xcali0', 'xcali1']) host.settle(device);
      before = host.dump();
      host.apply(resources(backend));
      const agent = await host.startAgent({});
      for (let count = 0; count < 3; count++) host.attach();
      await host.withStore((store) =>
        // The agent writes one as well, in its own time.
        store.transact({ expect: [], writes: [{ kind: 'put', key: `/status/policies/${NODE}`, value: {} }] }),
      );
      host.inside(`nft add table inet muslin-cuts '{ flags dormant; }'`);
      if (killed) {
        process.kill(Number(readFileSync(join(host.runDirectory, 'agent.pid'), 'utf8')), 'SIGKILL');
        await host.ended(agent);
      }
      const outcome = host.purge('--plan', '-o', 'json');
      assert.equal(outcome.code, 0, outcome.stderr);
      const { objects }: Report = JSON.parse(outcome.stdout);
      const found = [...new Set(objects.map(({ kind }) => kind))];
      const always = ['file', 'device', 'proxy', 'nft table', 'route', 'setting', 'endpoint', 'address', 'block'];
      const expected = [...always, ...kinds, 'affinity', 'report', ...(killed ? [] : ['agent'])];
      assert.deepEqual(found.sort(), [...new Set(expected)].sort());
      const count = (wanted: string) => objects.filter(({ kind }) => kind === wanted).length;
      assert.deepEqual([count('device'), count('endpoint'), count('address'), count('block')], [3, 3, 6, 2]);
      const text = objects.map(({ kind, name, detail }) => `${kind} ${name} ${detail}`).join('\n');
      // The settings are the host's, of all its devices.
      assert.doesNotMatch(
        text.replaceAll(/^setting .*$/gm, ''),
        /10\.9\.|10\.1[0-2]\.|calico4|calibrate|muslins|xcali|ip muslin/,
      );
      assert.match(text, /^setting ipv4\/ip_forward 1, was 0 before$/m);
      assert.match(text, /^setting ipv6\/conf\/all\/forwarding 1, was 0 before$/m);
      assert.match(text, /^nft table inet muslin-cuts /m);
      const table = host.purge('--plan');
      assert.match(
        table.stdout,
        /^KIND +OBJECT +DETAIL\n.*\n\n\d+ objects of node host-t; 3 containers lose their network\n$/s,
      );
    });

    it('is asked for by its plan, not carried out, without --yes', () => {
      const during = host.dump();
      const outcome = host.purge();
      assert.equal(outcome.code, 2);
      assert.match(outcome.stderr, /nothing was changed; to remove all of it: muslin node purge --yes/);
      assert.deepEqual(host.dump(), during);
    });

    if (!killed) {
      it('refuses while the agent runs', () => {
        const during = host.dump();
        const outcome = host.purge('--yes');
        assert.equal(outcome.code, 4, outcome.stdout + outcome.stderr);
        assert.match(outcome.stderr, /the agent runs, with pid \d+, .*--stop-agent\. Nothing was changed/);
        assert.deepEqual(host.dump(), during);
        assert.ok(existsSync(host.conflist));
      });
    }

    it('leaves the host as it was before, and its own packets pass all the while', async () => {
      const ping = host.spawn(['ping', '-i', '0.01', PEER_ADDRESS]);
      let pings = '';
      await new Promise<void>((resolve) => {
        ping.stdout?.on('data', (chunk) => {
          pings += chunk;
          if (pings.includes('icmp_seq=3')) resolve();
        });
      });
      const outcome = host.purge('--yes', '--stop-agent');
      assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
      assert.match(outcome.stdout, /nothing of muslin is left\n$/);
      ping.kill('SIGINT');
      await host.ended(ping);
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(pings) ?? [];
      assert.ok(Number(sent) - Number(received) <= 1, `the one on its way may be missing:\n${pings.slice(-500)}`);
      assert.deepEqual(host.dump(), before);
    });

    it('has released what the node had in the store, and left what operators have written', async () => {
      const { entries } = await host.withStore((store) => store.list('/'));
      const keys = entries.map(({ key }) => key.replace('/resources/', '')).sort();
      assert.deepEqual(keys, [
        'FelixConfiguration/default',
        'GlobalNetworkPolicy/default.from-pods',
        'IPPool/four',
        'IPPool/six',
        `Node/${NODE}`,
      ]);
    });

    it('has nothing to do the second time', () => {
      const outcome = host.purge('--yes');
      assert.deepEqual([outcome.code, outcome.stdout, outcome.stderr], [0, 'nothing of muslin is here\n', '']);
      assert.ok(!existsSync(host.runDirectory));
      assert.deepEqual(readdirSync(dirname(host.conflist)), []);
    });
  });
}
