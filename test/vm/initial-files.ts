/**
 * The files that a kernel finds when it starts: an archive in the format that Linux unpacks into its first root (cpio "newc").
 *
 * Each file is a header of hexadecimal numbers, its name and its bytes, both filled up to a multiple of four; a name that is agreed
 * upon ends the archive. Source: Documentation/driver-api/early-userspace/buffer-format.rst.
 */

export interface InitialFile {
  readonly path: string;
  /** Undefined for a directory, which comes before what is in it. */
  readonly bytes: Uint8Array | undefined;
}

const MAGIC = '070701';
const MODE = { directory: 0o040755, program: 0o100755 } as const;
const END = 'TRAILER!!!';

export function packInitialFiles(files: readonly InitialFile[]): Uint8Array {
  const parts = [...files, { path: END, bytes: new Uint8Array(0) }].flatMap(({ path, bytes }, index) => {
    const name = Buffer.from(`${path}\0`);
    const size = bytes?.length ?? 0;
    const mode = bytes === undefined ? MODE.directory : MODE.program;
    // Inode, mode, owner, group, links, time, size, device and special device in two halves each, length of the name, checksum.
    const fields = [index + 1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from(MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join(''));
    return [header, name, padding(header.length + name.length), bytes ?? new Uint8Array(0), padding(size)];
  });
  return Buffer.concat(parts);
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
