/**
 * Runs CNI plugins as container runtimes do: environment and stdin in, exit code and stdout out; and chains of them.
 *
 * A plugin is executed in the host's network namespace, which need not be the machine's. `Chain` does what libcni does for a
 * list of plugins: it hands the result of one to the next, keeps the last one for CHECK and DEL, gives each plugin the
 * capability arguments that it declares and nobody else's, deletes in reverse. Namespaces are made and removed by their user.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './two-hosts-fixture.ts';

/** Where our own plugin is after scripts/setup. */
export const OWN_PLUGINS = fileURLToPath(new URL('../../build/cni', import.meta.url));
/** Where Debian's are. */
export const DEBIAN_PLUGINS = '/usr/lib/cni';

export type JsonObject = Readonly<Record<string, unknown>>;

export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON; undefined where there is none. */
  readonly answer: JsonObject | undefined;
}

/** The program of a plugin of this type. */
export function pluginProgram(type: string): string {
  const program = [OWN_PLUGINS, DEBIAN_PLUGINS].map((directory) => join(directory, type)).find(existsSync);
  assert.ok(program !== undefined, `there is no plugin ${type}; scripts/setup --test brings it`);
  return program;
}

/** Executes a plugin inside the namespace at `hostNamespace`, with these variables and no others. */
export async function execute(
  program: string,
  hostNamespace: string,
  environment: Readonly<Record<string, string>>,
  input: string,
): Promise<Ended> {
  const child = spawn('nsenter', [`--net=${hostNamespace}`, program], {
    env: { PATH: process.env.PATH, ...environment },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  child.stdin.on('error', () => {}); // a plugin may end before it has read everything
  child.stdin.end(input);
  const [exitCode] = (await once(child, 'close')) as [number | null]; // the event's documented first argument
  return { exitCode, ...output, answer: output.stdout.trim() === '' ? undefined : JSON.parse(output.stdout) };
}

/** A fresh, empty network namespace; gives its path. */
export function addNamespace(name: string): string {
  const outcome = run('ip', ['netns', 'add', name]);
  assert.equal(outcome.code, 0, outcome.stderr);
  return `/run/netns/${name}`;
}

export function removeNamespace(name: string): void {
  run('ip', ['netns', 'del', name]);
}

export interface ChainOptions {
  readonly hostNamespace: string;
  readonly cniVersion: string;
  readonly name: string;
  /** As in a configuration list, each with its `type` and, if it takes any, its `capabilities`. */
  readonly plugins: readonly JsonObject[];
}

export interface ChainAttachment {
  readonly containerId: string;
  readonly netns: string;
  readonly interfaceName?: string;
  readonly args?: string;
  /** By capability. */
  readonly capabilityArguments?: JsonObject;
}

/** Which plugin of a chain failed, and how. */
export interface ChainFailure {
  readonly plugin: string;
  readonly ended: Ended;
}

export type ChainOutcome = { readonly result: JsonObject } | { readonly failure: ChainFailure };

type Command = 'ADD' | 'CHECK' | 'DEL';

export class Chain {
  readonly #options: ChainOptions;
  /** The last result of ADD by attachment; a failed ADD leaves none, as in libcni's cache. */
  readonly #results = new Map<string, JsonObject>();

  constructor(options: ChainOptions) {
    this.#options = options;
  }

  async add(attachment: ChainAttachment): Promise<ChainOutcome> {
    let previous: JsonObject | undefined;
    for (const plugin of this.#options.plugins) {
      const ended = await this.#call('ADD', plugin, attachment, previous);
      if (ended.exitCode !== 0) return { failure: { plugin: String(plugin.type), ended } };
      previous = ended.answer;
    }
    assert.ok(previous !== undefined, 'a plugin printed no result');
    this.#results.set(keyOf(attachment), previous);
    return { result: previous };
  }

  /** The first that CHECK finds wrong; `asked` are the types of plugins that are asked, all where it is left out. */
  async check(attachment: ChainAttachment, asked?: readonly string[]): Promise<ChainFailure | undefined> {
    const plugins = this.#options.plugins.filter(({ type }) => asked === undefined || asked.includes(String(type)));
    return this.#ask('CHECK', plugins, attachment);
  }

  async remove(attachment: ChainAttachment): Promise<ChainFailure | undefined> {
    const failure = await this.#ask('DEL', this.#options.plugins.toReversed(), attachment);
    if (failure === undefined) this.#results.delete(keyOf(attachment));
    return failure;
  }

  async #ask(command: Command, plugins: readonly JsonObject[], attachment: ChainAttachment) {
    for (const plugin of plugins) {
      const ended = await this.#call(command, plugin, attachment, this.#results.get(keyOf(attachment)));
      if (ended.exitCode !== 0) return { plugin: String(plugin.type), ended };
    }
    return undefined;
  }

  #call(command: Command, plugin: JsonObject, attachment: ChainAttachment, prevResult: JsonObject | undefined) {
    const { hostNamespace, cniVersion, name } = this.#options;
    const { capabilities = {}, ...own } = plugin;
    const declared = Object.entries(attachment.capabilityArguments ?? {}).filter(([capability]) => {
      return (capabilities as JsonObject)[capability] === true;
    });
    const configuration = {
      ...{ cniVersion, name, ...own },
      ...(declared.length > 0 && { runtimeConfig: Object.fromEntries(declared) }),
      ...(prevResult !== undefined && { prevResult }),
    };
    const environment = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: attachment.containerId,
      CNI_NETNS: attachment.netns,
      CNI_IFNAME: attachment.interfaceName ?? 'eth0',
      CNI_PATH: `${OWN_PLUGINS}:${DEBIAN_PLUGINS}`,
      ...(attachment.args !== undefined && { CNI_ARGS: attachment.args }),
    };
    return execute(pluginProgram(String(plugin.type)), hostNamespace, environment, JSON.stringify(configuration));
  }
}

function keyOf({ containerId, interfaceName = 'eth0' }: ChainAttachment): string {
  return `${containerId} ${interfaceName}`;
}
