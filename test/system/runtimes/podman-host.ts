/**
 * podman on a host of a lab: its configuration, an image with busybox, and what a test asks of its containers.
 *
 * Of podman's settings each is here because something fails without it: runc, for crun refuses a hybrid cgroup hierarchy;
 * cgroupfs, for there may be no systemd; limits that a container without CAP_SYS_RESOURCE may set. There is no `static_dir`: it is
 * not handed to conmon's cleanup, which then finds no such container. Used by podman.test.ts.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome } from '../two-hosts-fixture.ts';
import { run } from '../two-hosts-fixture.ts';
import { makeRootFileSystem, RuntimeHost } from './runtime-host.ts';
import type { RuntimeLab } from './runtime-lab.ts';
import { conflist, DEBIAN_PLUGIN_DIRECTORY, fetchCommand, NETWORK, PLUGIN_DIRECTORY } from './runtime-lab.ts';

const IMAGE = 'localhost/busybox:1';
/** What a container of the image does: it serves a web page that says hello. */
const COMMAND = ['httpd', '-f', '-p', '80', '-h', '/www'];

export class PodmanHost {
  readonly host: RuntimeHost;
  readonly #options: readonly string[];

  constructor(lab: RuntimeLab, name: string) {
    this.host = new RuntimeHost(lab, name, { ownProcesses: true });
    const { directory } = this.host;
    this.#options = [
      ...['--root', `${directory}/root`, '--runroot', `${directory}/run`, '--tmpdir', `${directory}/tmp`],
      ...['--storage-driver', 'overlay'],
    ];
  }

  async start(): Promise<void> {
    const { directory, lab, name } = this.host;
    mkdirSync(join(directory, 'cni'));
    writeFileSync(join(directory, 'cni/10-muslin.conflist'), conflist(lab, name));
    writeFileSync(join(directory, 'containers.conf'), containersConf(join(directory, 'cni')));
    // The agents of a lab look for podman's database here.
    symlinkSync(join(directory, 'root'), join(lab.runDirectory(name), 'podman'));
    await this.host.start();
    const rootFileSystem = mkdtempSync(join(directory, 'image-'));
    makeRootFileSystem(rootFileSystem);
    const archive = join(directory, 'image.tar');
    assert.equal(run('tar', ['-C', rootFileSystem, '-cf', archive, '.']).code, 0);
    rmSync(rootFileSystem, { recursive: true });
    this.podman('import', '-c', `CMD ${JSON.stringify(COMMAND)}`, '-c', 'ENV PATH=/bin', archive, IMAGE);
  }

  async stop(): Promise<void> {
    // Each removes its network namespace from /run/netns, which would outlive ours.
    if (this.host.isRunning) this.tryPodman('rm', '--force', '--all', '--time', '0');
    await this.host.stop();
  }

  podman(...args: string[]): string {
    const outcome = this.tryPodman(...args);
    assert.equal(outcome.code, 0, `${this.host.name}: podman ${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`);
    return outcome.stdout.trim();
  }

  tryPodman(...args: string[]): Outcome {
    return this.host.tryRun(...this.#command(args));
  }

  async podmanBeside(...args: string[]): Promise<void> {
    const outcome = await this.host.runBeside(...this.#command(args));
    assert.equal(outcome.code, 0, `${this.host.name}: podman ${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`);
  }

  /** Starts a container of the image that serves its web page; gives its address. */
  serve(name: string, ...options: string[]): string {
    this.podman(...this.runArguments(['--detach', '--name', name, ...options]));
    return this.address(name);
  }

  /** The arguments of `podman run` for a container of the image. */
  runArguments(options: readonly string[], command: readonly string[] = []): string[] {
    return ['run', '--cgroup-parent', this.host.cgroup, ...options, IMAGE, ...command];
  }

  address(container: string): string {
    const address = this.inspect(container, `.NetworkSettings.Networks.${NETWORK}.IPAddress`);
    assert.match(address, /^\d+\.\d+\.\d+\.\d+$/);
    return address;
  }

  /** A field of `podman inspect`, in Go's notation. */
  inspect(container: string, field: string): string {
    return this.podman('inspect', '--format', `{{${field}}}`, container);
  }

  /** Whether a container gets the web page at an address; the time is what to wait for it. */
  gets(
    container: string,
    address: string,
    options: { readonly port?: number; readonly seconds?: number } = {},
  ): boolean {
    const { port = 80, seconds = 10 } = options;
    return this.tryPodman('exec', container, 'sh', '-c', fetchCommand(address, port, seconds)).code === 0;
  }

  #command(args: readonly string[]): [string, ...string[]] {
    return ['env', `CONTAINERS_CONF=${this.host.directory}/containers.conf`, 'podman', ...this.#options, ...args];
  }
}

function containersConf(networks: string): string {
  return `
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
pids_limit = 0
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${PLUGIN_DIRECTORY}", "${DEBIAN_PLUGIN_DIRECTORY}"]
network_config_dir = "${networks}"
default_network = "${NETWORK}"
`;
}
