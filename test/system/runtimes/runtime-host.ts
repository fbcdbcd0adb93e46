/**
 * A host of a lab with room for a container runtime: its network namespace, and a file system that the machine does not see.
 *
 * The runtime runs in the host's network namespace and in a mount namespace of its own, where /etc, /opt and /var/lib are
 * overlays on the machine's and /run is empty, so that what a runtime keeps at fixed places (CNI configuration, plugins,
 * libcni's cache, sockets) is private and gone afterwards. Only /run/netns stays shared: the agent must find a container's
 * namespace by the path that the runtime names. With a process namespace as well, everything that was started ends with its first process, which ends
 * with us, however we end. Not `ip netns exec`: it would remount /sys, and the runtime would not find its cgroups.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
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
import type { Outcome } from '../two-hosts-fixture.ts';
import { run } from '../two-hosts-fixture.ts';
import type { RuntimeLab } from './runtime-lab.ts';

const PREFIX = 'muslin-test-runtime-';
const CGROUPS = '/sys/fs/cgroup';

/**
 * The mounts of a host, made in its mount namespace. On a machine where mounts are shared ours would appear outside as well; so
 * all but those of network namespaces are made private first.
 */
const MOUNT = `
set -e
while read -r _ _ _ _ point _; do
  case "$point" in /run/netns*) ;; *) mount -n --make-private "$point" ;; esac
done </proc/self/mountinfo
for top in etc opt var/lib; do
  mount -n -t overlay overlay -o "lowerdir=/$top,upperdir=$directory/upper/$top,workdir=$directory/work/$top" "/$top"
done
mount -n -t tmpfs tmpfs /dev/shm
mkdir "$directory/run"
mount -n -t tmpfs tmpfs "$directory/run"
mkdir "$directory/run/netns" "$directory/run/muslin"
mount -n --rbind /run/netns "$directory/run/netns"
mount -n --bind /run/muslin "$directory/run/muslin"
mount -n --move "$directory/run" /run
echo ready
`;

/**
 * For a host with a process namespace: its first process, which ends when its input does, and all others with it. What a runtime
 * that was not asked would leave in /run/netns are the namespaces of containers that still run.
 */
const STAY = `
exec catatonit -g -- sh -c '
cat
for process in /proc/[0-9]*; do
  space=$(readlink "$process/ns/net")
  for file in /run/netns/netns-* /run/netns/cni-*; do
    [ "net:[$(stat -L -c %i "$file")]" = "$space" ] && umount -n "$file" && rm "$file"
  done
done 2>/dev/null
'`;

/** For one without: when its input ends, what runs in its mount namespace is killed, and its children, the containers. */
const STAY_AND_END_ALL = `
set +e
cat
own=$(readlink /proc/$$/ns/mnt)
[ -n "$own" ] && [ "$own" != "$(readlink /proc/1/ns/mnt)" ] || exit 1
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
    removeStale();
    this.directory = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-${name}-`));
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
    const processes = this.#ownProcesses ? ['--pid', '--fork', '--mount-proc', '--kill-child'] : [];
    const script = `directory=${this.directory}\n${MOUNT}${this.#ownProcesses ? STAY : STAY_AND_END_ALL}`;
    const unshare = ['unshare', '--mount', '--propagation', 'unchanged', ...processes, 'sh', '-c', script];
    const child = spawn('nsenter', [`--net=${this.lab.namespace(this.name)}`, ...unshare], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#first = child;
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    assert.equal(child.exitCode, null, 'the namespaces of a runtime could not be made');
  }

  /** Below which containers are to have their cgroups, in each hierarchy. */
  get cgroup(): string {
    return `/muslin-${this.lab.name}-${this.name}`;
  }

  get isRunning(): boolean {
    return this.#first !== undefined && this.#first.exitCode === null && this.#first.signalCode === null;
  }

  /** Ends all processes that were started here; removes all files. */
  async stop(): Promise<void> {
    const child = this.#first;
    if (child !== undefined && this.isRunning) {
      child.stdin?.end();
      await once(child, 'exit');
    }
    for (const hierarchy of ['', ...readdirSync(CGROUPS)]) {
      run('find', [join(CGROUPS, hierarchy, this.cgroup), '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']);
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

/** Removes the files of hosts whose test was killed; their processes have ended with it. */
function removeStale(): void {
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(PREFIX))) {
    const pid = name.slice(PREFIX.length).split('-')[0];
    if (!existsSync(`/proc/${pid}`)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
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
