/**
 * libnftables, the library behind the `nft` program, called inside the process.
 *
 * A context belongs to the network namespace of the thread that makes it; callers make and use it there (nft.ts). Output
 * and errors go to buffers of the context, which the next run overwrites, so they are copied at once.
 *
 * Traps: a script must end in a newline; an error in a later line is shown under the first one; with the JSON flag set the
 * library reads its input as JSON first, so the flag is set for listings only; words that it does not know it resolves by
 * DNS, blocking, unless told not to, which it can be from version 1.0.8 on (with older ones all depends on the caller's
 * printing no such word).
 */
import { createRequire } from 'node:module';
import { assert } from '../lib/assert.ts';

/** What a run came to; both texts as nft wrote them. */
interface NftResult {
  readonly ok: boolean;
  readonly output: string;
  readonly errors: string;
}

/**
 * What to do with commands: carry them out; only ask nft and the kernel whether they would; list as JSON, without or with
 * what changes by itself (counters).
 */
export type NftMode = 'apply' | 'check' | 'list' | 'listCounters';

/** One way to run nft, in the namespace that the calling thread is in. */
export interface NftEngine {
  run(commands: string, mode: NftMode): NftResult;
  close(): void;
}

/** From nftables/libnftables.h. */
const OUTPUT_STATELESS = 1 << 2;
const OUTPUT_JSON = 1 << 4;
const INPUT_NO_DNS = 1 << 0;
const OUTPUT_FLAGS: Readonly<Record<NftMode, number>> = {
  apply: 0,
  check: 0,
  list: OUTPUT_JSON | OUTPUT_STATELESS,
  listCounters: OUTPUT_JSON,
};

/** koffi's pointers are opaque. */
type Context = unknown;

interface Functions {
  contextNew(flags: number): Context;
  contextFree(context: Context): void;
  bufferOutput(context: Context): number;
  bufferErrors(context: Context): number;
  setOutputFlags(context: Context, flags: number): void;
  setDryRun(context: Context, dry: boolean): void;
  setInputFlags: ((context: Context, flags: number) => number) | undefined;
  run(context: Context, commands: string): number;
  output(context: Context): string | null;
  errors(context: Context): string | null;
}

let loaded: { readonly functions: Functions | undefined } | undefined;

/** Undefined when the library is not installed. */
export function loadLibnftables(): { newContext(): NftEngine } | undefined {
  loaded ??= { functions: load() };
  const { functions } = loaded;
  return functions === undefined ? undefined : { newContext: () => newContext(functions) };
}

function load(): Functions | undefined {
  // createRequire gives `any`; the types are those of the package.
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load('libnftables.so.1');
  } catch {
    return undefined;
  }
  return {
    contextNew: library.func('void *nft_ctx_new(uint32_t)'),
    contextFree: library.func('void nft_ctx_free(void *)'),
    bufferOutput: library.func('int nft_ctx_buffer_output(void *)'),
    bufferErrors: library.func('int nft_ctx_buffer_error(void *)'),
    setOutputFlags: library.func('void nft_ctx_output_set_flags(void *, unsigned int)'),
    setDryRun: library.func('void nft_ctx_set_dry_run(void *, bool)'),
    setInputFlags: optional(() => library.func('unsigned int nft_ctx_input_set_flags(void *, unsigned int)')),
    run: library.func('int nft_run_cmd_from_buffer(void *, const char *)'),
    output: library.func('const char *nft_ctx_get_output_buffer(void *)'),
    errors: library.func('const char *nft_ctx_get_error_buffer(void *)'),
  };
}

function newContext(functions: Functions): NftEngine {
  let context: Context | undefined = functions.contextNew(0);
  functions.bufferOutput(context);
  functions.bufferErrors(context);
  functions.setInputFlags?.(context, INPUT_NO_DNS);
  return {
    run: (commands, mode) => {
      assert(context !== undefined, 'nft is used after it was closed');
      functions.setOutputFlags(context, OUTPUT_FLAGS[mode]);
      functions.setDryRun(context, mode === 'check');
      const ok = functions.run(context, commands.endsWith('\n') ? commands : `${commands}\n`) === 0;
      return { ok, output: functions.output(context) ?? '', errors: functions.errors(context) ?? '' };
    },
    close: () => {
      if (context !== undefined) functions.contextFree(context);
      context = undefined;
    },
  };
}

/** A function that only newer versions of the library have. */
function optional<Result>(find: () => Result): Result | undefined {
  try {
    return find();
  } catch {
    return undefined;
  }
}
