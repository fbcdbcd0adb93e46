/**
 * Three hosts in two subnets, a router between that knows nothing of containers, a container on each host; agents of one store.
 *
 *   ca ── host-a 192.168.100.100 ─┬─ lan1 ── router ── lan2 ── 192.168.200.101 host-f ── cf
 *   cn ── host-n 192.168.100.101 ─┘
 *
 * Hosts and router are network namespaces of this process's own; agents are `bin/muslin node run`, containers come by the real
 * plugin. `eventually` waits for a condition and fails with what the hosts look like.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PLUGIN } from './host-fixture.ts';
import { MUSLIN, type Outcome, run } from './two-hosts-fixture.ts';

export type HostName = 'host-a' | 'host-n' | 'host-f';

const HOSTS: Readonly<Record<HostName, { readonly lan: 1 | 2; readonly number: number }>> = {
  'host-a': { lan: 1, number: 100 },
  'host-n': { lan: 1, number: 101 },
  'host-f': { lan: 2, number: 101 },
};
export const HOST_NAMES = Object.keys(HOSTS) as readonly HostName[]; // its own keys, which the type of Object.keys forgets
const PATIENCE_MS = 60_000;
const LOOK_AGAIN_MS = 50;

export function hostAddress(host: HostName): string {
  return `192.168.${HOSTS[host].lan}00.${HOSTS[host].number}`;
}

export function hostAddress6(host: HostName): string {
  return `fd00:${HOSTS[host].lan}00::${HOSTS[host].number}`;
}

export class TunnelWorld {
  readonly directory = mkdtempSync(join(tmpdir(), 'muslin-test-tunnel-'));
  readonly store = `sqlite://${join(this.directory, 'store.db')}`;
  readonly #prefix: string;
  readonly #namespaces: string[] = [];
  readonly #agents = new Map<HostName, ChildProcess>();
  readonly #others: ChildProcess[] = [];
  readonly #containers = new Map<string, string[]>();

  constructor(name: string, options: { readonly bgp: boolean }) {
    this.#prefix = `muslin-test-${name}-${process.pid}-`;
    try {
      this.#build(options.bgp);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Ends and removes everything. */
  remove(): void {
    for (const child of [...this.#others, ...this.#agents.values()]) child.kill('SIGKILL');
    for (const name of this.#namespaces) run('ip', ['netns', 'del', name]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  runDirectory(host: HostName): string {
    return join(this.directory, `run-${host}`);
  }

  configuration(host: HostName): string {
    return join(this.directory, `${host}.yaml`);
  }

  /** Runs shell commands in a host, container or the router; they must succeed. Gives what they print. */
  inside(place: string, commands: string): string {
    const outcome = this.tryInside(place, 'sh', '-euc', commands);
    assert.equal(outcome.code, 0, `${place}: ${commands}\n${outcome.stdout}${outcome.stderr}`);
    return outcome.stdout;
  }

  tryInside(place: string, ...command: string[]): Outcome {
    return run('nsenter', [`--net=${this.path(place)}`, ...command]);
  }

  apply(...documents: object[]): void {
    const text = documents.map((each) => JSON.stringify(each)).join('\n---\n');
    const outcome = run(MUSLIN, ['apply', '-f', '-', '--store', this.store], text);
    assert.equal(outcome.code, 0, outcome.stderr);
  }

  muslin(...words: string[]): string {
    const outcome = run(MUSLIN, [...words, '--store', this.store]);
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
    return outcome.stdout;
  }

  startAgent(host: HostName): void {
    mkdirSync(this.runDirectory(host), { recursive: true });
    const log = openSync(this.#logFile(host), 'a');
    const command = [MUSLIN, 'node', 'run', '--config', this.configuration(host)];
    const child = spawn('nsenter', [`--net=${this.path(host)}`, ...command], { stdio: ['ignore', log, log] });
    this.#agents.set(host, child);
  }

  /** As the kernel's out-of-memory killer would; resolves when it is gone. */
  async killAgent(host: HostName): Promise<void> {
    const agent = this.#agents.get(host);
    assert.ok(agent !== undefined && agent.exitCode === null, `the agent of ${host} runs`);
    const gone = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill('SIGKILL');
    await gone;
    this.#agents.delete(host);
  }

  status(host: HostName): { readonly inSync: boolean; readonly tunnels: readonly Record<string, unknown>[] } {
    const socket = join(this.runDirectory(host), 'agent.sock');
    const outcome = run(MUSLIN, ['node', 'status', '-o', 'json', '--socket', socket]);
    assert.equal(outcome.code, 0, outcome.stderr);
    return JSON.parse(outcome.stdout).felix;
  }

  async inSync(): Promise<void> {
    for (const host of this.#agents.keys()) {
      await this.eventually(`${host} is in sync`, () => this.status(host).inSync);
    }
  }

  /** Attaches a container by the plugin; gives its address, and the one of IPv6 where it has one. */
  attach(host: HostName, name: string, ipv6: boolean): readonly string[] {
    this.#addNamespace(name);
    const configuration = {
      ...{
        cniVersion: '1.0.0',
        name: 'muslin',
        type: 'muslin',
        agentSocket: join(this.runDirectory(host), 'cni.sock'),
      },
      ipam: { type: 'muslin', assign_ipv6: String(ipv6) },
    };
    const environment = [
      'CNI_COMMAND=ADD',
      `CNI_CONTAINERID=${this.#prefix}${name}`,
      `CNI_NETNS=${this.path(name)}`,
      'CNI_IFNAME=eth0',
      'CNI_PATH=/opt/cni/bin',
      `CNI_ARGS=K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name}`,
    ];
    const outcome = run('env', [...environment, PLUGIN], JSON.stringify(configuration));
    assert.equal(outcome.code, 0, outcome.stdout + this.dump());
    const { ips } = JSON.parse(outcome.stdout) as { ips: { address: string }[] };
    const addresses = ips.map(({ address }) => address.replace(/\/\d+$/, ''));
    this.#containers.set(name, addresses);
    return addresses;
  }

  /** A host's block of the pool, and a container's addresses. */
  addressesOf(container: string): readonly string[] {
    return this.#containers.get(container) ?? [];
  }

  /** Pings until told to stop, and gives how many were sent and answered. */
  ping(from: string, to: string): { stop(): Promise<{ readonly sent: number; readonly received: number }> } {
    const ping = spawn('nsenter', [`--net=${this.path(from)}`, 'ping', '-i', '0.02', '-W', '1', to], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#others.push(ping);
    let output = '';
    ping.stdout.on('data', (chunk) => {
      output += chunk;
    });
    const ended = new Promise((resolve) => ping.once('close', resolve));
    return {
      stop: async () => {
        ping.kill('SIGINT'); // then it prints its statistics
        await ended;
        const match = /(\d+) packets transmitted, (\d+) received/.exec(output);
        assert.ok(match, output);
        return { sent: Number(match[1]), received: Number(match[2]) };
      },
    };
  }

  /** The host's routes, a line each, in order. */
  routes(host: HostName, family: 4 | 6 = 4): string[] {
    const lines = this.inside(host, `ip -${family} route`).split('\n');
    return lines
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .sort();
  }

  async eventually(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    let last = '';
    while (performance.now() < deadline) {
      try {
        if (condition()) return;
        last = '';
      } catch (error) {
        last = String(error);
      }
      await pause(LOOK_AGAIN_MS);
    }
    assert.fail(`${what}: not after ${PATIENCE_MS / 1000} s. ${last}\n${this.dump()}`);
  }

  dump(): string {
    const shown = HOST_NAMES.map((host) => {
      const commands = 'ip -d addr; ip route; ip -6 route; ip neigh; bridge fdb; nft -s list ruleset | grep -c .';
      const log = run('tail', ['-n', '40', this.#logFile(host)]).stdout;
      return `== ${host}\n${this.tryInside(host, 'sh', '-c', commands).stdout}${log}`;
    });
    return shown.join('\n');
  }

  #build(bgp: boolean): void {
    for (const place of ['router', ...HOST_NAMES]) this.#addNamespace(place);
    this.inside('router', 'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
    for (const lan of [1, 2]) {
      this.inside(
        'router',
        `ip link add lan${lan} type bridge; ip link set lan${lan} addrgenmode none up
        ip addr add 192.168.${lan}00.1/24 dev lan${lan}; ip addr add fd00:${lan}00::1/64 dev lan${lan} nodad`,
      );
    }
    for (const host of HOST_NAMES) {
      const { lan } = HOSTS[host];
      this.inside(
        host,
        `ip link add eth0 type veth peer name ${host} netns ${this.#prefix}router
        ip addr add ${hostAddress(host)}/24 dev eth0; ip addr add ${hostAddress6(host)}/64 dev eth0 nodad
        ip link set eth0 up`,
      );
      this.inside('router', `ip link set ${host} master lan${lan} up`);
      this.inside(
        host,
        `until ip -o link show eth0 | grep -q 'state UP'; do :; done
        ip route add default via 192.168.${lan}00.1; ip -6 route add default via fd00:${lan}00::1`,
      );
      const lines = { node: host, store: this.store, runDirectory: this.runDirectory(host), bgp };
      const text = Object.entries(lines).map(([field, value]) => `${field}: ${value}\n`);
      writeFileSync(this.configuration(host), text.join(''));
    }
    const nodes = HOST_NAMES.map((host) =>
      document('Node', host, {
        bgp: { ipv4Address: `${hostAddress(host)}/24`, ipv6Address: `${hostAddress6(host)}/64` },
      }),
    );
    this.apply(...nodes);
  }

  #logFile(host: HostName): string {
    return join(this.directory, `${host}.log`);
  }

  path(place: string): string {
    return `/run/netns/${this.#prefix}${place}`;
  }

  #addNamespace(place: string): void {
    const name = `${this.#prefix}${place}`;
    assert.equal(run('ip', ['netns', 'add', name]).code, 0);
    this.#namespaces.push(name);
    run('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  }
}

export function document(kind: string, name: string, spec: object): object {
  return { apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec };
}
