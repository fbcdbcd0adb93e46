/**
 * `muslin bgp run`: a speaker alone, without agent and store: reflector, top-of-rack switch or route server.
 *
 * The file says all of it (docs/bgp-run.md). A mistake in the file is a user's, with its line; everything after the start is
 * the speaker's own to log.
 */
import { Command, Option } from 'commander';
import { CommandError, EXIT_CODE } from './exit-code.ts';

interface RunOptions {
  readonly config: string;
  readonly check?: true;
  readonly socket?: string;
}

export function bgpRunCommand(): Command {
  return new Command('run')
    .description('Run a BGP speaker alone, in the foreground, until SIGTERM. SIGHUP reads the file again.')
    .requiredOption('--config <file>', 'who we are and whom we talk to; see docs/bgp-run.md')
    .option('--check', 'only say whether the file is right')
    .addOption(
      new Option('--socket <path>', 'where `muslin bgp peers --socket` and the like get their answers').env(
        'MUSLIN_SOCKET',
      ),
    )
    .addHelpText(
      'after',
      '\nExample:\n  muslin bgp run --config /etc/muslin/reflector.yaml --socket /run/muslin/bgp.sock',
    )
    .action(async ({ config, check, socket }: RunOptions) => {
      if (check === true) return checkFile(config);
      const { runStandalone, StandaloneError } = await import('../node/standalone-run.ts');
      try {
        await runStandalone({ configPath: config, socketPath: socket });
      } catch (error) {
        if (!(error instanceof StandaloneError)) throw error;
        throw new CommandError(error.code === 'file' ? EXIT_CODE.usage : EXIT_CODE.failure, error.message);
      }
    });
}

async function checkFile(path: string): Promise<void> {
  const { handOver, readStandalone } = await import('../node/standalone-load.ts');
  const parse = await readStandalone(path);
  if (handOver(parse)) return;
  if (!parse.ok) throw new CommandError(EXIT_CODE.usage, parse.problems.join('\n'));
  process.stdout.write(`${path}: is right\n`);
}
