/**
 * `muslin diff`: what `apply` would change, as a unified diff of YAML.
 *
 * Ends with 0 when nothing would change and with 10 when something would, so that pipelines can tell. What `apply` would
 * refuse is refused here, too. Secrets are struck out on both sides; where they differ, that is said.
 */
import { Command } from 'commander';
import { isJsonObject } from '../lib/json.ts';
import type { AnyResource } from '../model/kinds.ts';
import { valueOfResource } from '../model/resource-entry.ts';
import type { Store } from '../store/store.ts';
import { EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf, shortTitle, yamlText } from './output.ts';
import type { Applicable, SourceOptions } from './sources.ts';
import { filenameOption, lenientOption, readSources, recursiveOption, sourceNamespaceOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import { unifiedDiff } from './unified-diff.ts';
import type { PlannedWrite } from './write.ts';
import { planWrites } from './write.ts';

/** Fields whose text is a secret, by name; a mapping under such a name (a reference to a secret) is none. */
const SECRET_FIELD = /(password|secret|privatekey|token)$/i;

export function diffCommand(): Command {
  return new Command('diff')
    .description('show what apply would change; ends with 10 when it is anything')
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(lenientOption())
    .addOption(sourceNamespaceOption())
    .addOption(storeOption())
    .addHelpText('after', '\nExample:\n  muslin diff -f pools.yaml')
    .action(async (options: SourceOptions, command: Command) => {
      const resources = await readSources(options, outputOf(command).talk);
      const output = outputOf(command);
      const isDifferent = await withStore(command, async (store) => printDiffs(store, resources, output));
      if (isDifferent) process.exitCode = EXIT_CODE.different;
    });
}

async function printDiffs(store: Store, resources: readonly Applicable[], output: Output): Promise<boolean> {
  const changes = (await planWrites(store, resources)).filter(({ after }) => after !== undefined);
  for (const change of changes) output.result(diffOf(change));
  return changes.length > 0;
}

function diffOf({ before, after }: PlannedWrite): string {
  const title = shortTitle(after ?? before ?? { kind: '', metadata: { name: '' } });
  const text = (form: unknown) => (form === undefined ? '' : yamlText(form));
  const old = text(redacted(formOf(before), undefined));
  const fresh = text(redacted(formOf(after), formOf(before)));
  return unifiedDiff(old, fresh, before === undefined ? '/dev/null' : `store/${title}`, `file/${title}`);
}

/** What a person wrote of a resource: the identity that the store gives is left out. */
function formOf(resource: AnyResource | undefined): unknown {
  if (resource === undefined) return undefined;
  const { uid: _, creationTimestamp: __, ...metadata } = resource.metadata;
  return valueOfResource({ ...resource, metadata });
}

/** The form with secrets struck out; one that is not as in `other` is marked as such. */
function redacted(form: unknown, other: unknown, isSecret = false): unknown {
  if (Array.isArray(form)) {
    return form.map((item, index) => redacted(item, Array.isArray(other) ? other[index] : undefined, isSecret));
  }
  if (isJsonObject(form)) {
    const members = Object.entries(form).map(([name, value]) => {
      const otherValue = isJsonObject(other) ? other[name] : undefined;
      return [name, redacted(value, otherValue, SECRET_FIELD.test(name))];
    });
    return Object.fromEntries(members);
  }
  if (!isSecret || form === undefined) return form;
  return other === undefined || other === form ? '(secret)' : '(secret, another one)';
}
