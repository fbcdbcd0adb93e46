/**
 * `muslin ipam configure`: changes how nodes take blocks, in the IPAMConfiguration "default"; without options shows it.
 *
 * What is not named stays as it is. Combinations that would leave nodes without addresses are refused, as by `apply`.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { BLOCKS_MAX_DEFAULT } from '../ipam/assign.ts';
import { DEFAULT_CONFIGURATION } from '../model/configuration-name.ts';
import { ipamConfigurationKind } from '../model/ipam-configuration.ts';
import { formatPath } from '../model/problem.ts';
import { API_VERSION } from '../model/resource.ts';
import { resourceKey } from '../model/resource-key.ts';
import { validateResource } from '../model/validate.ts';
import type { Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { formatResource, outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import { resourceIn } from './target.ts';
import { dryRunOption, writeAll } from './write.ts';

interface ConfigureOptions {
  readonly strictAffinity?: boolean;
  readonly maxBlocksPerHost?: number;
  readonly autoAllocateBlocks?: boolean;
  readonly dryRun?: boolean;
}

export function ipamConfigureCommand(): Command {
  return new Command('configure')
    .description('Change how nodes take blocks of addresses; without options, show it.')
    .addOption(
      new Option('--strict-affinity <bool>', 'true: nodes borrow no addresses from each other').argParser(truthOf),
    )
    .addOption(
      new Option(
        '--max-blocks-per-host <n>',
        `how many blocks a node may claim; 0 for ${BLOCKS_MAX_DEFAULT}`,
      ).argParser(countOf),
    )
    .addOption(
      new Option('--auto-allocate-blocks <bool>', 'false: nodes claim no blocks by themselves').argParser(truthOf),
    )
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin ipam configure\n  muslin ipam configure --strict-affinity true --max-blocks-per-host 4',
    )
    .action((options: ConfigureOptions, command: Command) =>
      withStore(command, (store) => configure(store, options, outputOf(command))),
    );
}

async function configure(store: Store, options: ConfigureOptions, output: Output): Promise<void> {
  const { strictAffinity, maxBlocksPerHost, autoAllocateBlocks } = options;
  const changes = {
    ...(strictAffinity !== undefined && { strictAffinity }),
    ...(maxBlocksPerHost !== undefined && { maxBlocksPerHost }),
    ...(autoAllocateBlocks !== undefined && { autoAllocateBlocks }),
  };
  const entry = await store.get(resourceKey({ kind: 'IPAMConfiguration', name: DEFAULT_CONFIGURATION }));
  const stored = entry === undefined ? undefined : resourceIn(entry);
  const validated = validateResource({
    apiVersion: API_VERSION,
    kind: 'IPAMConfiguration',
    metadata: stored?.metadata ?? { name: DEFAULT_CONFIGURATION },
    spec: { ...stored?.spec, ...changes },
  });
  if (!validated.ok) {
    const lines = validated.problems.map(({ path, message }) => `IPAMConfiguration: ${formatPath(path)}: ${message}`);
    throw new CommandError(EXIT_CODE.usage, lines.join('\n'));
  }
  const { resource } = validated;
  if (Object.keys(changes).length === 0) {
    output.result(formatResource(ipamConfigurationKind, resource, { name: 'wide' }));
    return;
  }
  const place = { kind: ipamConfigurationKind, source: 'options', ruleLines: undefined, fromFile: false };
  await writeAll(store, [{ ...place, resource }], 'applied', options, output);
}

function truthOf(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new InvalidArgumentError('Write true or false.');
}

function countOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Write a whole number; 0 stands for the built-in limit.');
}
