/**
 * Hosts for one interop test, and the daemons on them: made together, compared, taken down together.
 *
 * The AS numbers and addresses of the three parts are fixed: muslin, the daemon under test, and feeders, BIRDs that have many
 * routes with every attribute. A test says who speaks with whom and what each originates.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  attributesText,
  type Daemon,
  type DaemonOptions,
  type LearntAttributes,
  type Neighbour,
  type Place,
} from './daemon.ts';
import { eventually, killAll } from './process.ts';
import { Wire } from './wire.ts';

export const OUR_ASN = 64_512;
export const PASSWORD = 'what-the-rigs-share';
/** What comes last may change what came first; a table that is not right by then stays wrong. */
const COMPARISONS_MAX = 5;
/** So many of the prefixes that are wrong are shown. */
const SHOWN_MAX = 5;

export class Hosts {
  readonly muslin: Place;
  readonly daemon: Place;
  readonly feeders: readonly [Place, Place];
  readonly #wire: Wire;
  readonly #directory = mkdtempSync(join(tmpdir(), 'muslin-test-interop-'));
  readonly #daemons: Daemon[] = [];

  constructor() {
    chmodSync(this.#directory, 0o755); // FRR's daemons run as a user of their own
    this.#wire = new Wire('bgp');
    this.muslin = this.#wire.host('muslin', 1);
    this.daemon = this.#wire.host('daemon', 2);
    this.feeders = [this.#wire.host('feeder', 3), this.#wire.host('feeder2', 4)];
  }

  /** A daemon on one of the hosts; with the directory that it is to use. */
  add<Made extends Daemon>(make: (options: DaemonOptions) => Made, options: Omit<DaemonOptions, 'directory'>): Made {
    const made = make({ ...options, directory: mkdtempSync(join(this.#directory, 'daemon-')) });
    this.#daemons.push(made);
    return made;
  }

  async start(): Promise<void> {
    await Promise.all(this.#daemons.map((daemon) => daemon.start()));
  }

  async diagnosis(): Promise<string> {
    const parts = this.#daemons.map(async (daemon) => `--- ${daemon.name} ---\n${await daemon.diagnosis()}`);
    return (await Promise.all(parts)).join('\n');
  }

  async until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    await eventually(what, isSo, () => this.diagnosis());
  }

  async untilEstablished(daemon: Daemon, neighbours: readonly string[]): Promise<void> {
    for (const neighbour of neighbours) {
      await this.until(`${daemon.name}: session with ${neighbour}`, () => daemon.established(neighbour));
    }
  }

  /** Waits until a daemon has exactly these prefixes, with each attribute of each of them as it should be. */
  async untilLearnt(daemon: Daemon, wanted: ReadonlyMap<string, LearntAttributes>): Promise<void> {
    // Their number is asked first, as it costs little. It may be there before the last of them: see Daemon.prefixes.
    await this.until(
      `${daemon.name} has ${wanted.size} prefixes`,
      async () => (await daemon.prefixes()) >= wanted.size,
    );
    const texts = new Map([...wanted].map(([prefix, attributes]) => [prefix, attributesText(attributes)]));
    let wrong: string[] = [];
    const compare = async (): Promise<boolean> => {
      const table = await daemon.routes();
      wrong = [...new Set([...texts.keys(), ...table.keys()])].flatMap((prefix) => {
        const want = texts.get(prefix) ?? 'none';
        const got = (table.get(prefix) ?? []).map(attributesText).join('\n   and ');
        return got === want ? [] : [`${prefix}\n  want ${want}\n  got  ${got}`];
      });
      return wrong.length === 0;
    };
    for (let left = COMPARISONS_MAX; left > 0; left -= 1) if (await compare()) return;
    const shown = wrong.slice(0, SHOWN_MAX).join('\n');
    assert.fail(`${daemon.name}: ${wrong.length} of ${wanted.size} prefixes are not as they were sent:\n${shown}`);
  }

  async remove(): Promise<void> {
    await killAll(new Set(this.#wire.namespaces));
    this.#wire.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Runs a test on hosts of its own, which are gone afterwards whatever happens. */
export async function onHosts(run: (hosts: Hosts) => Promise<void>): Promise<void> {
  const hosts = new Hosts();
  try {
    await run(hosts);
  } finally {
    await hosts.remove();
  }
}

type Choice = Pick<Neighbour, 'relation' | 'asn'> & Partial<Neighbour>;

/** Two ends of one session: `dialled` waits for the other to dial; both have the password. */
export function neighbour(place: Place, choice: Choice): Neighbour {
  return { password: PASSWORD, addPath: false, bfd: 'off', passive: false, ...choice, address: place.address };
}
