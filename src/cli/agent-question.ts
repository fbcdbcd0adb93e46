/**
 * Commands that ask the agent: which socket, and what to say when nobody answers.
 *
 * The socket is the flag's, else MUSLIN_SOCKET's (which `lab exec` sets for a lab's hosts), else the standard one.
 */
import { Option } from 'commander';
import { CONTROL_SOCKET_NAME, DEFAULT_RUN_DIRECTORY } from '../node/control-api.ts';
import { AgentRefusal, AgentUnreachable } from '../node/control-client.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

const STANDARD_SOCKET = `${DEFAULT_RUN_DIRECTORY}/${CONTROL_SOCKET_NAME}`;
const NOT_FOUND = 404;

export function socketOption(): Option {
  return new Option('--socket <path>', "the agent's control socket").env('MUSLIN_SOCKET').default(STANDARD_SOCKET);
}

/** The socket where no flag says another one. */
export function chosenSocket(): string {
  return process.env['MUSLIN_SOCKET'] ?? STANDARD_SOCKET;
}

/** The answer, or a CommandError with the next thing to try. */
export async function askAgent<Answer>(socket: string, ask: (socket: string) => Promise<Answer>): Promise<Answer> {
  try {
    return await ask(socket);
  } catch (error) {
    if (error instanceof AgentRefusal)
      throw new CommandError(error.code === NOT_FOUND ? EXIT_CODE.notFound : EXIT_CODE.usage, error.message);
    if (!(error instanceof AgentUnreachable)) throw error;
    throw new CommandError(
      EXIT_CODE.unreachable,
      `the agent does not answer: ${error.message}\n` +
        'to start it: muslin node run --config FILE; for a host of a lab: muslin lab exec HOST -- muslin node status',
    );
  }
}
