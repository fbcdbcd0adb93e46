/**
 * A host of a lab with room for a container runtime: its network namespace, and a file system that the machine does not see.
 *
 * The runtime runs in the host's network namespace and in a mount namespace of its own, where /etc, /opt and /var/lib are
 * overlays on the machine's, so that what a runtime keeps at fixed places (CNI configuration, plugins, libcni's cache) is
 * private and gone afterwards. Only /run/netns stays shared: the agent must find a container's namespace by the path that the
 * runtime names. With a process namespace as well, everything that was started ends with its first process, which ends
 * with us, however we end. Not `ip netns exec`: it would remount /sys, and the runtime would not find its cgroups.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import type { AnyResource, KindName } from '../../../src/model/kinds.ts';
import { entryOfKind } from '../../../src/model/resource-entry.ts';
import type { WorkloadEndpoint } from '../../../src/model/workload-endpoint.ts';
import { openStore } from '../../../src/store/open-store.ts';
import type { Outcome } from '../two-hosts-fixture.ts';
import { run, TestLab } from '../two-hosts-fixture.ts';

export const PLUGIN_DIRECTORY = fileURLToPath(new URL('../../../build/cni', import.meta.url));
/** Where Debian has the other plugins. */
export const DEBIAN_PLUGIN_DIRECTORY = '/usr/lib/cni';
export const NETWORK = 'muslin';

/** The two hosts of the README, with agents and BGP, and no workloads: the runtimes bring them. */
export class RuntimeLab extends TestLab {
  constructor() {
    super('two-hosts');
    const { workloads: _workloads, checks: _checks, ...topology } = parse(readFileSync(this.file, 'utf8'));
    writeFileSync(this.file, stringify(topology));
  }

  get #store(): string {
    return `sqlite:///run/muslin/lab/${this.name}/store.db`;
  }

  runDirectory(host: string): string {
    return `/run/muslin/lab/${this.name}/${host}`;
  }

  /** The resources of some kinds in this lab's store. */
  async stored<Name extends KindName>(...kinds: Name[]): Promise<Extract<AnyResource, { readonly kind: Name }>[]> {
    const store = await openStore(this.#store);
    const { entries } = await store.list('/resources/');
    await store.close();
    return kinds.flatMap((kind) => entries.flatMap((entry) => entryOfKind(kind, entry) ?? []));
  }

  /** The endpoint that a container has, found by its address. */
  async endpointAt(address: string): Promise<WorkloadEndpoint> {
    const endpoints = await this.stored('WorkloadEndpoint');
    const endpoint = endpoints.find(({ spec }) => spec.ipNetworks?.includes(`${address}/32`));
    assert.ok(endpoint !== undefined, `no endpoint has ${address}`);
    return endpoint;
  }

  /** All that a container leaves where it was not removed: of the store, of a host's kernel, of /run/netns. */
  async traces(...hosts: string[]): Promise<Readonly<Record<string, unknown>>> {
    const blocks = await this.stored('IPAMBlock');
    const kernels = hosts.map((host) => ({
      devices: this.inside(host, 'ip', '-br', 'link').replaceAll(/ +$/gm, ''),
      routes: this.routes(host),
      rules: this.rules(host),
    }));
    return {
      endpoints: (await this.stored('WorkloadEndpoint')).map(({ metadata }) => metadata.name),
      handles: (await this.stored('IPAMHandle')).map(({ metadata }) => metadata.name),
      // A block remembers in which order its addresses were freed; who has which is what counts.
      allocated: blocks.map(({ spec }) => spec.allocations.flatMap((owner, index) => (owner === null ? [] : [index]))),
      namespaces: readdirSync('/run/netns').filter((name) => /^(netns|cni)-/.test(name)),
      kernels,
    };
  }

  /** Applies documents, given as YAML, to this lab's store. */
  apply(documents: string): void {
    const file = join(this.directory, 'documents.yaml');
    writeFileSync(file, documents);
    const outcome = this.muslin('apply', '-f', file, '--store', this.#store);
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  }

  remove(kind: string, name: string): void {
    const outcome = this.muslin('delete', kind, name, '--store', this.#store);
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  }
}

/** The network configuration list of a host, as docs/runtimes.md has it. */
export function conflist(lab: RuntimeLab, host: string): string {
  const muslin = {
    type: 'muslin',
    agentSocket: `${lab.runDirectory(host)}/cni.sock`,
    ipam: { type: 'muslin' },
    capabilities: { ips: true, mac: true, 'io.kubernetes.cri.pod-annotations': true },
  };
  const portmap = { type: 'portmap', capabilities: { portMappings: true }, snat: true };
  return JSON.stringify({ cniVersion: '1.0.0', name: NETWORK, plugins: [muslin, portmap] });
}

/**
 * For a host without a process namespace: when its input ends, what runs in its mount namespace is killed, and the containers, which
 * are children of those.
 */
const STAY_AND_END_ALL = `
set +e
cat
own=$(readlink /proc/$$/ns/mnt)
for process in /proc/[0-9]*; do
  [ "$process" = "/proc/$$" ] && continue
  [ "$(readlink "$process/ns/mnt" 2>/dev/null)" = "$own" ] || continue
  kill -9 $(cat "$process"/task/*/children 2>/dev/null) "\${process#/proc/}" 2>/dev/null
done
exit 0`;

export class RuntimeHost {
  readonly lab: RuntimeLab;
  readonly name: string;
  /** Of this host alone; the runtime's root, sockets and logs. */
  readonly directory: string;
  readonly #ownProcesses: boolean;
  #first: ChildProcess | undefined;

  /** `ownProcesses`: with a process namespace. Not for ctr, which names containers to CNI by their processes' numbers. */
  constructor(lab: RuntimeLab, name: string, options: { readonly ownProcesses: boolean }) {
    this.lab = lab;
    this.name = name;
    this.#ownProcesses = options.ownProcesses;
    this.directory = mkdtempSync(join(tmpdir(), `muslin-test-runtime-${name}-`));
  }

  /** Makes the namespaces. `files` are put below the private overlays, by their path. */
  async start(files: Readonly<Record<string, string>> = {}): Promise<void> {
    for (const top of ['etc', 'opt', 'var/lib']) {
      for (const part of ['upper', 'work']) mkdirSync(join(this.directory, part, top), { recursive: true });
    }
    for (const [path, text] of Object.entries(files)) {
      const place = join(this.directory, 'upper', path);
      mkdirSync(join(place, '..'), { recursive: true });
      writeFileSync(place, text);
    }
    const overlays = ['etc', 'opt', 'var/lib'].map((top) => {
      const options = `lowerdir=/${top},upperdir=${this.directory}/upper/${top},workdir=${this.directory}/work/${top}`;
      return `mount -t overlay overlay -o ${options} /${top}`;
    });
    // The machine's / is private in the copy; /run/netns goes on being shared, which is wanted.
    const ownMounts = [
      'mount -t tmpfs tmpfs /dev/shm',
      'mkdir -p /run/containerd',
      'mount -t tmpfs tmpfs /run/containerd',
    ];
    const stay = this.#ownProcesses ? 'exec catatonit -g -- cat' : STAY_AND_END_ALL;
    const script = ['set -e', ...overlays, ...ownMounts, 'echo ready', stay];
    const processes = this.#ownProcesses ? ['--pid', '--fork', '--mount-proc', '--kill-child'] : [];
    const unshare = ['unshare', '--mount', '--propagation', 'unchanged', ...processes, 'sh', '-c', script.join('\n')];
    const child = spawn('nsenter', [`--net=${this.lab.namespace(this.name)}`, ...unshare], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#first = child;
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    assert.equal(child.exitCode, null, 'the namespaces of a runtime could not be made');
  }

  get isRunning(): boolean {
    return this.#first !== undefined && this.#first.exitCode === null && this.#first.signalCode === null;
  }

  /** Ends the first process, and with a process namespace all that were started here; removes all files. */
  async stop(): Promise<void> {
    const child = this.#first;
    if (child !== undefined && this.isRunning) {
      child.stdin?.end();
      await once(child, 'exit');
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** What a program needs in front of it to run on this host. */
  command(program: string, ...args: string[]): [string, string[]] {
    const pid = this.#innerPid();
    const processes = this.#ownProcesses ? [`--pid=/proc/${pid}/ns/pid`] : [];
    const namespaces = [`--mount=/proc/${pid}/ns/mnt`, `--net=/proc/${pid}/ns/net`, ...processes];
    return ['nsenter', [...namespaces, '--', program, ...args]];
  }

  tryRun(program: string, ...args: string[]): Outcome {
    return run(...this.command(program, ...args));
  }

  /** Runs a program on this host; fails the test when the program fails. */
  run(program: string, ...args: string[]): string {
    const outcome = this.tryRun(program, ...args);
    assert.equal(outcome.code, 0, `${this.name}: ${program} ${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`);
    return outcome.stdout.trim();
  }

  /** As tryRun, while others run. */
  async runBeside(program: string, ...args: string[]): Promise<Outcome> {
    const child = spawn(...this.command(program, ...args), { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      stderr += chunk;
    });
    const [code] = await once(child, 'close');
    return { code: code ?? -1, stdout, stderr };
  }

  /** unshare forks for a process namespace, and stays outside itself. */
  #innerPid(): number {
    const pid = this.#first?.pid;
    assert.ok(pid !== undefined, 'the host has been started');
    if (!this.#ownProcesses) return pid;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
  }
}

/** Puts a busybox root file system into `directory`, all of whose programs are links, and a web page that says hello. */
export function makeRootFileSystem(directory: string): void {
  const busybox = '/bin/busybox';
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'www'])
    mkdirSync(join(directory, name), { recursive: true });
  copyFileSync(busybox, join(directory, 'bin/busybox'));
  for (const applet of run(busybox, ['--list']).stdout.trim().split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(directory, 'bin', applet));
  }
  writeFileSync(join(directory, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  writeFileSync(join(directory, 'etc/group'), 'root:x:0:\n');
  writeFileSync(join(directory, 'www/index.html'), 'hello\n');
}

/** A shell command for busybox that prints the web page at an address; it fails when there is none within some seconds. */
export function fetchCommand(address: string, port = 80, seconds = 10): string {
  // Its wget looks names up, for which a static program loads libraries that may not fit; its nc takes addresses as they are.
  return `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w ${seconds} ${address} ${port} | tail -n 1 | grep hello`;
}
