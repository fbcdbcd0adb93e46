/**
 * The command line as commander knows it: the whole tree by name and summary, one command of it in full.
 *
 * The words of the command line choose which command is loaded; all others are stubs that only serve help and
 * suggestions. Errors of usage are thrown, never exits, so that main.ts alone decides how the process ends.
 */
import { Command } from 'commander';
import { VERSION } from '../node/version.ts';
import { COMMANDS, commandFor, GROUPS } from './commands.ts';

/** What `muslin` alone prints. */
export const WELCOME = `\
muslin, a container network that routes

  muslin lab up two-hosts      a network of two hosts on this machine, in seconds
  muslin lab status            what is in it
  muslin get nodes             resources: nodes, pools, endpoints
  muslin node status           how this host's agent is

All commands: muslin --help. About one: muslin COMMAND --help
`;

/** The program for these arguments (without node and the script). */
export async function buildProgram(words: readonly string[]): Promise<Command> {
  const program = new Command('muslin')
    .description('A container network that routes: an address per container, BGP between hosts, policy in the kernel.')
    .version(VERSION, '--version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .addHelpText('after', '\nExample:\n  muslin lab up two-hosts')
    .exitOverride();
  const chosen = commandFor(words);
  const groups = new Map<string, Command>();
  for (const row of COMMANDS) {
    const [first, second] = row.path;
    const command = row === chosen ? await row.load() : new Command(second ?? first);
    command.summary(row.summary).helpOption('-h, --help', 'show help');
    if (command.description() === '') command.description(row.summary);
    const parent = second === undefined ? program : (groups.get(first) ?? addGroup(program, first));
    if (second !== undefined) groups.set(first, parent);
    parent.addCommand(command.exitOverride(), { hidden: row.hidden === true });
  }
  return program;
}

function addGroup(program: Command, name: string): Command {
  const summary = GROUPS[name] ?? '';
  const example = COMMANDS.find(({ path }) => path[0] === name)?.path.join(' ');
  return program
    .command(name)
    .summary(summary)
    .description(summary)
    .helpCommand(false)
    .addHelpText('after', `\nExample:\n  muslin ${example} --help`);
}

/** `muslin help lab up` is `muslin lab up --help`. */
export function withoutHelpWord(words: readonly string[]): readonly string[] {
  return words[0] === 'help' ? [...words.slice(1), '--help'] : words;
}
