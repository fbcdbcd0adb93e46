/**
 * `muslin bgp reset`: ends a session so that it begins anew, or (`--soft`) only has the routes exchanged again.
 *
 * A reset sends a NOTIFICATION with the operator's words (RFC 9003). It is over as soon as the agent has taken it; how the
 * session comes back is shown by `muslin bgp log`. `--soft` needs route refresh for `in` and nothing for `out`.
 */
import { Command, Option } from 'commander';
import { bgpCommand } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';

interface ResetOptions {
  readonly socket: string;
  readonly communication?: string;
  readonly soft?: 'in' | 'out';
}

export function bgpResetCommand(): Command {
  return new Command('reset')
    .description('End the session with a peer, so that it begins anew; with --soft only exchange the routes again.')
    .argument('<peer>', 'its address, or a word of its description, such as the name of its node')
    .option('--communication <text>', "why, for the peer's operator; at most 255 bytes")
    .addOption(
      new Option('--soft <direction>', 'in: ask the peer for its routes again; out: send it ours again')
        .choices(['in', 'out'])
        .conflicts('communication'),
    )
    .addOption(socketOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin bgp reset 192.168.1.2 --communication "new cable"\n  muslin bgp reset 192.168.1.2 --soft in',
    )
    .action(async (peer: string, { socket, communication = '', soft }: ResetOptions) => {
      const parameters =
        soft === undefined
          ? { command: 'reset', communication }
          : { command: soft === 'in' ? 'refreshIn' : 'refreshOut' };
      const name = await askAgent(socket, (path) => bgpCommand(path, peer, parameters));
      process.stdout.write(`${name}: ${doneText(soft)}\n`);
    });
}

function doneText(soft: 'in' | 'out' | undefined): string {
  if (soft === undefined) return 'the session is being reset';
  return soft === 'in' ? 'asked for its routes again' : 'is being sent our routes again';
}
