/** One block: the queue of free ordinals, and attributes that come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { validateResource } from '../model/validate.ts';
import { cidr } from '../net/cidr.ts';
import {
  assignOrdinal,
  holderAt,
  isEmpty,
  newBlock,
  nextFree,
  ordinalsOf,
  ownerOf,
  releaseOrdinals,
  withOwner,
} from './block.ts';

const BLOCK = newBlock(cidr('10.0.0.0/30'), 'a');
const holder = (handleId: string, secondary = {}) => ({ handleId, secondary });

test('an address that was released is the last to be assigned again', () => {
  let block = BLOCK;
  const order: (number | undefined)[] = [];
  for (let round = 0; round < 10; round++) {
    const ordinal = nextFree(block, []);
    order.push(ordinal);
    block = releaseOrdinals(assignOrdinal(block, ordinal!, holder('h')), [ordinal!]);
  }
  assert.deepEqual(order, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]);
});

test('reserved addresses are passed over and stay free', () => {
  const rows: [string[], number | undefined][] = [
    [[], 0],
    [['10.0.0.0/31'], 2],
    [['10.0.0.0/32', '10.0.0.2/32'], 1],
    [['10.0.0.0/8'], undefined],
    [['fd00::/8'], 0],
  ];
  for (const [reserved, ordinal] of rows) assert.equal(nextFree(BLOCK, reserved.map(cidr)), ordinal, String(reserved));
});

test('equal holders share an attribute, which goes with the last of them', () => {
  let block = assignOrdinal(BLOCK, 0, holder('x'));
  block = assignOrdinal(block, 1, holder('y', { pod: 'p' }));
  block = assignOrdinal(block, 3, holder('x'));
  assert.deepEqual(block.spec.allocations, [0, 1, null, 0]);
  assert.deepEqual(ordinalsOf(block, 'x'), [0, 3]);
  block = releaseOrdinals(block, [0]);
  assert.deepEqual(block.spec.allocations, [null, 1, null, 0]);
  block = releaseOrdinals(block, [3]);
  assert.deepEqual(block.spec.allocations, [null, 0, null, null]);
  assert.deepEqual(block.spec.attributes, [{ handle_id: 'y', secondary: { pod: 'p' } }]);
  assert.deepEqual(holderAt(block, 1), holder('y', { pod: 'p' }));
  assert.equal(holderAt(block, 0), undefined);
  assert.equal(isEmpty(releaseOrdinals(block, [1])), true);
});

test('a taken address cannot be assigned: that would be our bug', () => {
  assert.throws(() => assignOrdinal(assignOrdinal(BLOCK, 1, holder('x')), 1, holder('y')), /ordinal 1 of 10.0.0.0\/30/);
});

test('the owner is the node of the affinity', () => {
  assert.equal(ownerOf(BLOCK), 'a');
  assert.equal(ownerOf(withOwner(BLOCK, 'b')), 'b');
  assert.equal(ownerOf(withOwner(BLOCK, undefined)), undefined);
});

test('whatever is assigned and released, the block stays a valid resource', () => {
  const steps = fc.array(fc.record({ ordinal: fc.nat(7), handle: fc.constantFrom('x', 'y', 'z') }), { maxLength: 40 });
  fc.assert(
    fc.property(steps, (list) => {
      let block = newBlock(cidr('fd00::8/125'), 'a');
      const model = new Map<number, string>();
      for (const { ordinal, handle } of list) {
        if (model.delete(ordinal)) block = releaseOrdinals(block, [ordinal]);
        else {
          block = assignOrdinal(block, ordinal, holder(handle));
          model.set(ordinal, handle);
        }
        const validated = validateResource(block);
        assert.ok(validated.ok, JSON.stringify(validated));
        assert.equal(
          new Set(block.spec.allocations.filter((index) => index !== null)).size,
          block.spec.attributes.length,
        );
        for (let each = 0; each < 8; each++) assert.equal(holderAt(block, each)?.handleId, model.get(each));
      }
    }),
  );
});
