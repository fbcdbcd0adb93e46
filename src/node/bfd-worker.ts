/**
 * The thread that BFD runs in, so that the peers do not lose us while the agent's own thread is busy.
 *
 * It does a few microseconds of work for each packet, and asks to run before other threads do; where that is not permitted
 * it goes on without. Node starts this file in the thread; what it is told are `BfdCommand`s, what it says are `BfdReport`s.
 * It ends when it has obeyed `stop`. Started by bfd.ts.
 */
import { parentPort } from 'node:worker_threads';
import { KernelError } from '../kernel/kernel.ts';
import { setNiceness, setRealTimePriority } from '../kernel/system-calls.ts';
import { assert } from '../lib/assert.ts';
import type { BfdCommand } from './bfd-sockets.ts';
import { startBfdSockets } from './bfd-sockets.ts';

/** The lowest that is above all ordinary threads. */
const REAL_TIME_PRIORITY = 1;
const NICENESS = -20;

const port = parentPort;
assert(port !== null, 'bfd-worker.ts runs in a worker thread only');
raisePriority();
const sockets = startBfdSockets((report) => port.postMessage(report));
port.on('message', (command: BfdCommand) => {
  sockets.obey(command);
  if (command.kind === 'stop') port.close();
});

/** A container's limits may forbid the first, a missing capability both. */
function raisePriority(): void {
  for (const raise of [() => setRealTimePriority(REAL_TIME_PRIORITY), () => setNiceness(NICENESS)]) {
    try {
      raise();
      return;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
