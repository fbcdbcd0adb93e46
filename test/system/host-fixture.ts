/**
 * One host with its agent, for tests of what is installed on a host and removed from it: a network namespace with an uplink to a peer,
 * a folder that stands for the root of its files, a store, containers by the real plugin.
 *
 * Nothing of the machine's own is touched. What is waited for is told by the agent: lines of its log, messages to its service manager.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { MUSLIN, type Outcome, run } from './two-hosts-fixture.ts';

export const PLUGIN = fileURLToPath(new URL('../../build/cni/muslin', import.meta.url));
export const NODE = 'host-t';

const UPLINK_ADDRESS = '192.168.77.1';
export const PEER_ADDRESS = '192.168.77.2';

/** All that a host without an agent shows of its network, but for counters. */
const DUMPED: readonly string[] = [
  'ip -o link | sed "s/^[0-9]*: //"',
  'ip route show table all',
  'ip -6 route show table all',
  'ip rule',
  'ip neigh show proxy',
  'nft -s list ruleset',
  'iptables-nft-save',
  'ip6tables-nft-save',
  'iptables-legacy-save',
  'ip6tables-legacy-save',
  'ipset save',
  'sysctl -a --pattern "^net.ipv[46].(ip_forward|conf|neigh)" | sort',
];

export class TestHost {
  readonly directory = mkdtempSync(join(tmpdir(), 'muslin-test-host-'));
  readonly root = join(this.directory, 'root');
  readonly conflist = join(this.root, 'etc/cni/net.d/10-muslin.conflist');
  readonly runDirectory = join(this.directory, 'run');
  readonly store = `sqlite://${join(this.directory, 'store.db')}`;
  readonly configuration = join(this.directory, 'muslin.yaml');
  readonly #name: string;
  readonly #namespaces: string[] = [];
  /** With when each has ended and all that it wrote has been read. */
  readonly #children = new Map<ChildProcess, Promise<number | null>>();
  #containers = 0;

  constructor(name: string) {
    this.#name = `muslin-test-${name}-${process.pid}`;
    mkdirSync(this.root);
    const lines = {
      node: NODE,
      store: this.store,
      runDirectory: this.runDirectory,
      cniConfiguration: this.conflist,
      cniPlugins: join(this.root, 'opt/cni/bin'),
    };
    writeFileSync(
      this.configuration,
      Object.entries(lines)
        .map(([field, value]) => `${field}: ${value}\n`)
        .join(''),
    );
    this.#addNamespace(this.#name);
    this.#addNamespace(`${this.#name}-p`);
    this.inside(`ip link set lo up
      ip link add up0 type veth peer name up0 netns ${this.#name}-p
      ip link set up0 addrgenmode none; ip addr add ${UPLINK_ADDRESS}/24 dev up0; ip addr add fd77::1/64 dev up0 nodad; ip link set up0 up
      ip netns exec ${this.#name}-p sh -c 'ip addr add ${PEER_ADDRESS}/24 dev up0; ip link set up0 up'
      ip route add default via ${PEER_ADDRESS}`);
    this.settle('up0');
  }

  /** Waits until the kernel has noticed that a device that is up has a carrier, and made what it makes then. */
  settle(device: string): void {
    const isUp = `ip -o link show ${device} | grep -q 'state UP'`;
    const hasRoute = `ip -6 route show table local | grep -q 'ff00::/8 dev ${device} '`;
    this.inside(`until ${isUp} && ${hasRoute}; do :; done`);
  }

  /** Ends and removes everything. */
  remove(): void {
    for (const child of this.#children.keys()) child.kill('SIGKILL');
    for (const name of this.#namespaces) run('ip', ['netns', 'del', name]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Runs shell commands on the host; they must succeed. Gives what they print. */
  inside(commands: string): string {
    const outcome = this.tryInside('sh', '-euc', commands);
    assert.equal(outcome.code, 0, `${commands}\n${outcome.stdout}${outcome.stderr}`);
    return outcome.stdout;
  }

  tryInside(...command: string[]): Outcome {
    return run('nsenter', [`--net=/run/netns/${this.#name}`, ...command]);
  }

  /** Runs `muslin …` on the host. */
  muslin(...words: string[]): Outcome {
    return this.tryInside(MUSLIN, ...words);
  }

  purge(...words: string[]): Outcome {
    return this.muslin('node', 'purge', '--root', this.root, '--config', this.configuration, ...words);
  }

  apply(documents: string): void {
    const outcome = run(MUSLIN, ['apply', '-f', '-', '--store', this.store], documents);
    assert.equal(outcome.code, 0, outcome.stderr);
  }

  async withStore<Result>(work: (store: Store) => Promise<Result>): Promise<Result> {
    const store = await openStore(this.store);
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  }

  /** Starts a program on the host, which is ended with it. */
  spawn(command: readonly string[], environment: Record<string, string> = {}): ChildProcess {
    const child = spawn('nsenter', [`--net=/run/netns/${this.#name}`, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.#children.set(child, new Promise((resolve) => child.once('close', resolve)));
    return child;
  }

  /** Resolves with the exit code once the program has ended, and all that it wrote has been read. */
  ended(child: ChildProcess): Promise<number | null> {
    const closed = this.#children.get(child);
    assert.ok(closed !== undefined, 'a program that was started here');
    return closed;
  }

  /** Starts the agent, by way of `wrapper`, and gives it once its log has said `line`. */
  async startAgent(options: {
    readonly wrapper?: readonly string[];
    readonly environment?: Record<string, string>;
    readonly line?: string;
  }): Promise<ChildProcess> {
    const { wrapper = [], environment, line = '"msg":"in sync"' } = options;
    const agent = this.spawn([...wrapper, MUSLIN, 'node', 'run', '--config', this.configuration], environment);
    let log = '';
    await new Promise<void>((resolve, reject) => {
      agent.stderr?.on('data', (chunk) => {
        log += chunk;
        if (log.includes(line)) resolve();
      });
      agent.once('exit', (code) => reject(new Error(`the agent ended with ${code}:\n${log}`)));
    });
    return agent;
  }

  /** Attaches a container by the plugin, as a runtime does. */
  attach(): void {
    this.#containers += 1;
    const name = `${this.#name}-c${this.#containers}`;
    this.#addNamespace(name);
    const configuration = {
      cniVersion: '1.0.0',
      name: 'muslin',
      type: 'muslin',
      agentSocket: join(this.runDirectory, 'cni.sock'),
      ipam: { type: 'muslin', assign_ipv6: 'true' },
    };
    const environment = [
      'CNI_COMMAND=ADD',
      `CNI_CONTAINERID=${name}`,
      `CNI_NETNS=/run/netns/${name}`,
      'CNI_IFNAME=eth0',
      'CNI_PATH=/opt/cni/bin',
      `CNI_ARGS=K8S_POD_NAMESPACE=default;K8S_POD_NAME=c${this.#containers}`,
    ];
    const outcome = run('env', [...environment, PLUGIN], JSON.stringify(configuration));
    assert.equal(outcome.code, 0, outcome.stdout);
  }

  /** The host's network as text, a line each. */
  dump(): string[] {
    return DUMPED.flatMap((command) => {
      const text = this.inside(`${command} 2>/dev/null`);
      const lines = text.replaceAll(/ \[\d+:\d+\]$/gm, '');
      return [`$ ${command}`, ...lines.split('\n').filter((line) => line !== '' && !line.startsWith('# '))];
    });
  }

  #addNamespace(name: string): void {
    assert.equal(run('ip', ['netns', 'add', name]).code, 0);
    this.#namespaces.push(name);
  }
}
