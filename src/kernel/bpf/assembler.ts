/**
 * An assembler for eBPF: a program is a list of values, one an instruction or a label, and becomes the bytes for bpf(2).
 *
 * An instruction has 64 bits: opcode, destination and source register (4 bits each), a signed offset of 16 bits, a signed
 * immediate of 32. The opcode is a class (arithmetic of 64 bits, jumps, loads, stores), an operation, and whether the second
 * operand is a register or the immediate. Loads and stores are in the machine's byte order, little-endian; what comes from
 * a packet is swapped by `toNetworkOrder`. Jumps name labels, and are counted in instructions from the next one.
 *
 * Pure. Source: RFC 9669 (the instruction set). Called by the programs beside this file.
 */
import { assert } from '../../lib/assert.ts';

/** A register, as opposed to a number, which is an immediate. */
export interface Register {
  readonly register: number;
}

const register = (number: number): Register => ({ register: number });
/** What a call gives. */
export const r0 = register(0);
/** Arguments of calls, which do not outlive one. */
export const r1 = register(1);
export const r2 = register(2);
export const r3 = register(3);
export const r4 = register(4);
export const r5 = register(5);
/** These outlive calls. */
export const r6 = register(6);
export const r7 = register(7);
export const r8 = register(8);
export const r9 = register(9);
/** The end of the stack, which lies below it, 512 bytes; read-only. */
export const stack = register(10);

export type Width = 1 | 2 | 4 | 8;

export type Step =
  | { readonly kind: 'label'; readonly name: string }
  | { readonly kind: 'plain'; readonly words: readonly Word[] }
  | { readonly kind: 'jump'; readonly word: Word; readonly label: string };

/** One instruction of 64 bits. */
interface Word {
  readonly opcode: number;
  readonly destination: number;
  readonly source: number;
  readonly offset: number;
  readonly immediate: number;
}

const CLASS = {
  load: 0x01,
  storeImmediate: 0x02,
  store: 0x03,
  arithmetic32: 0x04,
  jump: 0x05,
  arithmetic: 0x07,
} as const;
/** Of loads and stores: an address in a register and an offset. */
const MODE_MEMORY = 0x60;
const SIZE: Readonly<Record<Width, number>> = { 4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18 };
/** Set where the second operand is a register. */
const FROM_REGISTER = 0x08;
const LOAD_IMMEDIATE_64 = 0x18;
/** Source "register" of a 64-bit immediate that is the file descriptor of a map. */
const PSEUDO_MAP_DESCRIPTOR = 1;
const CALL = 0x85;
const EXIT = 0x95;
const TO_BIG_ENDIAN = 0xd8;
const OPERATION = {
  '+': 0x00,
  '-': 0x10,
  '*': 0x20,
  '|': 0x40,
  '&': 0x50,
  '<<': 0x60,
  '>>': 0x70,
  '^': 0xa0,
  '=': 0xb0,
} as const;
const CONDITION = { '==': 0x10, '>': 0x20, '>=': 0x30, '&': 0x40, '!=': 0x50, '<': 0xa0, '<=': 0xb0 } as const;
export type Operation = keyof typeof OPERATION;
/** Comparisons are unsigned; "&" is whether they have a bit in common. */
export type Condition = keyof typeof CONDITION;

const INSTRUCTION_LENGTH = 8;
const STACK_LENGTH = 512;
const OFFSET_MAX = 0x7fff;

/** The place that jumps to `name` go to. */
export function label(name: string): Step {
  return { kind: 'label', name };
}

/** destination = destination OPERATION operand, in 64 bits; "=" copies. */
export function compute(destination: Register, operation: Operation, operand: Register | number): Step {
  return plain(binary(CLASS.arithmetic | OPERATION[operation], destination, operand, 0));
}

/** The lower 16 or 32 bits swapped, the others cleared: from a packet's byte order to the machine's, and back. */
export function toNetworkOrder(destination: Register, bits: 16 | 32): Step {
  return plain(word(CLASS.arithmetic32 | TO_BIG_ENDIAN, destination.register, 0, 0, bits));
}

/** destination = the number of `width` bytes at address + offset; the upper bits are cleared. */
export function load(width: Width, destination: Register, address: Register, offset: number): Step {
  return plain(word(CLASS.load | MODE_MEMORY | SIZE[width], destination.register, address.register, offset, 0));
}

/** Writes the lower `width` bytes of a register or a number to address + offset. */
export function store(width: Width, address: Register, offset: number, value: Register | number): Step {
  const mode = MODE_MEMORY | SIZE[width];
  if (typeof value === 'number') return plain(word(CLASS.storeImmediate | mode, address.register, 0, offset, value));
  return plain(word(CLASS.store | mode, address.register, value.register, offset, 0));
}

/** destination = the map behind a file descriptor, for calls that take a map. */
export function loadMap(destination: Register, descriptor: number): Step {
  const first = word(LOAD_IMMEDIATE_64, destination.register, PSEUDO_MAP_DESCRIPTOR, 0, descriptor);
  return { kind: 'plain', words: [first, word(0, 0, 0, 0, 0)] };
}

/** destination = the address of a place on the stack. */
export function stackAddress(destination: Register, offset: number): readonly Step[] {
  assert(offset < 0 && offset >= -STACK_LENGTH, `the stack is from -${STACK_LENGTH} to -1, and ${offset} is outside`);
  return [compute(destination, '=', stack), compute(destination, '+', offset)];
}

/** Goes on at a label if the condition holds. */
export function jumpIf(first: Register, condition: Condition, second: Register | number, target: string): Step {
  return { kind: 'jump', word: binary(CLASS.jump | CONDITION[condition], first, second, 0), label: target };
}

export function jump(target: string): Step {
  return { kind: 'jump', word: word(CLASS.jump, 0, 0, 0, 0), label: target };
}

/** r0 = what the kernel's function of that number gives for r1 to r5, which are lost. */
export function call(functionNumber: number): Step {
  return plain(word(CALL, 0, 0, 0, functionNumber));
}

/** Ends the program with r0. */
export function exit(): Step {
  return plain(word(EXIT, 0, 0, 0, 0));
}

/** The bytes of a program. A label that is missing or there twice, and a number that does not fit, is a bug of the program. */
export function assemble(steps: readonly Step[]): Uint8Array {
  const places = new Map<string, number>();
  let count = 0;
  for (const step of steps) {
    if (step.kind === 'label') {
      assert(!places.has(step.name), `label "${step.name}" is there twice`);
      places.set(step.name, count);
    } else count += step.kind === 'plain' ? step.words.length : 1;
  }
  const bytes = new Uint8Array(count * INSTRUCTION_LENGTH);
  const view = new DataView(bytes.buffer);
  let index = 0;
  for (const step of steps) {
    if (step.kind === 'label') continue;
    if (step.kind === 'plain') for (const each of step.words) write(view, index++, each);
    else {
      const place = places.get(step.label);
      assert(place !== undefined, `there is no label "${step.label}" to jump to`);
      write(view, index, { ...step.word, offset: place - index - 1 });
      index++;
    }
  }
  return bytes;
}

function plain(each: Word): Step {
  return { kind: 'plain', words: [each] };
}

function binary(opcode: number, destination: Register, operand: Register | number, offset: number): Word {
  if (typeof operand === 'number') return word(opcode, destination.register, 0, offset, operand);
  return word(opcode | FROM_REGISTER, destination.register, operand.register, offset, 0);
}

function word(opcode: number, destination: number, source: number, offset: number, immediate: number): Word {
  return { opcode, destination, source, offset, immediate };
}

function write(view: DataView, index: number, { opcode, destination, source, offset, immediate }: Word): void {
  assert(Math.abs(offset) <= OFFSET_MAX, `an offset of ${offset}: at most ${OFFSET_MAX}`);
  assert(immediate >= -(2 ** 31) && immediate < 2 ** 32, `an immediate of ${immediate}: it has 32 bits`);
  const start = index * INSTRUCTION_LENGTH;
  view.setUint8(start, opcode);
  view.setUint8(start + 1, destination | (source << 4));
  view.setInt16(start + 2, offset, true);
  view.setUint32(start + 4, immediate >>> 0, true);
}
