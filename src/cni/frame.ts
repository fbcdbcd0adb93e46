/**
 * The bytes between the CNI plugin (shim.c) and the agent: one request and one answer per connection.
 *
 *   request   u32 little-endian length of what follows, "CNI_KEY=VALUE\0" for each variable, "\0", stdin
 *   answer    u8 exit code, then what goes to stdout, to the end of the stream
 *
 * The decoder is handed chunks as a socket gives them, in pieces of any size, and copies what it keeps. What a caller sends
 * is never trusted: a malformed frame is a value, and nothing is stored beyond the announced, bounded length. The other
 * direction, a request's encoder and an answer's decoder, is for `muslin attach`, which asks the agent without the plugin.
 */
export interface RequestFrame {
  /** The CNI_ variables by name. */
  readonly environment: ReadonlyMap<string, string>;
  /** The caller's stdin: the network configuration. */
  readonly input: string;
}

export type FrameState =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'complete'; readonly frame: RequestFrame }
  /** The connection is of no more use; `reason` is for the log and the caller. */
  | { readonly kind: 'malformed'; readonly reason: string };

/** The plugin's own bound (FRAME_BYTES_MAX in shim.c): a network configuration is some kilobytes, with a long prevResult too. */
export const REQUEST_BYTES_MAX = 1024 * 1024;
const LENGTH_BYTES = 4;
const INCOMPLETE: FrameState = { kind: 'incomplete' };

export class RequestFrameDecoder {
  readonly #header = new Uint8Array(LENGTH_BYTES);
  #body = new Uint8Array(0);
  /** Bytes received so far, of the length field and of the body together. */
  #received = 0;

  /** Takes the next bytes of the connection. After 'complete' or 'malformed' the decoder wants no more. */
  push(chunk: Uint8Array): FrameState {
    let rest = chunk;
    if (this.#received < LENGTH_BYTES) {
      const part = rest.subarray(0, LENGTH_BYTES - this.#received);
      this.#header.set(part, this.#received);
      this.#received += part.length;
      rest = rest.subarray(part.length);
      if (this.#received < LENGTH_BYTES) return INCOMPLETE;
      const length = new DataView(this.#header.buffer).getUint32(0, true);
      if (length > REQUEST_BYTES_MAX) {
        return malformed(`the request has ${length} bytes; at most ${REQUEST_BYTES_MAX} are accepted`);
      }
      this.#body = new Uint8Array(length);
    }
    const missing = LENGTH_BYTES + this.#body.length - this.#received;
    if (rest.length > missing) return malformed(`${rest.length - missing} bytes follow the end of the request`);
    this.#body.set(rest, this.#received - LENGTH_BYTES);
    this.#received += rest.length;
    return rest.length < missing ? INCOMPLETE : parseBody(this.#body);
  }
}

/** The bytes of an answer; `output` is what the plugin prints on stdout, "" for nothing. */
export function encodeAnswer(exitCode: number, output: string): Uint8Array {
  const text = new TextEncoder().encode(output);
  const bytes = new Uint8Array(1 + text.length);
  bytes[0] = exitCode;
  bytes.set(text, 1);
  return bytes;
}

/** The bytes of a request; no variable may contain a zero. */
export function encodeRequest({ environment, input }: RequestFrame): Uint8Array {
  const variables = [...environment].map(([name, value]) => `${name}=${value}\0`);
  const body = new TextEncoder().encode(`${variables.join('')}\0${input}`);
  const bytes = new Uint8Array(LENGTH_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length, true);
  bytes.set(body, LENGTH_BYTES);
  return bytes;
}

/** An answer that has been read to its end; undefined when it is empty: the agent went away before it answered. */
export function decodeAnswer(bytes: Uint8Array): { readonly exitCode: number; readonly output: string } | undefined {
  const [exitCode] = bytes;
  return exitCode === undefined ? undefined : { exitCode, output: new TextDecoder().decode(bytes.subarray(1)) };
}

function parseBody(body: Uint8Array): FrameState {
  const decoder = new TextDecoder();
  const environment = new Map<string, string>();
  let start = 0;
  for (;;) {
    const end = body.indexOf(0, start);
    if (end < 0) return malformed('the list of variables does not end with an empty one');
    if (end === start)
      return { kind: 'complete', frame: { environment, input: decoder.decode(body.subarray(end + 1)) } };
    const variable = decoder.decode(body.subarray(start, end));
    const equals = variable.indexOf('=');
    if (equals < 1) return malformed(`not NAME=VALUE: ${JSON.stringify(variable.slice(0, 100))}`);
    environment.set(variable.slice(0, equals), variable.slice(equals + 1));
    start = end + 1;
  }
}

function malformed(reason: string): FrameState {
  return { kind: 'malformed', reason };
}
