/**
 * A writer of bbolt files for tests: every shape that a reader may meet, from a few parameters.
 *
 * Where bbolt itself fills pages of 4 KiB, this one puts as few elements on a page as it is told, so that a handful of
 * entries makes a tree of several levels; small buckets are inline or have pages of their own, and long values overflow. Files
 * made by podman and containerd themselves are read in test/system/runtimes.
 */
import { fnv64a, META_BYTES, PAGE_HEAD_BYTES } from './bolt-page.ts';

/** Values by key; a bucket is again such a map. */
export interface Entries extends ReadonlyMap<string, string | Entries> {}

export interface Shape {
  readonly pageSize?: number;
  /** Elements on a page, at least 2. */
  readonly perPage?: number;
  /** Buckets without buckets in them and at most so many entries are inline. */
  readonly inlineMax?: number;
  /** Of the newer meta, whose page follows from its being even or odd. */
  readonly transaction?: bigint;
  /** What the older meta leads to; by default the same. */
  readonly before?: Entries;
}

/** Entries from an object, for tests to write them as they read. */
export function entries(record: Readonly<Record<string, string | Entries>>): Entries {
  return new Map(Object.entries(record));
}

/** The bytes of a file with these entries. */
export function boltFile(content: Entries, shape: Shape = {}): Uint8Array {
  const { before = content } = shape;
  const pages = new PageWriter({ pageSize: 4096, perPage: 3, inlineMax: 2, transaction: 7n, before, ...shape });
  return pages.finish(pages.tree(content), pages.tree(before));
}

interface Element {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly isBucket: boolean;
}

interface Child {
  readonly key: Uint8Array;
  readonly page: number;
}

const ELEMENT_BYTES = 16;

class PageWriter {
  readonly #shape: Required<Shape>;
  readonly #pages: Uint8Array[] = [];
  /** 0 and 1 are the metas, 2 and 3 what bbolt has there at first: the free list and an empty root. */
  #next = 4;

  constructor(shape: Required<Shape>) {
    this.#shape = shape;
  }

  /** Writes the pages of a bucket, the lowest first; gives the number of the topmost. */
  tree(content: Entries): number {
    const elements = this.#elements(content);
    let children: Child[] = chunks(elements, this.#shape.perPage).map((part) => ({
      key: part[0]?.key ?? new Uint8Array(),
      page: this.#write(leafPage(part)),
    }));
    while (children.length > 1) {
      children = chunks(children, this.#shape.perPage).map((part) => ({
        key: part[0]?.key ?? new Uint8Array(),
        page: this.#write(branchPage(part)),
      }));
    }
    return children[0]?.page ?? 0;
  }

  finish(root: number, rootBefore: number): Uint8Array {
    const { pageSize, transaction } = this.#shape;
    const file = new Uint8Array(this.#next * pageSize);
    for (const [meta, its] of [
      [this.#meta(rootBefore, transaction - 1n), transaction - 1n],
      [this.#meta(root, transaction), transaction],
    ] as const) {
      const id = Number(its % 2n);
      file.set(pageHead(id, 4, 0), id * pageSize);
      file.set(meta, id * pageSize + PAGE_HEAD_BYTES);
    }
    let offset = 4 * pageSize;
    for (const page of this.#pages) {
      file.set(page, offset);
      offset += page.length;
    }
    return file;
  }

  #elements(content: Entries): Element[] {
    return [...content]
      .map(([key, value]) => {
        const isBucket = typeof value !== 'string';
        return { key: bytesOf(key), value: isBucket ? this.#bucket(value) : bytesOf(value), isBucket };
      })
      .sort((a, b) => Buffer.compare(a.key, b.key));
  }

  #bucket(content: Entries): Uint8Array {
    const inline =
      content.size <= this.#shape.inlineMax && [...content.values()].every((each) => typeof each === 'string');
    const head = Buffer.alloc(ELEMENT_BYTES);
    if (!inline) head.writeBigUInt64LE(BigInt(this.tree(content)), 0);
    return inline ? Buffer.concat([head, leafPage(this.#elements(content))]) : head;
  }

  #write(content: Uint8Array): number {
    const { pageSize } = this.#shape;
    const id = this.#next;
    const count = Math.ceil(content.length / pageSize);
    const page = Buffer.alloc(count * pageSize);
    page.set(content);
    page.writeBigUInt64LE(BigInt(id), 0);
    page.writeUInt32LE(count - 1, 12);
    this.#next += count;
    this.#pages.push(page);
    return id;
  }

  #meta(root: number, transaction: bigint): Uint8Array {
    const meta = Buffer.alloc(META_BYTES);
    meta.writeUInt32LE(0xed0cdaed, 0);
    meta.writeUInt32LE(2, 4);
    meta.writeUInt32LE(this.#shape.pageSize, 8);
    meta.writeBigUInt64LE(BigInt(root), 16);
    meta.writeBigUInt64LE(2n, 32);
    meta.writeBigUInt64LE(BigInt(this.#next), 40);
    meta.writeBigUInt64LE(transaction, 48);
    meta.writeBigUInt64LE(fnv64a(meta.subarray(0, 56)), 56);
    return meta;
  }
}

function leafPage(elements: readonly Element[]): Uint8Array {
  return page(
    2,
    elements.map(({ key, value, isBucket }) => ({
      payload: Buffer.concat([key, value]),
      head: (head, position) => {
        head.writeUInt32LE(isBucket ? 1 : 0, 0);
        head.writeUInt32LE(position, 4);
        head.writeUInt32LE(key.length, 8);
        head.writeUInt32LE(value.length, 12);
      },
    })),
  );
}

function branchPage(children: readonly Child[]): Uint8Array {
  return page(
    1,
    children.map(({ key, page: child }) => ({
      payload: key,
      head: (head, position) => {
        head.writeUInt32LE(position, 0);
        head.writeUInt32LE(key.length, 4);
        head.writeBigUInt64LE(BigInt(child), 8);
      },
    })),
  );
}

interface Part {
  readonly payload: Uint8Array;
  /** Fills in the element's head; `position` counts from there to the payload. */
  readonly head: (head: Buffer, position: number) => void;
}

function page(flags: number, parts: readonly Part[]): Uint8Array {
  const heads = Buffer.alloc(parts.length * ELEMENT_BYTES);
  let position = heads.length;
  for (const [index, { payload, head }] of parts.entries()) {
    head(heads.subarray(index * ELEMENT_BYTES), position - index * ELEMENT_BYTES);
    position += payload.length;
  }
  return Buffer.concat([pageHead(0, flags, parts.length), heads, ...parts.map(({ payload }) => payload)]);
}

function pageHead(id: number, flags: number, count: number): Uint8Array {
  const head = Buffer.alloc(PAGE_HEAD_BYTES);
  head.writeBigUInt64LE(BigInt(id), 0);
  head.writeUInt16LE(flags, 8);
  head.writeUInt16LE(count, 10);
  return head;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  const count = Math.max(1, Math.ceil(items.length / size)); // an empty bucket has one empty leaf
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
