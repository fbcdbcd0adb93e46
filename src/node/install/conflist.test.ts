import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { writeCniConfiguration } from './cni-configuration-file.ts';
import { conflistText, isOwnConflist } from './conflist.ts';

const TEXT = conflistText({ agentSocket: '/run/muslin/cni.sock', hasPortmap: true });

describe('the network configuration for runtimes', () => {
  it('asks for us first and for published ports after, with what each can be handed', () => {
    const { plugins, name, cniVersion } = JSON.parse(TEXT);
    assert.deepEqual({ name, cniVersion }, { name: 'muslin', cniVersion: '1.0.0' });
    assert.deepEqual(plugins, [
      {
        type: 'muslin',
        agentSocket: '/run/muslin/cni.sock',
        ipam: { type: 'muslin' },
        capabilities: { ips: true, mac: true, 'io.kubernetes.cri.pod-annotations': true },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ]);
  });

  const EDITS: { title: string; text: string; isOwn: boolean }[] = [
    { title: 'as it was made', text: TEXT, isOwn: true },
    { title: 'in one line', text: JSON.stringify(JSON.parse(TEXT)), isOwn: true },
    { title: 'of another network', text: TEXT.replace('"muslin"', '"other"'), isOwn: false },
    { title: 'with one more option', text: TEXT.replace('"ipam"', '"mtu": 1400, "ipam"'), isOwn: false },
    { title: 'without its seal', text: TEXT.replace('muslin.seal', 'seal'), isOwn: false },
    { title: "somebody else's", text: '{"cniVersion": "1.0.0", "name": "podman", "plugins": []}', isOwn: false },
    { title: 'that is no JSON', text: '{', isOwn: false },
  ];
  for (const { title, text, isOwn } of EDITS) {
    it(`${title} is ${isOwn ? 'ours' : 'not ours'}`, () => assert.equal(isOwnConflist(text), isOwn));
  }
});

describe('the agent that is ready', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'muslin-test-conflist-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  const place = () => join(directory, 'net.d', '10-muslin.conflist');
  const write = (runDirectory = '/run/muslin') =>
    writeCniConfiguration({ runDirectory, cniConfiguration: place(), cniPlugins: join(directory, 'bin') });

  it('writes it, where there is none', () => {
    assert.equal(write(), 'written');
    const expected = conflistText({ agentSocket: '/run/muslin/cni.sock', hasPortmap: false });
    assert.equal(readFileSync(place(), 'utf8'), expected);
    assert.equal(statSync(place()).mode & 0o777, 0o644);
    assert.deepEqual(readdirSync(join(directory, 'net.d')), ['10-muslin.conflist'], 'nothing else is left there');
  });

  it('leaves it alone where it is right', () => {
    write();
    const { ino } = statSync(place());
    assert.equal(write(), 'unchanged');
    assert.equal(statSync(place()).ino, ino);
  });

  it('replaces its own when something has changed', () => {
    write();
    mkdirSync(join(directory, 'bin'));
    writeFileSync(join(directory, 'bin', 'portmap'), '');
    assert.equal(write('/run/other'), 'written');
    const expected = conflistText({ agentSocket: '/run/other/cni.sock', hasPortmap: true });
    assert.equal(readFileSync(place(), 'utf8'), expected);
  });

  it('keeps one that somebody has edited', () => {
    write();
    const edited = readFileSync(place(), 'utf8').replace('"ipam"', '"mtu": 1400, "ipam"');
    writeFileSync(place(), edited);
    assert.equal(write(), 'kept');
    assert.equal(readFileSync(place(), 'utf8'), edited);
  });

  it('writes none where none is wanted', () => {
    const configuration = { runDirectory: '/run/muslin', cniConfiguration: undefined, cniPlugins: '/opt/cni/bin' };
    assert.equal(writeCniConfiguration(configuration), 'not wanted');
    assert.ok(!existsSync(place()));
  });
});
