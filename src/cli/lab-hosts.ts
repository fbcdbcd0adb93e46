/**
 * `muslin lab add-host`, `remove-host`, `cut`, `heal`: hosts join, leave, are cut off and come back, while the lab runs.
 *
 * The options of a host say what the topology file would. Each command ends when its change is made: routes and sessions of
 * the other hosts follow by themselves, which is what there is to watch.
 */
import { Command } from 'commander';
import { addHost, removeHost, setCables } from '../lab/change-hosts.ts';
import type { HostDocument } from '../lab/edit-topology.ts';
import { findLab } from '../lab/find-lab.ts';
import { monotonicNow } from '../lib/clock.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { type LabOption, labAction, labOption, parseSeconds, untilInterrupted } from './lab-action.ts';

const TIMEOUT_SECONDS = 30;

interface HostFlags extends LabOption {
  readonly link: Readonly<Record<string, { readonly segment: string; readonly addresses: readonly string[] }>>;
  readonly block: readonly string[];
  readonly label: Readonly<Record<string, string>>;
  readonly gateway: readonly string[];
  readonly as?: string;
  readonly timeout: number;
}

interface CableFlags extends LabOption {
  readonly link?: string;
}

const EXAMPLE = 'muslin lab add-host host-7 --link eth0=lan:192.168.100.107/24 --block 172.17.7.0/24';

export function labAddHostCommand(): Command {
  const list = (text: string, before: readonly string[]) => [...before, text];
  return new Command('add-host')
    .description('A host joins a lab that is up, with an agent of its own.')
    .argument('<name>', 'what to call it, such as host-7')
    .requiredOption(
      '--link <name=segment:addresses>',
      'an interface, its segment and addresses with commas',
      linkOf,
      {},
    )
    .option('--block <prefix>', 'a block that it owns from the start; as often as needed', list, [])
    .option('--gateway <address>', 'its default gateway, one a family', list, [])
    .option('--label <key=value>', 'a label of its Node', labelOf, {})
    .option('--as <number>', 'its AS number')
    .option('--timeout <seconds>', 'how long it may take', parseSeconds, TIMEOUT_SECONDS)
    .addOption(labOption())
    .addHelpText('after', `\nExample:\n  ${EXAMPLE}`)
    .action((name: string, flags: HostFlags) => labAction(() => add(name, flags)));
}

async function add(name: string, flags: HostFlags): Promise<void> {
  const start = monotonicNow();
  const interruption = untilInterrupted();
  const document: HostDocument = {
    links: flags.link,
    blocks: flags.block,
    labels: flags.label,
    gateways: flags.gateway,
    ...(flags.as !== undefined && { asNumber: flags.as }),
  };
  try {
    await addHost(findLab(flags.lab), name, document, flags.timeout * 1000, interruption.signal);
    process.stdout.write(`${name} has joined after ${(monotonicNow() - start).toFixed(0)} ms\n`);
  } finally {
    interruption.done();
  }
}

export function labRemoveHostCommand(): Command {
  return new Command('remove-host')
    .description('A host leaves a lab that is up: its workloads, its agent, its Node and its blocks go.')
    .argument('<name>', 'the host')
    .addOption(labOption())
    .addHelpText('after', '\nExample:\n  muslin lab remove-host host-7')
    .action((name: string, { lab }: LabOption) =>
      labAction(async () => {
        await removeHost(findLab(lab), name);
        process.stdout.write(`${name} has left\n`);
      }),
    );
}

export function labCutCommand(): Command {
  return cableCommand('cut', 'is cut off', 'Pull the cables of a host or router, as when a switch dies.');
}

export function labHealCommand(): Command {
  return cableCommand('heal', 'is connected again', 'Plug the cables of a host or router in again.');
}

function cableCommand(verb: 'cut' | 'heal', outcome: string, description: string): Command {
  return new Command(verb)
    .description(description)
    .argument('<name>', 'the host or router')
    .option('--link <interface>', 'this interface only, such as eth0')
    .addOption(labOption())
    .addHelpText('after', `\nExample:\n  muslin lab ${verb} host-3`)
    .action((name: string, { lab, link }: CableFlags) =>
      labAction(() => {
        const interfaces = setCables(findLab(lab), name, link, verb === 'heal');
        process.stdout.write(`${name} ${outcome}: ${interfaces.join(', ')}\n`);
      }),
    );
}

function linkOf(text: string, before: HostFlags['link']): HostFlags['link'] {
  const [, name, segment, addresses] = /^([^=]+)=([^:]+)(?::(.+))?$/.exec(text) ?? [];
  if (name !== undefined && segment !== undefined)
    return { ...before, [name]: { segment, addresses: addresses?.split(',') ?? [] } };
  throw new CommandError(EXIT_CODE.usage, `"${text}" is not a link; write eth0=lan:192.168.100.107/24`);
}

function labelOf(text: string, before: HostFlags['label']): HostFlags['label'] {
  const [, key, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (key !== undefined && value !== undefined) return { ...before, [key]: value };
  throw new CommandError(EXIT_CODE.usage, `"${text}" is no label; write one such as rack=r1`);
}
