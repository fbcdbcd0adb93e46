import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFakeKernel, createFakeWorld } from './fake-kernel.ts';
import { kernelSuite } from './kernel.suite.ts';

const PEER_PATH = '/run/netns/peer';

kernelSuite('fake kernel', () => {
  const world = createFakeWorld();
  world.addNamespace(PEER_PATH);
  const kernel = world.open();
  const peer = world.open(PEER_PATH);
  return {
    kernel,
    peer,
    peerPath: PEER_PATH,
    close: () => {
      kernel.close();
      peer.close();
    },
  };
});

test('a namespace that is removed takes the far ends of its veths with it', () => {
  const world = createFakeWorld();
  world.addNamespace(PEER_PATH);
  const kernel = world.open();
  kernel.addVeth({ name: 'cali1', peer: { name: 'eth0', namespacePath: PEER_PATH } });
  world.open(PEER_PATH).addVeth({ name: 'a', peer: { name: 'b' } });
  world.removeNamespace(PEER_PATH);
  assert.deepEqual(
    kernel.links().map((link) => link.name),
    ['lo'],
  );
  assert.throws(() => world.open(PEER_PATH), { code: 'ENOENT' });
});

test('a closed kernel is not used', () => {
  const kernel = createFakeKernel();
  kernel.close();
  assert.throws(() => kernel.links(), /closed/);
});
