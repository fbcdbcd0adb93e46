/**
 * `muslin attach`: connects anything that has a network namespace, or a virtual machine, to the network of this host.
 *
 * What a container runtime does by its CNI plugin, by hand or from a script: for systemd-nspawn, LXC, a bare namespace, a process, a
 * virtual machine's tap device. It asks the agent by the same protocol, and returns when rules and routes are in force. A
 * failure leaves nothing behind. What is attached already is left as it is, exit code 4. docs/attach.md is for its users.
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { CNI_ERROR } from '../cni/cni-error.ts';
import { namespacePath, OWN_NAMESPACE } from '../kernel/network-namespace.ts';
import { DEFAULT_NAMESPACE } from '../model/validate.ts';
import { askCni, CniRefusal } from '../node/attach/cni-client.ts';
import { CNI_SOCKET_NAME } from '../node/control-api.ts';
import { askAgent, socketOption } from './agent-question.ts';
import type { AttachmentOptions, AttachRequestOptions, CniCall } from './attach-request.ts';
import { addCall, DEFAULT_INTERFACE, DEFAULT_NETWORK } from './attach-request.ts';
import { attachmentText, attachmentView, detachOptions } from './attachment-view.ts';
import type { ExitCode } from './exit-code.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { outputOf, yamlText } from './output.ts';

interface AttachOptions extends AttachRequestOptions {
  readonly netns?: string;
  readonly pid?: string;
  readonly output: 'table' | 'json' | 'yaml';
  readonly socket: string;
}

const DESCRIPTION = 'Attach a network namespace, a process or a virtual machine to the network of this host.';

const EXAMPLES = `
Examples:
  ip netns add web && muslin attach --name web --netns web --label role=web
  muslin attach --name job --pid 4711 --ip 172.17.8.9
  muslin attach --name vm1 --tap -o json`;

/** What the agent calls an error in its details, and how that ends here. */
const EXIT_CODES: Readonly<Record<string, ExitCode>> = {
  attached: EXIT_CODE.conflict,
  exists: EXIT_CODE.conflict,
  conflict: EXIT_CODE.conflict,
  'address-taken': EXIT_CODE.conflict,
  ENOENT: EXIT_CODE.notFound,
};

export function attachCommand(): Command {
  return new Command('attach')
    .description(DESCRIPTION)
    .addOption(nameOption())
    .option('--netns <path>', 'its network namespace: a path, or a name of `ip netns`')
    .option('--pid <pid>', 'the network namespace of this process')
    .option('--tap', 'no namespace: make a tap device for a virtual machine')
    .addOption(interfaceOption())
    .addOption(networkOption())
    .addOption(
      new Option('-n, --namespace <namespace>', 'the namespace that policies find it in').default(DEFAULT_NAMESPACE),
    )
    .addOption(repeated('--label <key=value>', 'a label that policies choose it by; as often as needed'))
    .addOption(repeated('--ip <address>', 'the address that it gets, one a family; without, any free one'))
    .addOption(repeated('--service <address>', 'an address that it answers together with others; as often as needed'))
    .addOption(repeated('--pool <pool>', 'an IPPool to take addresses from, by name or CIDR; as often as needed'))
    .option('--ipv6', 'an IPv6 address as well')
    .option('--no-ipv4', 'no IPv4 address')
    .option('--mac <mac>', 'the MAC of its interface')
    .option('--mtu <bytes>', 'the MTU of its interface; without, what fits through uplink and tunnels')
    .addOption(socketOption())
    .addOption(attachmentOutputOption())
    .addHelpText('after', EXAMPLES)
    .action(async (options: AttachOptions, command: Command) => {
      const netns = namespaceOf(options);
      const call = addCall(options, netns ?? OWN_NAMESPACE);
      const result = await askAgentByCni(options.socket, options, call);
      const view = attachmentView({ ...options, netns }, result);
      if (view === undefined)
        throw new CommandError(
          EXIT_CODE.failure,
          `the agent answered ${JSON.stringify(result)}, which is no CNI result`,
        );
      outputOf(command).result(attachmentOutput(options.output, view, attachmentText(view)));
    });
}

function repeated(flags: string, description: string): Option {
  const collect = (text: string, before: readonly string[]) => [...before, text];
  return new Option(flags, description).argParser(collect).default([], 'none');
}

export function nameOption(): Option {
  return new Option('--name <name>', 'what to call it: lower-case letters, digits, "-" and "."').makeOptionMandatory();
}

export function interfaceOption(): Option {
  return new Option('--interface <name>', 'its interface').default(DEFAULT_INTERFACE);
}

export function networkOption(): Option {
  return new Option('--network <name>', 'the network, as CNI calls it, that it belongs to').default(DEFAULT_NETWORK);
}

export function attachmentOutputOption(): Option {
  return new Option('-o, --output <format>', 'table, json or yaml').choices(['table', 'json', 'yaml']).default('table');
}

/** The view in the chosen format; `text` is the table. */
export function attachmentOutput(format: 'table' | 'json' | 'yaml', view: object, text: string): string {
  switch (format) {
    case 'table':
      return text;
    case 'json':
      return `${JSON.stringify(view, undefined, 2)}\n`;
    case 'yaml':
      return yamlText(view);
  }
}

/** The path of the namespace that the options name; null for a tap, which needs none. */
function namespaceOf({ netns, pid, tap }: AttachOptions): string | null {
  const given = [netns, pid, tap].filter((option) => option !== undefined).length;
  if (given !== 1) {
    const count = given === 0 ? 'where to?' : 'only one at a time:';
    throw new CommandError(EXIT_CODE.usage, `${count} write one of --netns PATH, --pid PID and --tap`);
  }
  if (pid !== undefined) return processNamespace(pid);
  return netns === undefined ? null : namedNamespace(netns);
}

function processNamespace(pid: string): string {
  if (!/^[1-9]\d*$/.test(pid))
    throw new CommandError(EXIT_CODE.usage, `--pid: "${pid}" is not the number of a process`);
  const path = `/proc/${pid}/ns/net`;
  if (existsSync(path)) return path;
  throw new CommandError(EXIT_CODE.notFound, `--pid: there is no process ${pid}`);
}

/** `ip netns` knows namespaces by names, everybody else by paths. */
function namedNamespace(text: string): string {
  if (text === '') throw new CommandError(EXIT_CODE.usage, '--netns: "" is no path; /run/netns/web would be one');
  const path = text.includes('/') ? resolve(text) : namespacePath(text);
  if (existsSync(path)) return path;
  throw new CommandError(EXIT_CODE.notFound, `--netns: there is no ${path}; \`ip netns\` shows those that have a name`);
}

/** What the agent answers to a call over the CNI socket, which is beside its control socket. Throws CommandError. */
export async function askAgentByCni(socket: string, options: AttachmentOptions, call: CniCall): Promise<unknown> {
  const cniSocket = join(dirname(socket), CNI_SOCKET_NAME);
  try {
    return await askAgent(cniSocket, (path) => askCni(path, call.environment, call.configuration));
  } catch (error) {
    if (!(error instanceof CniRefusal)) throw error;
    throw new CommandError(exitCodeOf(error), refusalText(error, options));
  }
}

function exitCodeOf({ code, details }: CniRefusal): ExitCode {
  if (code === CNI_ERROR.tryAgainLater) return EXIT_CODE.unreachable;
  return EXIT_CODES[details] ?? EXIT_CODE.failure;
}

function refusalText({ message: given, code, details }: CniRefusal, options: AttachmentOptions): string {
  const message = given.replace(/^CNI_NETNS: /, '');
  if (details === 'attached' || details === 'conflict')
    return `${options.name}: ${options.interface} is attached already; to detach it: muslin detach ${detachOptions(options)}`;
  if (details === 'exists') return `${message}; --interface would give it another one`;
  return code === CNI_ERROR.tryAgainLater ? `${message}; try again later` : message;
}
