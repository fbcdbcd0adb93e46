/**
 * `muslin wait`: until resources are there, are gone, or have a value; or until time is up (exit code 124).
 *
 * Stands on the same following as `get --watch`, so what happens between looking and waiting is not missed.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { AnyResource } from '../model/kinds.ts';
import { documentOf } from '../model/kinds.ts';
import { keyOf } from '../model/resource-key.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Template } from './jsonpath.ts';
import { fillTemplate, parseTemplate } from './jsonpath.ts';
import { outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import type { Target, TargetOptions } from './target.ts';
import { allNamespacesOption, namespaceOption, selectorOption, targetOf } from './target.ts';
import { followTarget } from './watch.ts';

type Condition =
  | { readonly kind: 'exists' }
  | { readonly kind: 'delete' }
  | { readonly kind: 'jsonpath'; readonly template: Template; readonly value: string };

interface WaitOptions extends TargetOptions {
  readonly for: Condition;
  /** Milliseconds. */
  readonly timeout: number;
}

/** As kubectl's. */
const TIMEOUT_MS = 30_000;

/** A day; timers of Node.js hold no more than 24. */
const TIMEOUT_MS_MAX = 86_400_000;

export function waitCommand(): Command {
  return new Command('wait')
    .description('wait for something to become true of resources')
    .argument('<kind>', 'a kind, such as node; or KIND/NAME')
    .argument('[names...]', 'the resources')
    .addOption(
      new Option('--for <condition>', "exists, delete, or jsonpath='{.spec.x}'=VALUE")
        .argParser(conditionOf)
        .makeOptionMandatory(),
    )
    .addOption(new Option('--timeout <time>', 'how long: 30s, 5m').argParser(timeoutOf).default(TIMEOUT_MS, '30s'))
    .addOption(namespaceOption())
    .addOption(allNamespacesOption())
    .addOption(selectorOption())
    .addOption(storeOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin wait node/host-a --for=exists\n  muslin wait wep -l \'app == "web"\' --for=delete --timeout 1m' +
        "\n  muslin wait ippool a --for=jsonpath='{.spec.disabled}'=true",
    )
    .action(async (word: string, names: string[], options: WaitOptions, command: Command) => {
      const target = targetOf([word, ...names], options);
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), options.timeout);
      const there = new Map<string, AnyResource>();
      let isMet = false;
      let isInSync = false;
      const look = () => {
        isMet ||= isInSync && holds(options.for, target, there);
        if (isMet) stop.abort();
      };
      const changed = (change: string, resource: AnyResource) => {
        if (change === 'gone') there.delete(keyOf(resource));
        else there.set(keyOf(resource), resource);
        look();
      };
      const inSync = () => {
        isInSync = true;
        look();
      };
      const output = outputOf(command);
      try {
        await withStore(command, (store) => followTarget(store, target, { changed, inSync }, output, stop.signal));
      } finally {
        clearTimeout(timer);
      }
      if (!isMet) throw new CommandError(EXIT_CODE.timeout, timeoutMessage(options, target, there));
      output.result(`${titleOf(target)} ${WORDS[options.for.kind]}\n`);
    });
}

/** How the result says it. */
const WORDS: Readonly<Record<Condition['kind'], string>> = {
  exists: 'is there',
  delete: 'is gone',
  jsonpath: 'has the value',
};

function conditionOf(text: string): Condition {
  if (text === 'exists' || text === 'delete') return { kind: text };
  const [, template, value] = /^jsonpath=(.*\}['"]?)=(.*)$/s.exec(text) ?? [];
  if (template === undefined || value === undefined) {
    throw new InvalidArgumentError("Write exists, delete, or jsonpath='{.spec.x}'=VALUE.");
  }
  return { kind: 'jsonpath', template: parseTemplate(template), value };
}

function timeoutOf(text: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  const [, amount, unit = 's'] = /^(\d{1,9})(ms|s|m|h)?$/.exec(text) ?? [];
  const milliseconds = Number(amount) * (units[unit] ?? 0);
  if (milliseconds > 0 && milliseconds <= TIMEOUT_MS_MAX) return milliseconds;
  throw new InvalidArgumentError('It is not a time; write 30s, 5m or 1h, up to 24h.');
}

/** Whether the condition holds for all that the target names, or for all that it chooses, which must be some. */
function holds(condition: Condition, target: Target, there: ReadonlyMap<string, AnyResource>): boolean {
  if (condition.kind === 'delete') return there.size === 0;
  const wanted = target.by === 'name' ? new Set(target.items.map(({ key }) => key)).size : Math.max(1, there.size);
  if (there.size < wanted) return false;
  if (condition.kind === 'exists') return true;
  const { value } = condition;
  return [...there.values()].every((each) => valueIn(condition, each) === value);
}

function valueIn(condition: Extract<Condition, { kind: 'jsonpath' }>, resource: AnyResource): string {
  return fillTemplate(condition.template, documentOf(resource));
}

function titleOf(target: Target): string {
  if (target.by === 'name') return target.items.map(({ title }) => title).join(', ');
  return target.kinds.map(({ plural }) => plural).join(', ');
}

function timeoutMessage(
  { for: condition, timeout }: WaitOptions,
  target: Target,
  there: ReadonlyMap<string, AnyResource>,
) {
  const found = [...there.values()];
  const now =
    condition.kind === 'jsonpath' && found.length > 0
      ? `has ${found.map((each) => `"${valueIn(condition, each)}"`).join(', ')}, not "${condition.value}"`
      : found.length > 0
        ? 'is still there'
        : 'is not there';
  return `${titleOf(target)} ${now} after ${timeout / 1000}s`;
}
