/**
 * One client of the load generator: a connection from an address of its own, the handshake, cutting the stream into messages.
 *
 * All clients read into one buffer, one after the other; only the beginning of a message whose end is still on its way is
 * kept. A refused or lost connection before the session is up is tried again; after that it is a fault.
 */
import { connect, type Socket } from 'node:net';
import { keepalive, MESSAGE, open } from './bgp-load-workload.ts';

const HEADER_BYTES = 19;
/** RFC 8654; nobody sends more. */
const MESSAGE_BYTES_MAX = 65_535;
const RETRY_MS = 100;
/** A SYN that was dropped by a full backlog is given up sooner than the kernel would. */
const CONNECT_LIMIT_MS = 2_000;
const READ_BYTES = 256 * 1024;

const shared = Buffer.allocUnsafe(READ_BYTES);

export interface ClientOptions {
  readonly index: number;
  readonly address: number;
  readonly asn: number;
  readonly family: 4 | 6;
  readonly remote: { readonly address: string; readonly port: number };
  readonly onEstablished: (client: Client) => void;
  /** The body of an UPDATE; false when it cannot be read. */
  readonly onUpdate: (client: Client, bytes: Uint8Array, start: number, end: number) => boolean;
  /** After each reading; what has come is counted. */
  readonly onRead: () => void;
  readonly onLost: (client: Client, why: string) => void;
}

export class Client {
  readonly index: number;
  readonly address: number;
  readonly #options: ClientOptions;
  #socket: Socket | undefined;
  #isEstablished = false;
  #isEnded = false;
  readonly #part = Buffer.allocUnsafe(MESSAGE_BYTES_MAX);
  #partBytes = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.index = options.index;
    this.address = options.address;
  }

  get isEstablished(): boolean {
    return this.#isEstablished;
  }

  connect(): void {
    const { remote, address } = this.#options;
    this.#partBytes = 0;
    const socket = connect({
      host: remote.address,
      port: remote.port,
      localAddress: addressText(address),
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (count) => {
          this.#read(count);
          return true;
        },
      },
    });
    this.#socket = socket;
    const limit = setTimeout(() => socket.destroy(new Error('no answer')), CONNECT_LIMIT_MS);
    socket.once('connect', () => {
      clearTimeout(limit);
      socket.write(open(this.#options.asn, address, this.#options.family));
    });
    let why = 'closed';
    socket.on('error', (error) => {
      why = error.message;
    });
    socket.once('close', () => {
      clearTimeout(limit);
      this.#closed(why);
    });
  }

  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  end(): void {
    this.#isEnded = true;
    this.#socket?.destroy();
  }

  #closed(why: string): void {
    if (this.#isEnded) return;
    if (this.#isEstablished) this.#options.onLost(this, why);
    else setTimeout(() => this.#isEnded || this.connect(), RETRY_MS);
  }

  #read(count: number): void {
    let at = 0;
    // The rest of a message that has begun in an earlier reading.
    while (this.#partBytes > 0 && at < count) {
      const wanted = this.#partBytes < HEADER_BYTES ? HEADER_BYTES : lengthAt(this.#part, 0);
      const taken = Math.min(wanted - this.#partBytes, count - at);
      shared.copy(this.#part, this.#partBytes, at, at + taken);
      this.#partBytes += taken;
      at += taken;
      if (this.#partBytes < HEADER_BYTES || this.#partBytes < lengthAt(this.#part, 0)) continue;
      const length = this.#partBytes;
      this.#partBytes = 0;
      this.#message(this.#part, 0, length);
    }
    while (count - at >= HEADER_BYTES) {
      const length = lengthAt(shared, at);
      if (length < HEADER_BYTES) return void this.#socket?.destroy(new Error(`a message of ${length} bytes`));
      if (count - at < length) break;
      this.#message(shared, at, length);
      at += length;
    }
    if (at < count) {
      shared.copy(this.#part, 0, at, count);
      this.#partBytes = count - at;
    }
    this.#options.onRead();
  }

  #message(bytes: Uint8Array, at: number, length: number): void {
    const type = bytes[at + HEADER_BYTES - 1];
    if (type === MESSAGE.update) {
      const isReadable = this.#options.onUpdate(this, bytes, at + HEADER_BYTES, at + length);
      if (!isReadable) this.#socket?.destroy(new Error('an UPDATE that cannot be read'));
    } else if (type === MESSAGE.open) {
      this.write(keepalive());
    } else if (type === MESSAGE.keepalive && !this.#isEstablished) {
      this.#isEstablished = true;
      this.#options.onEstablished(this);
    } else if (type === MESSAGE.notification) {
      const [code, subcode] = [bytes[at + HEADER_BYTES], bytes[at + HEADER_BYTES + 1]];
      this.#socket?.destroy(new Error(`NOTIFICATION ${code}/${subcode}`));
    }
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 16] ?? 0) << 8) | (bytes[at + 17] ?? 0);
}

export function addressText(address: number): string {
  return [address >>> 24, (address >>> 16) & 0xff, (address >>> 8) & 0xff, address & 0xff].join('.');
}
