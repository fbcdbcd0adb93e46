/**
 * The agent, but for one thing: it is killed at a step of its choice, as by the kernel when memory runs out.
 *
 *   node killed-agent.ts CONFIG COMMAND STEP
 *
 * Steps are what changes the world outside of the process: a transaction of the store, a change of devices, addresses, routes,
 * neighbours and settings, an application of the packet filter. From the first COMMAND (ADD or DEL) on they are counted, and
 * before the one of number STEP is taken the process is gone, without a chance to clean up. For attach-killed.test.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKernel } from '../../src/kernel/netlink-kernel.ts';
import { Attachments } from '../../src/node/attach/attachments.ts';
import type { CniWork } from '../../src/node/attach/cni-server.ts';
import { PacketFilter } from '../../src/node/filter/packet-filter.ts';
import { runNode } from '../../src/node/run.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';

const [configPath = '', command = '', step = ''] = process.argv.slice(2);
const KERNEL_CHANGES = [
  ...['addVeth', 'removeLink', 'setLinkUp', 'setLinkMtu', 'addAddress', 'putRoute', 'removeRoute'],
  ...['putNeighbour', 'addNeighbourProxy', 'writeSysctl'],
];

let isCounting = false;
let count = 0;

function takeStep(): void {
  if (!isCounting) return;
  count += 1;
  if (count === Number(step)) process.kill(process.pid, 'SIGKILL');
}

type Methods = Record<string, (...values: unknown[]) => unknown>;

/** Has `before` called before each of the methods, whoever the object is of. */
function precede(prototype: object, names: readonly string[], before: (...values: unknown[]) => void): void {
  const methods = prototype as Methods;
  for (const name of names) {
    const method = methods[name];
    if (method === undefined) throw new Error(`there is no ${name} any more`);
    methods[name] = function (this: unknown, ...values: unknown[]): unknown {
      before(...values);
      return method.apply(this, values);
    };
  }
}

const kernel = openKernel();
precede(Object.getPrototypeOf(kernel), KERNEL_CHANGES, takeStep);
kernel.close();
const directory = mkdtempSync(join(tmpdir(), 'muslin-test-killed-'));
const store = openSqliteStore(join(directory, 'store.db'));
precede(Object.getPrototypeOf(store), ['transact'], takeStep);
await store.close();
rmSync(directory, { recursive: true });
precede(PacketFilter.prototype, ['apply'], takeStep);
precede(Attachments.prototype, ['carryOut'], (work) => {
  if ((work as CniWork).command === command) isCounting = true;
});
await runNode({ configPath });
