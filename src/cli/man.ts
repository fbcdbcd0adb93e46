/**
 * `muslin man`: writes the manual pages, one for muslin and one for each command, made from the table of commands.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { VERSION } from '../node/version.ts';
import type { CommandRow, CommandTable } from './command-row.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { ManEntry, ManPage } from './man-page.ts';
import { MAN_SECTION, manPageText } from './man-page.ts';
import { outputOf } from './output.ts';

const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT_CODE, string>> = {
  ok: 'Done.',
  failure: 'It failed; the reason is on stderr.',
  usage: 'The command line or a file that it names is wrong.',
  notFound: 'What was named is not there.',
  conflict: 'What is there stands against it, or another writer was faster.',
  unreachable: 'The store or the agent cannot be reached.',
  different: 'What was compared is not the same.',
  timeout: 'It took too long.',
};

const EXIT_ENTRIES: readonly ManEntry[] = Object.entries(EXIT_MEANINGS).map(([name, text]) => ({
  // The meanings have exactly the names of the codes.
  term: String(EXIT_CODE[name as keyof typeof EXIT_CODE]),
  text,
}));

const ENVIRONMENT: readonly ManEntry[] = [
  { term: 'MUSLIN_STORE', text: 'The datastore, when --store is not given.' },
  { term: 'MUSLIN_SOCKET', text: "The socket of the host's agent, when --socket is not given." },
];

const FILES: readonly ManEntry[] = [
  {
    term: '/etc/muslin/muslin.yaml',
    text: "The agent's configuration; store: in it is the datastore of the commands.",
  },
  { term: '/var/lib/muslin/store.db', text: 'The datastore when nothing else is said.' },
];

export function manCommand(table: CommandTable): Command {
  return new Command('man')
    .description('Write the manual pages into a directory, one for each command.')
    .requiredOption('--directory <directory>', 'where to; made when it is not there')
    .addHelpText('after', `\nExample:\n  muslin man --directory /usr/local/share/man/man${MAN_SECTION}`)
    .action(async ({ directory }: { readonly directory: string }, command: Command) => {
      const pages = await manPages(table);
      try {
        mkdirSync(directory, { recursive: true });
        for (const page of pages) {
          writeFileSync(join(directory, `${page.name}.${MAN_SECTION}`), manPageText(page, VERSION));
        }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new CommandError(EXIT_CODE.failure, `the pages cannot be written: ${reason}`);
      }
      outputOf(command).result(`${pages.length} pages in ${directory}\n`);
    });
}

/** All pages, muslin's own first. */
async function manPages(table: CommandTable): Promise<ManPage[]> {
  const rows = table.rows.filter(({ hidden }) => hidden !== true);
  const pages: ManPage[] = [];
  for (const row of rows) pages.push(commandPage(row, await row.load(), { rows, groups: table.groups }));
  return [mainPage(rows), ...pages];
}

function mainPage(rows: readonly CommandRow[]): ManPage {
  return {
    name: 'muslin',
    summary: 'a container network that routes',
    synopsis: 'muslin <command> [options]',
    description:
      'An address per container, BGP between hosts, policy in the kernel.\nEach command has a page of its own.',
    sections: [
      { title: 'COMMANDS', entries: rows.map(({ path, summary }) => ({ term: path.join(' '), text: summary })) },
      { title: 'ENVIRONMENT', entries: ENVIRONMENT },
      { title: 'FILES', entries: FILES },
      { title: 'EXIT STATUS', entries: EXIT_ENTRIES },
    ],
    examples: ['muslin lab up two-hosts', 'muslin lab status', 'muslin get nodes'],
    seeAlso: rows.map(pageName),
  };
}

function commandPage(row: CommandRow, command: Command, { rows, groups }: CommandTable): ManPage {
  const [group] = row.path;
  const related = rows.filter((other) => other !== row && other.path[0] === group);
  return {
    name: pageName(row),
    summary: row.summary,
    synopsis: `muslin ${row.path.join(' ')} ${command.usage()}`,
    description: sentence(command.description() || row.summary),
    sections: [
      {
        title: 'ARGUMENTS',
        entries: command.registeredArguments.map((argument) => ({
          term: argument.name(),
          text: `${sentence(argument.description)}${choicesText(argument.argChoices)}`,
        })),
      },
      {
        title: 'OPTIONS',
        entries: [
          ...command.options
            .filter(({ hidden }) => !hidden)
            .map((option) => ({
              term: option.flags,
              text: `${sentence(option.description)}${choicesText(option.argChoices)}${defaultText(option.defaultValue)}`,
            })),
          { term: '-h, --help', text: 'Show help.' },
        ],
      },
    ],
    examples: examplesOf(command),
    seeAlso: ['muslin', ...(Object.hasOwn(groups, group) ? related.map(pageName) : [])],
  };
}

function pageName({ path }: CommandRow): string {
  return ['muslin', ...path].join('-');
}

/** The part of the help that a command adds after what commander makes, without its headings. */
function examplesOf(command: Command): string[] {
  let help = '';
  const collect = (text: string) => {
    help += text;
  };
  command.configureOutput({ writeOut: collect, writeErr: collect }).outputHelp();
  const added = help.slice(command.helpInformation().length).trim();
  return added === '' ? [] : added.split('\n').filter((line) => !/^Examples?:$/.test(line));
}

function sentence(text: string): string {
  return text === '' ? '' : `${text[0]?.toUpperCase()}${text.slice(1)}${/[.:;!?]$/.test(text) ? '' : '.'}`;
}

function choicesText(choices: readonly string[] | undefined): string {
  return choices === undefined ? '' : `\nOne of: ${choices.join(', ')}.`;
}

function defaultText(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') return '';
  return `\nWithout it: ${value}.`;
}
