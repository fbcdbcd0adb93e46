/**
 * Programs and maps of the kernel, made and asked about by bpf(2).
 *
 * Each is a file descriptor here, and lives in the kernel as long as a descriptor, a device or a program refers to it; an id leads
 * to a new descriptor. Attributes are C structs, written field by field; what a command does not use stays zero, else the
 * kernel refuses it. When the verifier refuses a program its log is the cause of the error, for whoever looks.
 *
 * Source: union bpf_attr, struct bpf_prog_info of linux/bpf.h. Called by attachment.ts and ipip-programs.ts.
 */
import { closeSync } from 'node:fs';
import { KernelError } from '../kernel.ts';
import { textOf } from '../netlink/message.ts';
import { addressOf, bpfCall } from '../system-calls.ts';

/** enum bpf_cmd. */
const COMMAND = {
  createMap: 0,
  lookup: 1,
  update: 2,
  delete: 3,
  nextKey: 4,
  loadProgram: 5,
  attach: 8,
  detach: 9,
  openProgram: 13,
  openMap: 14,
  information: 15,
  query: 16,
} as const;

const PROGRAM_TYPE_TRAFFIC = 3;
const MAP_TYPE_HASH = 1;
/** Rows are allocated when they are written. */
const MAP_NO_PREALLOCATION = 1;
/** Replace the program that `replace_bpf_fd` says, in one step. */
const ATTACH_REPLACE = 4;
const LICENSE = zeroTerminated('GPL');
const INSTRUCTION_LENGTH = 8;
const LOG_LENGTH = 1 << 20;
/** libbpf makes 5; on a busy machine with many children more signals than that may come. */
const LOAD_ATTEMPTS = 100;
const PROGRAM_INFORMATION_LENGTH = 80;
const MAP_INFORMATION_LENGTH = 40;
const NAME_LENGTH = 16;
/** More than the programs here refer to. */
const MAPS_OF_PROGRAM_MAX = 64;
/** The most that TCX lets be on one device (BPF_MPROG_MAX). */
const PROGRAMS_MAX = 64;

/** A point of a device's traffic, as bpf(2) numbers it (TCX, Linux 6.6). */
const TCX = { ingress: 46, egress: 47 } as const;
export type Direction = keyof typeof TCX;

export interface ProgramFacts {
  readonly id: number;
  readonly name: string;
  /** A hash of the instructions, the same for the same program whichever maps it has. */
  readonly tag: string;
  readonly maps: readonly number[];
}

/** Hands a program of device traffic to the verifier; gives its descriptor. */
export function loadProgram(name: string, instructions: Uint8Array): number {
  const load = (log: Uint8Array | undefined): number => {
    const attributes = new Attributes(120)
      .u32(0, PROGRAM_TYPE_TRAFFIC)
      .u32(4, instructions.length / INSTRUCTION_LENGTH)
      .pointer(8, instructions)
      .pointer(16, LICENSE)
      .text(48, name);
    if (log !== undefined) attributes.u32(24, 1).u32(28, log.length).pointer(32, log);
    return attributes.call(`loading program ${name}`, COMMAND.loadProgram);
  };
  for (let attempt = 1; ; attempt++) {
    try {
      return load(undefined);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // The verifier gives up when a signal is waiting for the process, which gets it before the next attempt.
      if (error.code === 'EAGAIN' && attempt < LOAD_ATTEMPTS) continue;
      if (error.code === 'EAGAIN') throw new KernelError('EAGAIN', `loading program ${name}: EAGAIN ${attempt} times`);
      error.cause = verifierLog(load);
      throw error;
    }
  }
}

/** The log makes loading slow and may itself be too long, so it is asked for when loading has failed. */
function verifierLog(load: (log: Uint8Array) => number): string | undefined {
  const log = new Uint8Array(LOG_LENGTH);
  try {
    closeSync(load(log));
  } catch {
    // as before
  }
  return textOf(log);
}

/** A hash map; `rowsMax` is a limit, not what it takes. */
export function createHashMap(name: string, keyLength: number, valueLength: number, rowsMax: number): number {
  return new Attributes(72)
    .u32(0, MAP_TYPE_HASH)
    .u32(4, keyLength)
    .u32(8, valueLength)
    .u32(12, rowsMax)
    .u32(16, MAP_NO_PREALLOCATION)
    .text(28, name)
    .call(`making map ${name}`, COMMAND.createMap);
}

/** The value of a key, which has `length` bytes; undefined when there is none. */
export function mapValue(map: number, key: Uint8Array, length: number): Uint8Array | undefined {
  const value = new Uint8Array(length);
  const attributes = new Attributes(32).u32(0, map).pointer(8, key).pointer(16, value);
  return absent(() => attributes.call('reading a map', COMMAND.lookup)) ? undefined : value;
}

export function putMapValue(map: number, key: Uint8Array, value: Uint8Array): void {
  new Attributes(32).u32(0, map).pointer(8, key).pointer(16, value).call('writing a map', COMMAND.update);
}

/** No such key is no error. */
export function removeMapValue(map: number, key: Uint8Array): void {
  const attributes = new Attributes(32).u32(0, map).pointer(8, key);
  absent(() => attributes.call('removing from a map', COMMAND.delete));
}

/** All keys of a map that nobody else removes from. */
export function mapKeys(map: number, keyLength: number): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (;;) {
    const previous = keys.at(-1);
    const key = new Uint8Array(keyLength);
    const attributes = new Attributes(32).u32(0, map).pointer(16, key);
    if (previous !== undefined) attributes.pointer(8, previous);
    if (absent(() => attributes.call('reading a map', COMMAND.nextKey))) return keys;
    keys.push(key);
  }
}

/** What is known of the program behind a descriptor. */
export function programFacts(program: number): ProgramFacts {
  const maps = new Uint8Array(4 * MAPS_OF_PROGRAM_MAX);
  const facts = information(program, PROGRAM_INFORMATION_LENGTH, (view) => {
    view.setUint32(52, MAPS_OF_PROGRAM_MAX, true);
    view.setBigUint64(56, addressOf(maps), true);
  });
  const count = Math.min(facts.getUint32(52, true), MAPS_OF_PROGRAM_MAX);
  return {
    id: facts.getUint32(4, true),
    name: textOf(new Uint8Array(facts.buffer, 64, NAME_LENGTH)) ?? '',
    tag: facts.getBigUint64(8, false).toString(16).padStart(16, '0'),
    maps: numbers(maps, count),
  };
}

export function mapId(map: number): number {
  return information(map, MAP_INFORMATION_LENGTH, () => undefined).getUint32(4, true);
}

/** A descriptor of the program with that id; undefined when it is gone. */
export function openProgram(id: number): number | undefined {
  return openById(`opening program ${id}`, COMMAND.openProgram, id);
}

export function openMap(id: number): number | undefined {
  return openById(`opening map ${id}`, COMMAND.openMap, id);
}

/** Ids of the programs at a device of the thread's namespace, in their order. Throws EINVAL where the kernel has no TCX. */
export function tcxPrograms(index: number, direction: Direction): number[] {
  const ids = new Uint8Array(4 * PROGRAMS_MAX);
  const attributes = new Attributes(64).u32(0, index).u32(4, TCX[direction]).pointer(16, ids).u32(24, PROGRAMS_MAX);
  attributes.call(`asking for the programs of device ${index}`, COMMAND.query);
  return numbers(ids, Math.min(attributes.view.getUint32(24, true), PROGRAMS_MAX));
}

/** Puts a program behind those that are at the device, or in the place of another one. */
export function attachTcx(index: number, direction: Direction, program: number, replaced: number | undefined): void {
  const attributes = new Attributes(32).u32(0, index).u32(4, program).u32(8, TCX[direction]);
  if (replaced !== undefined) attributes.u32(12, ATTACH_REPLACE).u32(16, replaced);
  attributes.call(`attaching to device ${index}`, COMMAND.attach);
}

export function detachTcx(index: number, direction: Direction, program: number): void {
  const attributes = new Attributes(32).u32(0, index).u32(4, program).u32(8, TCX[direction]);
  attributes.call(`detaching from device ${index}`, COMMAND.detach);
}

/** Does something with a descriptor, which is closed afterwards. */
export function closingAfter<Result>(descriptor: number, work: (descriptor: number) => Result): Result {
  try {
    return work(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** union bpf_attr, of the length that a command knows, with the buffers that it points to. */
class Attributes {
  readonly view: DataView;
  readonly #bytes: Uint8Array;
  readonly #kept: Uint8Array[] = [];

  constructor(length: number) {
    this.#bytes = new Uint8Array(length);
    this.view = new DataView(this.#bytes.buffer);
  }

  u32(offset: number, value: number): this {
    this.view.setUint32(offset, value, true);
    return this;
  }

  pointer(offset: number, buffer: Uint8Array): this {
    this.view.setBigUint64(offset, addressOf(buffer), true);
    this.#kept.push(buffer);
    return this;
  }

  text(offset: number, text: string): this {
    this.#bytes.set(new TextEncoder().encode(text).subarray(0, NAME_LENGTH - 1), offset);
    return this;
  }

  call(what: string, command: number): number {
    try {
      return bpfCall(what, command, this.#bytes);
    } finally {
      this.#kept.length = 0; // not before: the kernel follows the pointers
    }
  }
}

function information(descriptor: number, length: number, ask: (view: DataView) => void): DataView {
  const answer = new Uint8Array(length);
  const view = new DataView(answer.buffer);
  ask(view);
  const attributes = new Attributes(16).u32(0, descriptor).u32(4, length).pointer(8, answer);
  attributes.call('asking about a program or map', COMMAND.information);
  return view;
}

function openById(what: string, command: number, id: number): number | undefined {
  let descriptor: number | undefined;
  const gone = absent(() => {
    descriptor = new Attributes(16).u32(0, id).call(what, command);
  });
  return gone ? undefined : descriptor;
}

/** Does something; true when there was nothing to do it with (ENOENT). */
function absent(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOENT') return true;
    throw error;
  }
}

function numbers(bytes: Uint8Array, count: number): number[] {
  const view = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, index) => view.getUint32(index * 4, true));
}

function zeroTerminated(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
