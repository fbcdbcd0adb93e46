/**
 * A service manager's ear, for tests: a datagram socket that keeps what it is told.
 *
 * Called by the notifier's own test and by the system tests of the agent. Who waits for a message waits for as long as the test may take.
 */
import { closeSync } from 'node:fs';
import { KernelError } from '../kernel/kernel.ts';
import { unixAddress } from '../kernel/notify-socket.ts';
import {
  AF_UNIX,
  bind,
  pollReadable,
  receive,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  socket,
} from '../kernel/system-calls.ts';

export class NotifyListener {
  /** In the order in which they came; a message is the lines of one datagram. */
  readonly messages: string[][] = [];
  readonly #fd: number;
  readonly #poll: ReturnType<typeof pollReadable>;
  readonly #buffer = new Uint8Array(4096);
  #onMessage = (): void => undefined;

  constructor(path: string) {
    this.#fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bind(this.#fd, unixAddress(path));
    this.#poll = pollReadable(this.#fd, () => this.drain());
  }

  /** Takes what has come by now. */
  drain(): void {
    for (;;) {
      try {
        const length = receive(this.#fd, this.#buffer, 0);
        const text = new TextDecoder().decode(this.#buffer.subarray(0, length));
        this.messages.push(text.split('\n').filter((line) => line !== ''));
      } catch (error) {
        if (error instanceof KernelError && error.code === 'EAGAIN') break;
        throw error;
      }
    }
    this.#onMessage();
  }

  /** All lines that have come. */
  get lines(): string[] {
    return this.messages.flat();
  }

  /** Resolves once the lines that have come fulfil the condition. */
  until(condition: (lines: readonly string[]) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#onMessage = () => {
        if (condition(this.lines)) resolve();
      };
      this.#onMessage();
    });
  }

  close(): void {
    this.#poll.close();
    closeSync(this.#fd);
  }
}
