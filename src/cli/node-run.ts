/**
 * `muslin node run`: the agent itself, until it is told to stop.
 *
 * This is what a service manager starts, and the lab for each of its hosts. A bad configuration is a user's mistake and
 * has no stack trace; everything after that is the agent's own to log.
 */
import { Command } from 'commander';
import { KernelError } from '../kernel/kernel.ts';
import { ConfigurationError } from '../node/configuration.ts';
import { runNode } from '../node/run.ts';
import { StoreError } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

export function nodeRunCommand(): Command {
  return new Command('run')
    .description('Run the agent of this host in the foreground, until SIGTERM. It logs JSON lines on stderr.')
    .requiredOption('--config <file>', 'its configuration: node, store, runDirectory')
    .addHelpText('after', '\nExample:\n  muslin node run --config /etc/muslin/agent.yaml')
    .action(async ({ config }: { readonly config: string }) => {
      try {
        await runNode({ configPath: config });
      } catch (error) {
        if (error instanceof ConfigurationError) throw new CommandError(EXIT_CODE.usage, error.message);
        if (error instanceof StoreError) throw new CommandError(EXIT_CODE.unreachable, error.message);
        if (error instanceof KernelError) throw new CommandError(EXIT_CODE.failure, kernelMessage(error));
        throw error;
      }
    });
}

function kernelMessage({ code, message }: KernelError): string {
  return code === 'EPERM' ? `${message}\nthe agent changes the network of this host, which needs root` : message;
}
