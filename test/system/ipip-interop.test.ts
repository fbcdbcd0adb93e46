/**
 * The programs against the kernel's own `ipip`, in a virtual machine with Debian's kernel, which has it and has no TCX.
 *
 * One boot, in which vm/ipip-against-kernel.ts asks both sides the same; here the answers are compared. A machine without qemu or
 * without that kernel skips it, and says so.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Report } from '../vm/ipip-against-kernel.ts';
import { missingForVirtualMachine, runInVirtualMachine } from '../vm/virtual-machine.ts';

const missing = missingForVirtualMachine();
/** It takes 30 seconds on an idle machine, and several times that where others work. */
const LIMIT_MS = 540_000;

if (missing !== undefined) {
  const remedy = 'run scripts/setup --test where Debian packages can be fetched';
  process.stderr.write(`\nNOT TESTED: IPIP against the kernel's own: ${missing}; ${remedy}\n\n`);
}

describe("IPIP by programs and the kernel's ipip", { skip: missing ?? false, timeout: LIMIT_MS }, () => {
  let answers: { readonly kinds: readonly string[]; readonly kernel: Report; readonly programs: Report };

  before(async () => {
    const command = 'node_modules/.bin/node test/vm/ipip-against-kernel.ts';
    const ended = await runInVirtualMachine(command, ['veth', 'ipip', 'sch_ingress', 'cls_bpf'], LIMIT_MS - 10_000);
    assert.equal(ended.code, 0, `the machine ended with ${ended.code}:\n${ended.console}\n${ended.stdout}`);
    answers = JSON.parse(ended.stdout);
  });

  it('one host has the one, the other the other', () => {
    assert.deepEqual(answers.kinds, ['ipip', 'veth']);
  });

  it('pings get through in both directions, in fragments, too', () => {
    assert.deepEqual([answers.kernel.pings, answers.programs.pings], [6, 6]);
  });

  it('outer headers are the same, and so is what comes out', () => {
    assert.equal(answers.kernel.outerHeaders.length, 12);
    assert.deepEqual(answers.programs.outerHeaders, answers.kernel.outerHeaders);
  });

  it('congestion is told in the same way', () => {
    assert.deepEqual(answers.programs.combinedEcn, answers.kernel.combinedEcn);
  });

  it('the container hears what fits: through the device, and on the way', () => {
    assert.deepEqual(answers.kernel.told, { device: 1480, path: 1380 });
    assert.deepEqual(answers.programs.told, answers.kernel.told);
  });

  it('TCP gets through in both directions', () => {
    assert.deepEqual([answers.kernel.carried, answers.programs.carried], [300_000, 300_000]);
  });
});
