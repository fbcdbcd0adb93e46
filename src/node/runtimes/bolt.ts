/**
 * Looking something up in a bbolt file that another program is writing to.
 *
 * A snapshot is what the newest meta leads to. bbolt never writes into a page of the newest snapshot, but it may into those of
 * older ones. So what was read is right if the newest snapshot is still the same one afterwards: whoever reads asks
 * `openSnapshot` again and compares `transaction`. No lock is taken.
 * Only the pages on the way are read, by a function that the caller gives. Depths, sizes and numbers of pages have limits, so
 * a damaged file ends as `Damage`, never in a loop. Called by container-databases.ts.
 */
import type { BoltMeta, Damage, LeafElement, TreePage } from './bolt-page.ts';
import {
  branchElementAt,
  keyAt,
  leafElementAt,
  META_BYTES,
  numberAt,
  PAGE_HEAD_BYTES,
  PAGE_SIZES,
  readMeta,
  readPageHead,
  readTreePage,
  viewOf,
} from './bolt-page.ts';

/** Reads exactly `length` bytes; undefined where the file has fewer. */
export type BoltSource = (offset: number, length: number) => Uint8Array | undefined;

export interface BoltSnapshot extends BoltMeta {
  readonly source: BoltSource;
}

/** Named values, some of which are buckets again: a tree of its own, or one page inside its parent's. */
export type Bucket =
  | { readonly kind: 'tree'; readonly root: number }
  | { readonly kind: 'inline'; readonly page: Uint8Array };

/** What stands under a key; undefined when nothing does. */
type Found = LeafElement | undefined | Damage;

/** 32 levels of two keys each would be more than any file can hold. */
const DEPTH_MAX = 32;
/** A value and its neighbours; containers' records have some ten thousand bytes. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024;
/** Root and sequence stand before an inline bucket's page. */
const BUCKET_HEAD_BYTES = 16;
/** The two metas and at least one page more stand before any tree. */
const FIRST_TREE_PAGE = 2;

/** The newest state that has been written as a whole. */
export function openSnapshot(source: BoltSource): BoltSnapshot | Damage {
  const first = metaAt(source, 0);
  // Where the second one stands is told by the first; if that is the broken one, by trying.
  const sizes = 'damage' in first ? PAGE_SIZES : [first.pageSize];
  const metas = [first, ...sizes.map((size) => metaAt(source, size))].flatMap((meta) =>
    'damage' in meta ? [] : [meta],
  );
  const [newest] = metas.toSorted((a, b) => (a.transaction < b.transaction ? 1 : -1));
  if (newest !== undefined) return { ...newest, source };
  return 'damage' in first ? first : { damage: 'no meta' };
}

/** The bucket that `path` leads to from the root; undefined when there is none. */
export function findBucket(snapshot: BoltSnapshot, path: readonly string[]): Bucket | undefined | Damage {
  let bucket: Bucket = { kind: 'tree', root: snapshot.root };
  for (const name of path) {
    const found = find(snapshot, bucket, name);
    if (found === undefined || 'damage' in found) return found;
    if (!found.isBucket) return undefined;
    const next = bucketOf(found.value);
    if ('damage' in next) return next;
    bucket = next;
  }
  return bucket;
}

/** The value of `key` in a bucket; undefined when there is none, or a bucket in its place. */
export function findValue(snapshot: BoltSnapshot, bucket: Bucket, key: string): Uint8Array | undefined | Damage {
  const found = find(snapshot, bucket, key);
  if (found === undefined || 'damage' in found) return found;
  return found.isBucket ? undefined : found.value;
}

/** The first `max` values of a bucket, by their keys' order; buckets in it are left out. */
export function listValues(snapshot: BoltSnapshot, bucket: Bucket, max: number): readonly LeafElement[] | Damage {
  const start = topPage(snapshot, bucket);
  if ('damage' in start) return start;
  const values: LeafElement[] = [];
  // Each leaf but that of an empty bucket has a value, and each branch two children: more pages than this go in circles.
  let pagesLeft = 2 * max + DEPTH_MAX;
  const pending: TreePage[] = [start];
  for (let page = pending.pop(); page !== undefined; page = pending.pop()) {
    if (--pagesLeft < 0) return { damage: 'a bucket with more pages than values' };
    for (let index = 0; index < page.count && page.kind === 'leaf'; index++) {
      if (values.length === max) return values;
      const element = leafElementAt(page, index);
      if ('damage' in element) return element;
      if (!element.isBucket) values.push(element);
    }
    // Last first, so that the first is next; no more of them than can matter.
    for (let index = Math.min(page.count, max) - 1; index >= 0 && page.kind === 'branch'; index--) {
      const element = branchElementAt(page, index);
      const child = 'damage' in element ? element : readPage(snapshot, element.page);
      if ('damage' in child) return child;
      pending.push(child);
    }
    if (pending.length > 2 * max + DEPTH_MAX) return { damage: 'a bucket with more pages than values' };
  }
  return values;
}

function find(snapshot: BoltSnapshot, bucket: Bucket, name: string): Found {
  const key = new TextEncoder().encode(name);
  let page = topPage(snapshot, bucket);
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    if ('damage' in page) return page;
    const index = lastNotAbove(page, key);
    if (typeof index !== 'number') return index;
    if (page.kind === 'leaf') {
      const element = index < 0 ? undefined : leafElementAt(page, index);
      if (element === undefined || 'damage' in element) return element;
      return compareKeys(element.key, key) === 0 ? element : undefined;
    }
    if (page.count === 0) return { damage: 'a branch without children' };
    // The first child also has what is below the key that its parent knows it by.
    const branch = branchElementAt(page, Math.max(index, 0));
    page = 'damage' in branch ? branch : readPage(snapshot, branch.page);
  }
  return { damage: `a tree of more than ${DEPTH_MAX} levels` };
}

/** The last element whose key is not above `key`; -1 when there is none. */
function lastNotAbove(page: TreePage, key: Uint8Array): number | Damage {
  let [low, high] = [0, page.count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = keyAt(page, middle);
    if ('damage' in found) return found;
    if (compareKeys(found, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** As Go's bytes.Compare: byte by byte, and a beginning of another key is below it. */
function compareKeys(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

function bucketOf(value: Uint8Array): Bucket | Damage {
  if (value.length < BUCKET_HEAD_BYTES) return { damage: 'a bucket without a head' };
  const root = numberAt(viewOf(value), 0);
  if (root === undefined) return { damage: 'a page number that is too large' };
  return root === 0 ? { kind: 'inline', page: value.subarray(BUCKET_HEAD_BYTES) } : { kind: 'tree', root };
}

function topPage(snapshot: BoltSnapshot, bucket: Bucket): TreePage | Damage {
  return bucket.kind === 'inline' ? readTreePage(bucket.page) : readPage(snapshot, bucket.root);
}

function readPage({ source, pageSize, pages }: BoltSnapshot, id: number): TreePage | Damage {
  if (id < FIRST_TREE_PAGE || id >= pages) return { damage: `page ${id} of ${pages}` };
  const bytes = source(id * pageSize, pageSize);
  if (bytes === undefined) return { damage: `the file ends before page ${id}` };
  const head = readPageHead(bytes);
  if ('damage' in head) return head;
  if (head.id !== id) return { damage: `page ${id} says that it is ${head.id}` };
  if (head.overflow === 0) return readTreePage(bytes);
  const length = (head.overflow + 1) * pageSize;
  if (length > PAGE_BYTES_MAX || id + head.overflow >= pages) return { damage: `page ${id} has ${length} bytes` };
  const whole = source(id * pageSize, length);
  return whole === undefined ? { damage: `the file ends inside page ${id}` } : readTreePage(whole);
}

function metaAt(source: BoltSource, page: number): BoltMeta | Damage {
  const bytes = source(page + PAGE_HEAD_BYTES, META_BYTES);
  return bytes === undefined ? { damage: 'the file ends before its first two pages' } : readMeta(bytes);
}
