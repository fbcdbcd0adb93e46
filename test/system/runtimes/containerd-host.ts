/**
 * containerd on a host of a lab, with its own root, state and socket; driven by `ctr`, or by CRI as a kubelet does it.
 *
 * ctr knows neither options nor a configuration for CNI: it reads /etc/cni/net.d and /opt/cni/bin, which are private to the host
 * here. A container's root is a directory, so no image is needed but CRI's sandbox. Used by ctr.test.ts and cri.test.ts.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome } from '../two-hosts-fixture.ts';
import { run } from '../two-hosts-fixture.ts';
import { makeRootFileSystem, RuntimeHost } from './runtime-host.ts';
import type { RuntimeLab } from './runtime-lab.ts';
import { conflist, DEBIAN_PLUGIN_DIRECTORY, fetchCommand, PLUGIN_DIRECTORY } from './runtime-lab.ts';

/** The image of CRI's sandboxes, made from the root file system; nothing is fetched. */
const SANDBOX_IMAGE = 'localhost/sandbox:1';

export class ContainerdHost {
  readonly host: RuntimeHost;
  #daemon: ChildProcess | undefined;
  #execs = 0;

  constructor(lab: RuntimeLab, name: string, options: { readonly ownProcesses: boolean }) {
    this.host = new RuntimeHost(lab, name, options);
  }

  get socket(): string {
    return join(this.host.directory, 'containerd.sock');
  }

  get rootFileSystem(): string {
    return join(this.host.directory, 'busybox');
  }

  async start(): Promise<void> {
    const { directory, lab, name } = this.host;
    makeRootFileSystem(this.rootFileSystem);
    const plugins = join(directory, 'upper/opt/cni/bin');
    mkdirSync(plugins, { recursive: true });
    symlinkSync(join(PLUGIN_DIRECTORY, 'muslin'), join(plugins, 'muslin'));
    for (const plugin of ['portmap', 'loopback'])
      symlinkSync(join(DEBIAN_PLUGIN_DIRECTORY, plugin), join(plugins, plugin));
    writeFileSync(join(directory, 'config.toml'), configuration(directory));
    // The agents of a lab look for containerd's database here.
    symlinkSync(join(directory, 'root'), join(lab.runDirectory(name), 'containerd'));
    await this.host.start({ 'etc/cni/net.d/10-muslin.conflist': conflist(lab, name) });
    const log = openSync(join(directory, 'containerd.log'), 'w');
    const command = this.host.command('containerd', '--config', join(directory, 'config.toml'));
    this.#daemon = spawn(...command, { stdio: ['ignore', log, log] });
    closeSync(log);
    await lab.eventually(`containerd answers on ${name}: ${this.#log()}`, () => this.tryCtr('version').code === 0);
  }

  async stop(): Promise<void> {
    // containerd itself ends with the host; waiting for it, its files are closed when they are removed.
    const daemon = this.#daemon;
    const ended = daemon === undefined || daemon.exitCode !== null ? undefined : once(daemon, 'exit');
    if (this.host.isRunning) {
      for (const namespace of ['default', 'k8s.io']) this.removeContainers(namespace);
      daemon?.kill('SIGTERM');
    }
    await ended;
    await this.host.stop();
  }

  ctr(...args: string[]): string {
    return this.host.run('ctr', '--address', this.socket, ...args);
  }

  tryCtr(...args: string[]): Outcome {
    return this.host.tryRun('ctr', '--address', this.socket, ...args);
  }

  /** Gives CRI the image that its sandboxes are made of: the root file system in one layer, serving a web page. */
  importSandboxImage(): void {
    const folder = join(this.host.directory, 'image');
    mkdirSync(folder);
    assert.equal(run('tar', ['-C', this.rootFileSystem, '-cf', join(folder, 'layer.tar'), '.']).code, 0);
    const layer = createHash('sha256')
      .update(readFileSync(join(folder, 'layer.tar')))
      .digest('hex');
    const configuration = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/bin'], Cmd: ['httpd', '-f', '-p', '80', '-h', '/www'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(configuration));
    const manifest = [{ Config: 'config.json', RepoTags: [SANDBOX_IMAGE], Layers: ['layer.tar'] }];
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
    const archive = join(this.host.directory, 'image.tar');
    assert.equal(run('tar', ['-C', folder, '-cf', archive, '.']).code, 0);
    this.ctr('--namespace', 'k8s.io', 'images', 'import', archive);
  }

  /** As tryCtr, while others run. */
  ctrBeside(...args: string[]): Promise<Outcome> {
    return this.host.runBeside('ctr', '--address', this.socket, ...args);
  }

  /** Starts a container that serves a web page; gives its address. */
  serve(id: string, ...options: string[]): string {
    this.ctr(...this.runArguments(id, ['--detach', ...options], ['httpd', '-f', '-p', '80', '-h', '/www']));
    return this.address(id);
  }

  /** The arguments of `ctr run` for a container with CNI. */
  runArguments(id: string, options: readonly string[], command: readonly string[]): string[] {
    return [
      'run',
      '--cni',
      '--cgroup',
      `${this.host.cgroup}/${id}`,
      '--env',
      'PATH=/bin',
      ...options,
      '--rootfs',
      this.rootFileSystem,
      id,
      ...command,
    ];
  }

  address(id: string): string {
    const text = this.inside(id, 'ip', '-o', '-4', 'address', 'show', 'eth0');
    const [, address] = /inet ([0-9.]+)\/32 /.exec(text) ?? [];
    assert.ok(address !== undefined, text);
    return address;
  }

  /**
   * Runs a program of the machine in a container's network namespace. Of what `ctr task exec` runs only the exit code is certain: ctr
   * may end before it has copied the output. Only without a process namespace, where ctr's numbers are the machine's.
   */
  inside(id: string, ...command: string[]): string {
    const tasks = this.ctr('task', 'list');
    const [, pid] = new RegExp(`^${id} +(\\d+) +RUNNING`, 'm').exec(tasks) ?? [];
    assert.ok(pid !== undefined, `${id} does not run:\n${tasks}`);
    const outcome = run('nsenter', [`--net=/proc/${pid}/ns/net`, ...command]);
    assert.equal(outcome.code, 0, outcome.stderr);
    return outcome.stdout;
  }

  /** Whether a container reaches an address. */
  reaches(id: string, address: string): boolean {
    return this.#execCode(id, 'ping', '-c', '1', '-W', '10', address) === 0;
  }

  /** Whether a container gets the web page at an address; the time is what to wait for it. */
  gets(id: string, address: string, seconds = 10): boolean {
    return this.#execCode(id, 'sh', '-c', fetchCommand(address, 80, seconds)) === 0;
  }

  #execCode(id: string, ...command: string[]): number {
    return this.tryCtr('task', 'exec', '--exec-id', `exec${this.#execs++}`, id, ...command).code;
  }

  /** Removes all containers of a namespace of containerd. */
  removeContainers(namespace: string): void {
    const list = (what: string) => this.tryCtr('--namespace', namespace, what, 'list', '--quiet').stdout.split('\n');
    for (const id of list('task').filter((each) => each !== '')) {
      this.tryCtr('--namespace', namespace, 'task', 'delete', '--force', id);
    }
    for (const id of list('container').filter((each) => each !== '')) {
      this.tryCtr('--namespace', namespace, 'container', 'delete', id);
    }
  }

  #log(): string {
    return readFileSync(join(this.host.directory, 'containerd.log'), 'utf8').slice(-2000);
  }
}

function configuration(directory: string): string {
  return `
version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "${directory}/containerd.sock"
[ttrpc]
  address = "${directory}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${SANDBOX_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
}
