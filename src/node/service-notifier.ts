/**
 * What the service manager learns of the agent: that it is ready, how it is, that its event loop turns, and that it stops.
 *
 *   READY=1      once, when the agent has everything in force for the first time and answers on its sockets
 *   STATUS=…     a line for `systemctl status`, when it has changed
 *   WATCHDOG=1   twice in the time that the service manager allows, from the event loop: a loop that hangs sends none
 *   STOPPING=1   once, at the end
 *
 * Asked for by the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (sd_notify(3), sd_watchdog_enabled(3)); where
 * they are not set, or meant for another process, nothing happens. A service manager that is gone is no reason to stop.
 */
import { KernelError } from '../kernel/kernel.ts';
import { openNotifySocket } from '../kernel/notify-socket.ts';
import type { Log } from '../lib/log.ts';

export type ServiceEnvironment = Readonly<Record<string, string | undefined>>;

/** How often the status line is looked at when no watchdog wants more. */
const BEAT_MS = 5_000;
/** A watchdog of less would take more of the processor than it is worth. */
const BEAT_MIN_MS = 10;
/** `systemctl status` shows one line. */
const STATUS_LENGTH_MAX = 200;

export interface ServiceNotifier {
  ready(): void;
  stopping(): void;
  /** No beat comes after it. */
  close(): void;
}

/** `status` gives the line to be shown now; it is asked at each beat. */
export function openServiceNotifier(options: {
  readonly environment: ServiceEnvironment;
  readonly pid: number;
  readonly status: () => string;
  readonly log: Log;
}): ServiceNotifier {
  const { environment, pid, status, log } = options;
  const path = environment['NOTIFY_SOCKET'] ?? '';
  if (path === '') return { ready: () => undefined, stopping: () => undefined, close: () => undefined };
  const watchdogMs = watchdogTime(environment, pid);
  let shown = '';
  let complained = false;
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (!complained) log.warn('the service manager was not told', { socket: path, error: error.message });
      complained = true;
    }
  };
  const say = (...assignments: readonly string[]): void => {
    const line = status().replace(/\s+/g, ' ').slice(0, STATUS_LENGTH_MAX);
    const all = line === shown ? assignments : [...assignments, `STATUS=${line}`];
    if (all.length > 0) attempt(() => socket?.send(all));
    shown = line;
  };
  let socket: ReturnType<typeof openNotifySocket> | undefined;
  attempt(() => {
    socket = openNotifySocket(path);
  });
  const alive = watchdogMs === undefined ? [] : ['WATCHDOG=1'];
  say(...alive);
  const timer = setInterval(
    () => say(...alive),
    Math.max(BEAT_MIN_MS, Math.min(BEAT_MS, (watchdogMs ?? Infinity) / 2)),
  );
  timer.unref();
  return {
    ready: () => say('READY=1', ...alive),
    stopping: () => say('STOPPING=1'),
    close: () => {
      clearInterval(timer);
      socket?.close();
      socket = undefined;
    },
  };
}

/** After how many milliseconds of silence the service manager takes us for dead; undefined when it does not watch us. */
export function watchdogTime(environment: ServiceEnvironment, pid: number): number | undefined {
  const microseconds = environment['WATCHDOG_USEC'] ?? '';
  const watched = environment['WATCHDOG_PID'] ?? '';
  if (watched !== '' && watched !== String(pid)) return undefined;
  return /^[1-9]\d{0,15}$/.test(microseconds) ? Number(microseconds) / 1_000 : undefined;
}
