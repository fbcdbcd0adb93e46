/**
 * `muslin bgp dump`: the BGP table as an MRT file (RFC 6396), which bgpdump and its like read.
 *
 * It is written beside its place and moved there when it is whole, so that no half file is taken for a table. Bytes are not
 * put on a terminal.
 */
import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { bgpDump } from '../node/control-client.ts';
import { askAgent, socketOption } from './agent-question.ts';
import { counted } from './bgp-view.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

export function bgpDumpCommand(): Command {
  return new Command('dump')
    .description('Write the table of BGP routes as MRT (RFC 6396, TABLE_DUMP_V2), which other tools read.')
    .option('--file <file>', 'where to write it; without, it goes to stdout')
    .addOption(socketOption())
    .addHelpText('after', '\nExample:\n  muslin bgp dump --file table.mrt && bgpdump -m table.mrt')
    .action(async ({ socket, file }: { readonly socket: string; readonly file?: string }) => {
      if (file === undefined && process.stdout.isTTY)
        throw new CommandError(
          EXIT_CODE.usage,
          'MRT is no text for a terminal; write --file table.mrt, or | bgpdump -m -',
        );
      const dump = await askAgent(socket, bgpDump);
      if (file === undefined) await whole(pipeline(dump, process.stdout), 'stdout');
      else await writeFile(dump, file);
    });
}

async function writeFile(dump: Readable, file: string): Promise<void> {
  const partial = `${file}.partial`;
  try {
    await whole(pipeline(dump, createWriteStream(partial)), file);
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  process.stderr.write(`${file}: ${counted((await stat(file)).size, 'byte')}\n`);
}

async function whole(written: Promise<void>, place: string): Promise<void> {
  try {
    await written;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT_CODE.failure, `${place}: not written: ${reason}`);
  }
}
