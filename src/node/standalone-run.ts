/**
 * `muslin bgp run`: a speaker as a process of its own, a reflector, a top-of-rack switch or a route server.
 *
 *   file ──► speaker ◄──► peers          best paths ──► kernel (only where the file says so)
 *   control socket ──► what people ask
 *
 * Runs until SIGTERM or SIGINT. SIGHUP reads the file again: sessions that it does not concern stay, and a file with a mistake
 * changes nothing. What is seldom needed (kernel, BFD) is loaded only when it is, so that a reflector stays small.
 */
import type { Server } from 'node:http';
import { hostname } from 'node:os';
import { warmUp } from '../bgp/warm-up.ts';
import { KernelError } from '../kernel/kernel.ts';
import { holdLittleInReserve, releaseFreeMemory } from '../kernel/process-memory.ts';
import { trimMalloc } from '../kernel/system-calls.ts';
import { monotonicNow, wallClockNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import { seededRandom } from '../lib/prng.ts';
import { formatRouterId } from '../net/asn.ts';
import { formatIp } from '../net/ip.ts';
import { BgpListenError } from './bgp/bgp-listeners.ts';
import { SpeakerShell } from './bgp/speaker-shell.ts';
import type { BgpControl, Readiness } from './control-api.ts';
import { openLog } from './log.ts';
import { Monitoring } from './monitoring/monitoring.ts';
import type { StandaloneConfiguration } from './standalone-configuration.ts';
import type { KernelRoutes } from './standalone-kernel.ts';
import { loadStandalone } from './standalone-load.ts';

/** Tables that need not grow up to here, and cost memory only where they are used: the kernel gives it when it is touched. */
const ROWS = 1 << 20;
/** After the rehearsal V8's threads go on compiling, and hold working memory until they are done. */
const COMPILER_MS = 500;

/** The world's error: a mistake in the file, a line each (`file`), or something that it asks for cannot be had (`start`). */
export class StandaloneError extends Error {
  override readonly name = 'StandaloneError';
  readonly code: 'file' | 'start';

  constructor(code: 'file' | 'start', message: string) {
    super(message);
    this.code = code;
  }
}

export interface StandaloneOptions {
  readonly configPath: string;
  /** Where questions are answered; undefined for nowhere. */
  readonly socketPath: string | undefined;
}

/** Runs the speaker until it is told to stop. Throws StandaloneError when it cannot start. */
export async function runStandalone({ configPath, socketPath }: StandaloneOptions): Promise<void> {
  holdLittleInReserve();
  const parse = await loadStandalone(configPath);
  if (!parse.ok) throw new StandaloneError('file', parse.problems.join('\n'));
  const { configuration } = parse;
  const log = openLog('muslin-bgp', configuration.logLevel);
  process.on('uncaughtException', (error) => fail(log, error));
  process.on('unhandledRejection', (error) => fail(log, error));
  releaseFreeMemory();
  warmUp(seededRandom(0), monotonicNow());
  const standalone = new Standalone(log);
  try {
    await standalone.start(configuration, socketPath);
  } catch (error) {
    if (!(error instanceof BgpListenError || error instanceof KernelError)) throw error;
    await standalone.close();
    throw new StandaloneError('start', error.message);
  }
  process.on('SIGHUP', () => void reload(standalone, configPath, log));
  setTimeout(trimMalloc, COMPILER_MS).unref();
  process.stdout.write(`${readyLine(configuration)}\n`);
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await standalone.close();
  process.exit(0);
}

function readyLine({ speaker, listen }: StandaloneConfiguration): string {
  const addresses = listen.addresses.length === 0 ? ['every address'] : listen.addresses.map(formatIp);
  const place = `${addresses.join(', ')} port ${listen.port}`;
  return `muslin bgp: AS ${speaker.asn}, router ${formatRouterId(speaker.routerId)}, listening on ${place}`;
}

async function reload(standalone: Standalone, configPath: string, log: Log): Promise<void> {
  const parse = await loadStandalone(configPath);
  if (!parse.ok) {
    log.error('the file is not right; what was configured before stays', { problems: parse.problems });
    return;
  }
  try {
    await standalone.reconfigure(parse.configuration);
    log.info('configured anew', { file: configPath });
  } catch (error) {
    if (!(error instanceof BgpListenError)) throw error;
    log.error('cannot listen as the file says; what was configured before stays', { error: error.message });
  }
}

/** A speaker that listens is ready: peers that are away are not its fault. */
const readiness = (): Readiness => ({ ready: true, reasons: [] });

class Standalone {
  readonly #log: Log;
  readonly #random: Random = seededRandom(wallClockNow() ^ process.pid); // for jitter, which is to differ between hosts
  readonly #shell: SpeakerShell;
  readonly #bgp: BgpControl;
  readonly #monitoring: Monitoring;
  #configuration: StandaloneConfiguration | undefined;
  #kernelRoutes: KernelRoutes | undefined;
  #control: Server | undefined;

  constructor(log: Log) {
    this.#log = log;
    this.#shell = new SpeakerShell({
      log,
      random: this.#random,
      rows: ROWS,
      listener: {
        best: ({ prefix, gateways, discard }) => this.#kernelRoutes?.best(prefix, gateways, discard),
        converged: () => this.#kernelRoutes?.converged(),
        monitor: ({ peer, event }) => this.#monitoring.monitor(peer, event),
      },
    });
    this.#bgp = this.#shell.control(() => ({ problem: '', problems: [] }));
    const systemName = hostname();
    this.#monitoring = new Monitoring({ bgp: this.#bgp, readiness, systemName, log, random: this.#random });
  }

  async start(configuration: StandaloneConfiguration, socketPath: string | undefined): Promise<void> {
    if (configuration.kernel.install) await this.#openKernel(configuration);
    await this.#shell.listen(configuration.listen);
    this.#apply(configuration);
    if (socketPath === undefined) return;
    const { startControlServer } = await import('./control-server.ts');
    this.#control = await startControlServer(socketPath, {
      status: undefined,
      readiness,
      bgp: this.#bgp,
      policy: undefined,
    });
  }

  async reconfigure(configuration: StandaloneConfiguration): Promise<void> {
    const before = this.#configuration;
    if (before !== undefined && JSON.stringify(before.kernel) !== JSON.stringify(configuration.kernel)) {
      this.#log.warn('kernel takes effect at the next start');
    }
    await this.#shell.listen(configuration.listen);
    const installs = before?.speaker.installs ?? configuration.speaker.installs;
    this.#apply({ ...configuration, speaker: { ...configuration.speaker, installs } });
  }

  /** With routes that stay, peers are to believe that we come back; else they are told that we go. */
  async close(): Promise<void> {
    const keep = this.#configuration?.kernel.keepOnExit === true;
    this.#control?.close();
    await this.#monitoring.close();
    await this.#shell.close({ sendNotification: !keep });
    this.#kernelRoutes?.close({ keep });
  }

  #apply(configuration: StandaloneConfiguration): void {
    this.#configuration = configuration;
    this.#shell.configure(configuration.speaker, configuration.originations, configuration.unnumbered);
    const { metrics, bmp: collectors } = configuration;
    this.#monitoring.configure({
      metrics: metrics === undefined ? undefined : { host: formatIp(metrics.address), port: metrics.port },
      collectors,
    });
  }

  async #openKernel({ kernel: { table, metric } }: StandaloneConfiguration): Promise<void> {
    const [{ openKernel }, { KernelRoutes }] = await Promise.all([
      import('../kernel/netlink-kernel.ts'),
      import('./standalone-kernel.ts'),
    ]);
    const mark = { table, metric };
    this.#kernelRoutes = new KernelRoutes({ kernel: openKernel(), mark, log: this.#log, random: this.#random });
  }
}

function fail(log: Log, error: unknown): never {
  const stack = error instanceof Error ? error.stack : undefined;
  log.error('speaker ends: this is a bug', { error: error instanceof Error ? error.message : String(error), stack });
  process.exit(1);
}
