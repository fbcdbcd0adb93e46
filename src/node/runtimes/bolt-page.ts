/**
 * Pages of a bbolt file, as values: the database in which podman and containerd keep their containers.
 *
 * Such a file is pages of one size. The first two are metas, written in turn; the one of the later transaction whose checksum
 * holds says where the tree of the root bucket begins. A page of a tree is a branch (keys and the pages below them) or a leaf
 * (keys and values); one that needs more room goes on in the pages after it. All numbers are little-endian.
 * Format: go.etcd.io/bbolt, page.go and db.go, version 2. The bytes belong to another program, so whatever is wrong with them
 * is a `Damage`; nothing here throws. Called by bolt.ts.
 */

/** What is wrong with the file, in words. */
export interface Damage {
  readonly damage: string;
}

export interface BoltMeta {
  readonly pageSize: number;
  /** The page at which the root bucket's tree begins. */
  readonly root: number;
  /** No page has this number or a higher one. */
  readonly pages: number;
  readonly transaction: bigint;
}

export interface BranchElement {
  readonly key: Uint8Array;
  readonly page: number;
}

export interface LeafElement {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Whether the value is a bucket and not bytes of the user's. */
  readonly isBucket: boolean;
}

/** A page of a tree; its elements are read when they are looked at, for a search looks at few. */
export interface TreePage {
  readonly kind: 'branch' | 'leaf';
  readonly count: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export interface PageHead {
  readonly id: number;
  /** Pages after this one that belong to it. */
  readonly overflow: number;
}

export const PAGE_HEAD_BYTES = 16;
export const META_BYTES = 64;
/** bbolt takes the system's page size: 4 KiB, on some machines 16 or 64. */
export const PAGE_SIZES: readonly number[] = [4096, 8192, 16384, 32768, 65536];

const BRANCH_FLAG = 0x01;
const LEAF_FLAG = 0x02;
const BUCKET_FLAG = 0x01;
const MAGIC = 0xed0cdaed;
const VERSION = 2;
const ELEMENT_BYTES = 16;
/** The checksum is over all that stands before it in the meta. */
const CHECKSUM_OFFSET = META_BYTES - 8;
const FNV_OFFSET_BASIS = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** Reads a meta; `bytes` begins after the page's head. */
export function readMeta(bytes: Uint8Array): BoltMeta | Damage {
  if (bytes.length < META_BYTES) return { damage: `a meta of ${bytes.length} bytes; it has ${META_BYTES}` };
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== MAGIC) return { damage: 'no bbolt file: its magic number is missing' };
  const version = view.getUint32(4, true);
  if (version !== VERSION) return { damage: `version ${version} of the format; ${VERSION} is known` };
  if (view.getBigUint64(CHECKSUM_OFFSET, true) !== fnv64a(bytes.subarray(0, CHECKSUM_OFFSET))) {
    return { damage: 'a meta whose checksum is wrong' };
  }
  const pageSize = view.getUint32(8, true);
  const root = numberAt(view, 16);
  const pages = numberAt(view, 40);
  if (!PAGE_SIZES.includes(pageSize)) return { damage: `pages of ${pageSize} bytes` };
  if (root === undefined || pages === undefined || root >= pages) return { damage: 'a root page beyond the end' };
  return { pageSize, root, pages, transaction: view.getBigUint64(48, true) };
}

export function readPageHead(bytes: Uint8Array): PageHead | Damage {
  if (bytes.length < PAGE_HEAD_BYTES) return { damage: 'a page without a head' };
  const view = viewOf(bytes);
  const id = numberAt(view, 0);
  return id === undefined ? { damage: 'a page number that is too large' } : { id, overflow: view.getUint32(12, true) };
}

/** Reads a page of a tree with all that overflows; of its elements only that their table is inside. */
export function readTreePage(bytes: Uint8Array): TreePage | Damage {
  if (bytes.length < PAGE_HEAD_BYTES) return { damage: 'a page without a head' };
  const view = viewOf(bytes);
  const flags = view.getUint16(8, true);
  const count = view.getUint16(10, true);
  if (flags !== BRANCH_FLAG && flags !== LEAF_FLAG) return { damage: `a page of kind ${flags} in a tree` };
  if (PAGE_HEAD_BYTES + count * ELEMENT_BYTES > bytes.length) return { damage: `${count} elements beyond the page` };
  return { kind: flags === LEAF_FLAG ? 'leaf' : 'branch', count, bytes, view };
}

/** The key of the element at `index`, which is below `page.count`. */
export function keyAt({ kind, bytes, view }: TreePage, index: number): Uint8Array | Damage {
  const at = elementOffset(index);
  const [position, length] = kind === 'leaf' ? [at + 4, at + 8] : [at, at + 4];
  return within(bytes, at + view.getUint32(position, true), view.getUint32(length, true));
}

/** The element at `index` of a branch. */
export function branchElementAt(page: TreePage, index: number): BranchElement | Damage {
  const key = keyAt(page, index);
  if ('damage' in key) return key;
  const child = numberAt(page.view, elementOffset(index) + 8);
  return child === undefined ? { damage: 'a page number that is too large' } : { key, page: child };
}

/** The element at `index` of a leaf. */
export function leafElementAt(page: TreePage, index: number): LeafElement | Damage {
  const key = keyAt(page, index);
  if ('damage' in key) return key;
  const { bytes, view } = page;
  const at = elementOffset(index);
  const value = within(bytes, at + view.getUint32(at + 4, true) + key.length, view.getUint32(at + 12, true));
  if ('damage' in value) return value;
  return { key, value, isBucket: (view.getUint32(at, true) & BUCKET_FLAG) !== 0 };
}

/** FNV-1a, 64 bits (draft-eastlake-fnv). */
export function fnv64a(bytes: Uint8Array): bigint {
  let hash = FNV_OFFSET_BASIS;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash;
}

function elementOffset(index: number): number {
  return PAGE_HEAD_BYTES + index * ELEMENT_BYTES;
}

function within(bytes: Uint8Array, offset: number, length: number): Uint8Array | Damage {
  if (offset + length > bytes.length) return { damage: 'a key or value beyond its page' };
  return bytes.subarray(offset, offset + length);
}

/** A 64-bit number that counts pages; undefined for one that no file can need. */
export function numberAt(view: DataView, offset: number): number | undefined {
  const value = view.getBigUint64(offset, true);
  return value > 0xffff_ffffn ? undefined : Number(value);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
