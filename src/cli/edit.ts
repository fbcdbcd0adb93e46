/**
 * `muslin edit`: one resource in the user's editor.
 *
 * The text is a private file in a directory of its own. What is wrong with it comes back as comments above it, until it
 * is right or is left as it was. The text carries the resourceVersion, so a change of somebody else in the meantime
 * is a conflict and not lost. A text that could not be stored is kept, and the error says where.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { parseDocuments } from '../model/documents.ts';
import type { AnyResource } from '../model/kinds.ts';
import { documentOf } from '../model/kinds.ts';
import type { Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { outputOf, yamlText } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import type { Named, TargetOptions } from './target.ts';
import { namespaceOption, oneNamed, readNamed } from './target.ts';
import { changeStored, checkedChange, refuseSystemKind } from './write.ts';

/** POSIX has it everywhere. */
const STANDARD_EDITOR = 'vi';

const FILE_NAME = 'edit.yaml';

export function editCommand(): Command {
  return new Command('edit')
    .description('change a resource in an editor: $VISUAL, $EDITOR, or vi')
    .argument('<kind>', 'a kind, such as ippool; or KIND/NAME')
    .argument('[name]', 'the resource')
    .addOption(namespaceOption())
    .addOption(storeOption())
    .addHelpText('after', '\nExample:\n  EDITOR=nano muslin edit ippool a')
    .action(async (word: string, name: string | undefined, options: TargetOptions, command: Command) => {
      const named = oneNamed(name === undefined ? [word] : [word, name], options);
      refuseSystemKind(named.kind, named.kind.kind, 'edited');
      const isChanged = await withStore(command, (store) => edit(store, named));
      outputOf(command).result(`${named.title} ${isChanged ? 'edited' : 'unchanged'}\n`);
    });
}

/** Whether anything has changed. */
async function edit(store: Store, named: Named): Promise<boolean> {
  const stored = await readNamed(store, named);
  const directory = mkdtempSync(join(tmpdir(), 'muslin-edit-'));
  const file = join(directory, FILE_NAME);
  const original = yamlText(documentOf(stored));
  let text = original;
  let problems: readonly string[] = [];
  try {
    for (;;) {
      writeFileSync(file, withProblems(text, problems), { mode: 0o600 });
      runEditor(file);
      const edited = withoutProblems(readFileSync(file, 'utf8'));
      if (edited === original || edited.trim() === '') {
        text = original;
        return false;
      }
      if (problems.length > 0 && edited === text) {
        throw new CommandError(EXIT_CODE.usage, `what was wrong is still there:\n${problems.join('\n')}`);
      }
      text = edited;
      const attempt = await changeTo(store, named, stored, edited);
      if (typeof attempt === 'boolean') {
        text = original;
        return attempt;
      }
      problems = attempt;
    }
  } catch (error) {
    if (!(error instanceof CommandError) || text === original) throw error;
    throw new CommandError(error.exitCode, `${error.message}\nthe text is kept in ${file}`);
  } finally {
    if (text === original) rmSync(directory, { recursive: true });
  }
}

/** Whether the edited text has changed anything, or what is wrong with it. */
async function changeTo(
  store: Store,
  named: Named,
  stored: AnyResource,
  edited: string,
): Promise<boolean | readonly string[]> {
  const parsed = parseDocuments(edited, FILE_NAME);
  if (!parsed.ok) return parsed.problems;
  const [document, ...more] = parsed.resources;
  if (document === undefined || more.length > 0) return ['there must be one resource, the one that is edited'];
  try {
    return await changeStored(store, named, () => checkedChange(documentOf(document.resource), stored), {});
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === EXIT_CODE.usage) return error.message.split('\n');
    throw error;
  }
}

/** Through the shell, since $EDITOR may have arguments. */
function runEditor(file: string): void {
  const editor = process.env['VISUAL'] || process.env['EDITOR'] || STANDARD_EDITOR;
  const { status, signal, error } = spawnSync('sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
  if (status === 0) return;
  const reason = error?.message ?? (signal === null ? `ended with ${status}` : `was ended by ${signal}`);
  throw new CommandError(EXIT_CODE.failure, `the editor "${editor}" ${reason}; set EDITOR to another one`);
}

/** What a line about a problem begins with; such lines are taken out again. */
const PROBLEM_MARK = '# ! ';

/** The text under its problems, whose line numbers are made to count the lines about problems, too. */
function withProblems(text: string, problems: readonly string[]): string {
  if (problems.length === 0) return text;
  const lines = ['this could not be stored; mend it, or leave it as it is to give up:', ...problems];
  const place = new RegExp(`^${FILE_NAME.replace('.', '\\.')}:(\\d+):`);
  return (
    lines
      .map((line) => line.replace(place, (_, number: string) => `line ${Number(number) + lines.length}:`))
      .map((line) => `${PROBLEM_MARK}${line}\n`)
      .join('') + text
  );
}

function withoutProblems(text: string): string {
  const lines = text.split('\n');
  return lines.filter((line) => !line.startsWith(PROBLEM_MARK.trim())).join('\n');
}
