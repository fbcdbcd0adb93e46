/**
 * One command under Debian's own kernel, in a virtual machine that sees this machine's files and cannot change them.
 *
 * For what the kernel under the tests does not have. It needs no support by the CPU: qemu translates the machine's code (TCG), which
 * makes JavaScript some fifty times slower; the kernel is up in ten seconds. The kernel's package is unpacked, not installed, by
 * `scripts/setup --test`. The machine has no network and no disk; of modules it has those that the command needs, loaded.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packInitialFiles } from './initial-files.ts';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
/** Where scripts/setup unpacks the package linux-image-…. */
const KERNEL = join(REPOSITORY, 'build/debian-kernel');
const QEMU = '/usr/bin/qemu-system-x86_64';
const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'];
/** For this machine's files (9p over virtio). */
const MODULES_OF_FILES = ['virtio_pci', '9pnet_virtio', '9p'];
const MEMORY_MB = 1024;

export interface Ended {
  /** Undefined when the command has not come to its end. */
  readonly code: number | undefined;
  readonly stdout: string;
  /** What the command wrote to stderr, and the kernel when it was in trouble. */
  readonly console: string;
}

/** What is missing for a virtual machine; undefined when nothing is. */
export function missingForVirtualMachine(): string | undefined {
  if (process.arch !== 'x64') return 'virtual machines are for x86-64 alone';
  if (!existsSync(QEMU)) return 'qemu is missing (Debian: qemu-system-x86)';
  if (kernelImage() === undefined) return `no kernel of Debian in ${KERNEL}`;
  return undefined;
}

/** Boots, runs a shell command as root in the repository's folder, and ends the machine, at the latest after `limitMs`. */
export async function runInVirtualMachine(
  command: string,
  modules: readonly string[],
  limitMs: number,
): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), 'muslin-vm-'));
  try {
    const initial = join(folder, 'initial');
    writeFileSync(initial, initialFiles(`cd '${REPOSITORY}' && ${command}`, [...MODULES_OF_FILES, ...modules]));
    const [console, output] = [join(folder, 'console'), join(folder, 'output')];
    const child = spawn(QEMU, qemuArguments(initial, console, output), { stdio: ['ignore', 'ignore', 'pipe'] });
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints += text;
    });
    const kill = (): boolean => child.kill('SIGKILL');
    process.on('exit', kill);
    AbortSignal.timeout(limitMs).addEventListener('abort', kill);
    await new Promise((resolve) => child.on('close', resolve));
    process.off('exit', kill);
    const [stdout, code] = splitOutput(textOf(output));
    return { code, stdout, console: textOf(console) + complaints };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function qemuArguments(initial: string, console: string, output: string): string[] {
  const kernel = kernelImage();
  if (kernel === undefined) throw new Error(`no kernel of Debian in ${KERNEL}`);
  // Random numbers come from the CPU: the machine has no other source, and Node.js waits for some when it starts.
  const words = 'console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on';
  const files = `local,path=/,mount_tag=outer,security_model=none,readonly=on,multidevs=remap`;
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-machine', 'pc', '-accel', 'tcg'],
    ...['-cpu', 'Nehalem,+rdrand', '-smp', '1', '-m', String(MEMORY_MB)],
    ...['-kernel', kernel, '-initrd', initial, '-append', words, '-virtfs', files],
    ...['-serial', `file:${console}`, '-serial', `file:${output}`],
  ];
}

function kernelImage(): string | undefined {
  return globSync(join(KERNEL, 'boot/vmlinuz-*'))[0];
}

function initialFiles(command: string, modules: readonly string[]): Uint8Array {
  const busybox = BUSYBOX.find((path) => existsSync(path));
  if (busybox === undefined) throw new Error('busybox is missing (Debian: busybox-static)');
  const files = inOrder(modules);
  const order = files.map((file) => `${basename(file)}\n`).join('');
  return packInitialFiles([
    ...['bin', 'dev', 'modules', 'proc', 'root'].map((path) => ({ path, bytes: undefined })),
    { path: 'bin/busybox', bytes: readFileSync(busybox) },
    { path: 'init', bytes: readFileSync(new URL('init', import.meta.url)) },
    { path: 'command', bytes: Buffer.from(command) },
    { path: 'modules/order', bytes: Buffer.from(order) },
    ...files.map((file) => ({ path: `modules/${basename(file)}`, bytes: readFileSync(file) })),
  ]);
}

/** The files of modules and of those that they need, which come before them. What has no file is part of the kernel. */
function inOrder(modules: readonly string[]): string[] {
  const byName = new Map(
    globSync(join(KERNEL, 'lib/modules/*/kernel/**/*.ko')).map((path) => [nameOf(basename(path, '.ko')), path]),
  );
  const files = new Set<string>();
  const add = (name: string): void => {
    const file = byName.get(nameOf(name));
    if (file === undefined || files.has(file)) return;
    // A module says in its own file, between zeros, what it needs.
    const needed = /\0depends=([^\0]*)\0/.exec(readFileSync(file, 'latin1'))?.[1] ?? '';
    for (const each of needed.split(',')) add(each);
    files.add(file);
  };
  for (const name of modules) add(name);
  return [...files];
}

/** Of a module "-" and "_" are the same. */
function nameOf(module: string): string {
  return module.replaceAll('-', '_');
}

/** What the command wrote, and its code, which the machine's first process adds. */
function splitOutput(output: string): [string, number | undefined] {
  const found = /^([\s\S]*)exit (\d+)\s*$/.exec(output);
  return found === null ? [output, undefined] : [found[1] ?? '', Number(found[2])];
}

/** Without the carriage returns of a serial line. */
function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\r', '') : '';
}
