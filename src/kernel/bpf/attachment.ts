/**
 * Where a program hangs on a device's traffic: by TCX (Linux 6.6), or by tc's clsact before that.
 *
 * Both keep the program for as long as the device is there, whatever becomes of the process that put it there, and both replace
 * it in one step, so that no packet finds none. A program is found again by its name. Everything happens in the network namespace
 * of the calling thread.
 *
 * A clsact is shared with others. Whether we have made it is written into our filter's name, so that a process that never
 * saw it made takes it away with the filter, when no other filter is there.
 *
 * Called by ipip-programs.ts.
 */
import { assert } from '../../lib/assert.ts';
import type { IfIndex } from '../../net/kernel-objects.ts';
import { KernelError } from '../kernel.ts';
import type { NetlinkRequest } from '../netlink/message.ts';
import {
  decodeFilter,
  encodeClsactAdd,
  encodeClsactRemove,
  encodeFilterPut,
  encodeFilterRemove,
  encodeFiltersDump,
  type FilterPlace,
  type TrafficDirection,
  type TrafficFilter,
} from '../netlink/traffic-control.ts';
import { type ControlSocket, openControlSocket } from '../netlink-socket.ts';
import {
  attachTcx,
  closingAfter,
  detachTcx,
  openProgram,
  type ProgramFacts,
  programFacts,
  tcxPrograms,
} from './bpf-objects.ts';

export type AttachmentKind = 'tcx' | 'clsact';

export interface Attachment {
  /** The program of that name that is there; undefined when there is none. ENODEV: the device is gone. */
  find(index: IfIndex, direction: TrafficDirection, name: string): ProgramFacts | undefined;
  /** Puts a program there, in the place of the one with that name if there is one. */
  put(index: IfIndex, direction: TrafficDirection, name: string, program: number): void;
  /** Takes the program of that name away; none is no error. */
  remove(index: IfIndex, direction: TrafficDirection, name: string): void;
  close(): void;
}

/** What this kernel has, unless told; `lo` of the thread's namespace is asked about. */
export function openAttachment(loopback: IfIndex, kind: AttachmentKind | undefined): Attachment {
  return (kind ?? kindOf(loopback)) === 'tcx' ? TCX_ATTACHMENT : new ClsactAttachment();
}

function kindOf(loopback: IfIndex): AttachmentKind {
  try {
    tcxPrograms(loopback, 'ingress');
    return 'tcx';
  } catch (error) {
    if (error instanceof KernelError && error.code === 'EINVAL') return 'clsact';
    throw error;
  }
}

const TCX_ATTACHMENT: Attachment = {
  find: (index, direction, name) => withTcxProgram(index, direction, name, (_, facts) => facts),
  put: (index, direction, name, program) => {
    const replaced = withTcxProgram(index, direction, name, (old) => {
      attachTcx(index, direction, program, old);
      return true;
    });
    if (replaced === undefined) attachTcx(index, direction, program, undefined);
  },
  remove: (index, direction, name) => {
    withTcxProgram(index, direction, name, (old) => detachTcx(index, direction, old));
  },
  close: () => undefined,
};

/** Does something with the program of that name; undefined when there is none. */
function withTcxProgram<Result>(
  index: IfIndex,
  direction: TrafficDirection,
  name: string,
  work: (program: number, facts: ProgramFacts) => Result,
): Result | undefined {
  for (const id of tcxPrograms(index, direction)) {
    const descriptor = openProgram(id);
    if (descriptor === undefined) continue; // taken away since
    const found = closingAfter(descriptor, (program) => {
      const facts = programFacts(program);
      return facts.name === name ? { result: work(program, facts) } : undefined;
    });
    if (found !== undefined) return found.result;
  }
  return undefined;
}

/** Behind the name of a filter that hangs on a clsact of ours. */
const OWN_CLSACT = '+clsact';
/** One filter each at a priority that nobody else is likely to use. */
const PRIORITY = 20_100;
const HANDLE = 1;

class ClsactAttachment implements Attachment {
  readonly #control: ControlSocket = openControlSocket();

  find(index: IfIndex, direction: TrafficDirection, name: string): ProgramFacts | undefined {
    const id = this.#filter(index, direction, name)?.program;
    const descriptor = id === undefined ? undefined : openProgram(id);
    return descriptor === undefined ? undefined : closingAfter(descriptor, programFacts);
  }

  put(index: IfIndex, direction: TrafficDirection, name: string, program: number): void {
    const present = this.#filter(index, direction, name);
    const own = present?.name?.endsWith(OWN_CLSACT) ?? this.#makeClsact(index);
    const place: FilterPlace = { index, direction, priority: PRIORITY, handle: HANDLE };
    this.#ask(`putting a program on device ${index}`, encodeFilterPut(place, name + (own ? OWN_CLSACT : ''), program));
  }

  remove(index: IfIndex, direction: TrafficDirection, name: string): void {
    const present = this.#filter(index, direction, name);
    if (present === undefined) return;
    this.#ask(`taking a program off device ${index}`, encodeFilterRemove(present));
    const others = (['ingress', 'egress'] as const).flatMap((each) => this.#filters(index, each));
    if (!present.name?.endsWith(OWN_CLSACT) || others.length > 0) return;
    this.#ask(`removing the clsact of device ${index}`, encodeClsactRemove(index));
  }

  close(): void {
    this.#control.close();
  }

  /** Whether there was none before. */
  #makeClsact(index: IfIndex): boolean {
    try {
      this.#ask(`making a clsact on device ${index}`, encodeClsactAdd(index));
      return true;
    } catch (error) {
      if (error instanceof KernelError && error.code === 'EEXIST') return false;
      throw error;
    }
  }

  #filter(index: IfIndex, direction: TrafficDirection, name: string): TrafficFilter | undefined {
    return this.#filters(index, direction).find((filter) => filter.name === name || filter.name === name + OWN_CLSACT);
  }

  #filters(index: IfIndex, direction: TrafficDirection): TrafficFilter[] {
    let filters: TrafficFilter[] = [];
    this.#control.dump(
      encodeFiltersDump(index, direction),
      () => {
        filters = [];
      },
      (message) => {
        const filter = decodeFilter(message);
        if (filter !== undefined) filters.push(filter);
      },
    );
    return filters;
  }

  #ask(what: string, request: NetlinkRequest): void {
    try {
      this.#control.request(request);
    } catch (error) {
      assert(error instanceof Error, 'only errors are thrown');
      throw error instanceof KernelError ? new KernelError(error.code, `${what}: ${error.message}`) : error;
    }
  }
}
