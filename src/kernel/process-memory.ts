/**
 * The memory of a process that is to stay small: what V8 and malloc keep for later, given back once it is not needed.
 *
 * A start leaves behind what it worked with: sources, a rehearsal's tables, a young space that has grown to 16 MB. V8
 * would keep the room for the next burst, malloc likewise. A daemon that holds large tables in typed arrays makes little
 * short-lived garbage, so that a small young space costs it nothing that can be measured.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { mapLargeBlocks, trimMalloc } from './system-calls.ts';

type Collect = (options: {
  readonly type: 'major';
  readonly execution: 'sync';
  readonly flavor: 'last-resort';
}) => void;

/** Above what a socket's reading takes (64 kB), which comes and goes all the time. */
const LARGE_BLOCK_BYTES = 128 * 1024;

/**
 * To be called early. The space for young objects stays as it is then, 1 MB; V8 would double it in each burst. Large arrays
 * that are let go are given back at once.
 */
export function holdLittleInReserve(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  mapLargeBlocks(LARGE_BLOCK_BYTES);
}

/** Collects all garbage and hands free memory back to the kernel. Takes some 30 ms, in which nothing else runs. */
export function releaseFreeMemory(): void {
  setFlagsFromString('--expose-gc'); // holds for contexts that are made from now on
  const collect = runInNewContext('gc') as Collect; // V8's own, as the flag has put it there
  setFlagsFromString('--no-expose-gc');
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  trimMalloc();
}
