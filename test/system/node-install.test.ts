/**
 * Installing below a folder, and an agent that starts with what was installed: who is told that it is ready, when, and with which of
 * root's powers.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
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
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { digestOf, manifestText, parseManifest } from '../../src/node/install/manifest.ts';
import { CAPABILITIES } from '../../src/node/install/unit.ts';
import { NotifyListener } from '../../src/node/notify-listener.suite.ts';
import { NODE, PLUGIN, TestHost } from './host-fixture.ts';
import { MUSLIN, type Outcome, run } from './two-hosts-fixture.ts';

const UNIT = 'etc/systemd/system/muslin.service';
const MANIFEST = 'var/lib/muslin/installed.json';

describe('installing', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'muslin-test-install-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const at = (path: string) => join(root, path);
  const install = (...words: string[]): Outcome => run(MUSLIN, ['node', 'install', '--root', root, ...words]);
  const installed = (...words: string[]) => {
    const outcome = install(...words);
    assert.equal(outcome.code, 0, outcome.stderr);
    return outcome;
  };
  /** Each file with its content, its mode and its number, which another file in its place would not have. */
  const tree = () =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        const { mode, ino } = statSync(path);
        return `${path.slice(root.length)} ${(mode & 0o777).toString(8)} ${ino} ${digestOf(readFileSync(path))}`;
      })
      .sort();

  it('puts plugin, unit, settings and a configuration in place, and no network for runtimes', () => {
    const outcome = installed();
    assert.deepEqual(
      tree().map((line) => line.split(' ').slice(0, 2).join(' ')),
      [
        '/etc/muslin/muslin.yaml 600',
        '/etc/sysctl.d/90-muslin.conf 644',
        `/${UNIT} 644`,
        '/opt/cni/bin/muslin 755',
        `/${MANIFEST} 600`,
      ],
    );
    assert.deepEqual(readFileSync(at('opt/cni/bin/muslin')), readFileSync(PLUGIN));
    assert.match(outcome.stdout, /^muslin \d+\.\d+\.\d+: installed\nnext: on the host itself: systemctl enable --now/m);
  });

  it('changes nothing the second time, and says so', () => {
    installed();
    const before = tree();
    const outcome = installed();
    assert.match(outcome.stdout, /installed already; nothing to change/);
    assert.deepEqual(tree(), before);
  });

  it('changes nothing in a dry run, and says what it would', () => {
    assert.match(
      installed('--dry-run').stdout,
      /opt\/cni\/bin\/muslin .* would be created\n.*nothing was changed yet/s,
    );
    assert.deepEqual(readdirSync(root), []);
  });

  it('replaces a plugin of ours that is being executed', async () => {
    installed();
    const place = at('opt/cni/bin/muslin');
    rmSync(place);
    copyFileSync('/bin/sleep', place);
    chmodSync(place, 0o755);
    const manifest = parseManifest(readFileSync(at(MANIFEST), 'utf8'));
    assert.ok(manifest !== undefined);
    const files = new Map([...manifest.files, ['/opt/cni/bin/muslin', digestOf(readFileSync(place))]]);
    writeFileSync(at(MANIFEST), manifestText({ ...manifest, files }));
    const running = spawn(place, ['1000']);
    try {
      await new Promise((resolve) => running.once('spawn', resolve));
      const { files: report } = JSON.parse(installed('-o', 'json').stdout);
      assert.deepEqual(
        report.filter(({ change }: { change: string }) => change !== 'unchanged'),
        [{ path: '/opt/cni/bin/muslin', title: 'CNI plugin', change: 'replace' }],
      );
      assert.deepEqual(readFileSync(place), readFileSync(PLUGIN));
      assert.equal(running.exitCode, null);
    } finally {
      running.kill('SIGKILL');
    }
  });

  it('keeps what somebody has edited, and says so', () => {
    installed();
    const edited = `${readFileSync(at(UNIT), 'utf8')}# mine\n`;
    writeFileSync(at(UNIT), edited);
    const outcome = installed();
    assert.match(outcome.stderr, /muslin\.service is kept: somebody has edited it/);
    assert.equal(readFileSync(at(UNIT), 'utf8'), edited);
  });

  it('never touches a configuration that is there, and says when runtimes will not use us by it', () => {
    mkdirSync(at('etc/muslin'), { recursive: true });
    writeFileSync(at('etc/muslin/muslin.yaml'), 'node: mine\n');
    const outcome = installed();
    assert.equal(readFileSync(at('etc/muslin/muslin.yaml'), 'utf8'), 'node: mine\n');
    assert.match(outcome.stderr, /runtimes will not use muslin: .* does not say "cniConfiguration: /);
  });

  it('takes a configuration of the operator’s', () => {
    writeFileSync(at('my.yaml'), 'node: mine\ncniConfiguration: /etc/cni/net.d/10-muslin.conflist\n');
    assert.equal(installed('--config', at('my.yaml')).stderr, '');
    assert.deepEqual(readFileSync(at('etc/muslin/muslin.yaml')), readFileSync(at('my.yaml')));
  });

  it('tells NetworkManager to keep off, and of a network that goes before ours', () => {
    for (const directory of ['etc/NetworkManager', 'etc/cni/net.d']) mkdirSync(at(directory), { recursive: true });
    writeFileSync(at('etc/cni/net.d/05-other.conf'), '{}');
    const outcome = installed();
    const text = readFileSync(at('etc/NetworkManager/conf.d/muslin.conf'), 'utf8');
    assert.match(text, /^unmanaged-devices=interface-name:cali\*;/m);
    assert.match(outcome.stderr, /go on using .*05-other\.conf: they take the first/);
  });

  it('has a unit that systemd takes', () => {
    installed();
    const outcome = run('systemd-analyze', ['verify', '--man=no', at(UNIT)]);
    assert.deepEqual([outcome.code, outcome.stderr], [0, '']);
  });

  const REFUSALS: { title: string; prepare: () => string[]; code: number; says: RegExp }[] = [
    {
      title: "over somebody else's file",
      prepare: () => {
        mkdirSync(at('opt/cni/bin'), { recursive: true });
        writeFileSync(at('opt/cni/bin/muslin'), 'of somebody else');
        return [];
      },
      code: 4,
      says: /opt\/cni\/bin\/muslin is there, and was not installed by muslin; move it away.*Nothing was changed/,
    },
    {
      title: 'where a folder should be and a file is',
      prepare: () => {
        writeFileSync(at('opt'), '');
        return [];
      },
      code: 1,
      says: /opt\/cni\/bin\/muslin: a part of this path is a file/,
    },
    {
      title: 'with a configuration that is wrong',
      prepare: () => {
        writeFileSync(at('my.yaml'), 'nod: mine\n');
        return ['--config', at('my.yaml')];
      },
      code: 2,
      says: /my\.yaml:1: nod: no such field/,
    },
    {
      title: 'with a configuration that is not there',
      prepare: () => ['--config', at('none.yaml')],
      code: 2,
      says: /there is no file .*none\.yaml/,
    },
  ];
  for (const { title, prepare, code, says } of REFUSALS) {
    it(`refuses ${title}`, () => {
      const words = prepare();
      const before = tree();
      const outcome = install(...words);
      assert.equal(outcome.code, code, outcome.stdout + outcome.stderr);
      assert.match(outcome.stderr, says);
      assert.doesNotMatch(outcome.stderr, /\n\s+at /, 'no stack trace');
      assert.deepEqual(tree(), before);
    });
  }

  it('refuses whom the folder does not let', () => {
    chmodSync(root, 0o555);
    chownSync(root, 65534, 65534);
    const withoutPower = ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--no-new-privs'];
    const outcome = run('env', [...withoutPower, MUSLIN, 'node', 'install', '--root', root]);
    assert.equal(outcome.code, 1, outcome.stdout);
    assert.match(outcome.stderr, /permission denied; root is needed/);
  });

  it('is undone by a purge, which puts aside what somebody has edited', () => {
    installed();
    writeFileSync(at(UNIT), `${readFileSync(at(UNIT), 'utf8')}# mine\n`);
    mkdirSync(at('etc/cni/net.d'), { recursive: true });
    writeFileSync(at('etc/cni/net.d/99-other.conf'), '{}');
    const purge = () => run(MUSLIN, ['node', 'purge', '--root', root, '--yes']);
    const outcome = purge();
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.match(outcome.stdout, /nothing of muslin is left\n$/);
    const left = tree().map((line) => line.split(' ', 1)[0]);
    assert.deepEqual(left, ['/etc/cni/net.d/99-other.conf', `/${UNIT}.edited`]);
    assert.deepEqual([existsSync(at('var/lib/muslin')), existsSync(at('etc/muslin'))], [false, false]);
    assert.equal(purge().stdout, 'nothing of muslin is here\n');
  });

  it('is undone by a purge, which keeps a configuration that the operator has edited', () => {
    installed();
    writeFileSync(at('etc/muslin/muslin.yaml'), 'node: mine\n');
    const outcome = run(MUSLIN, ['node', 'purge', '--root', root, '--yes']);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.match(outcome.stderr, /muslin\.yaml is kept: somebody has edited it/);
    assert.equal(readFileSync(at('etc/muslin/muslin.yaml'), 'utf8'), 'node: mine\n');
  });
});

describe('an agent that was installed', { timeout: 240_000 }, () => {
  const host = new TestHost('installed');
  const socket = join(host.directory, 'notify');
  const listener = new NotifyListener(socket);
  after(() => {
    listener.close();
    host.remove();
  });
  const environment = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' };
  const names = CAPABILITIES.map((name) => `+${name.replace('CAP_', '').toLowerCase()}`);
  /** As systemd starts it: with these powers, and no others to be had. */
  const bounded = ['setpriv', `--bounding-set=-all,${names.join(',')}`, '--no-new-privs'];
  const pid = () => readFileSync(join(host.runDirectory, 'agent.pid'), 'utf8').trim();
  const isReady = (lines: readonly string[]) => lines.includes('READY=1');

  it('is not ready, and offers no network, before everything is in force', async () => {
    assert.equal(run(MUSLIN, ['node', 'install', '--root', host.root]).code, 0);
    writeFileSync(join(host.root, 'opt/cni/bin/portmap'), '');
    host.apply(`
apiVersion: projectcalico.org/v3
kind: Node
metadata: { name: ${NODE} }
spec: { bgp: { ipv4Address: 192.168.77.1/24 } }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: four }
spec: { cidr: 172.17.8.0/24 }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: six }
spec: { cidr: "fd65::/112", blockSize: 122 }
`);
    // Nobody can write settings in there until the mount is changed, so the host does not forward.
    const readOnly = 'mount --bind /proc/sys/net /proc/sys/net; mount -o remount,bind,ro /proc/sys/net; exec "$0" "$@"';
    await host.startAgent({
      wrapper: ['unshare', '--mount', '--propagation', 'slave', 'sh', '-euc', readOnly, ...bounded],
      environment,
      line: 'kernel refused',
    });
    await listener.until((lines) => lines.some((line) => /^STATUS=not in sync: .*ip_forward.*EROFS/.test(line)));
    await listener.until((lines) => lines.includes('WATCHDOG=1'));
    assert.ok(!isReady(listener.lines));
    assert.ok(!existsSync(host.conflist));
  });

  it('is, with the network that it offers, as soon as everything is', async () => {
    const outcome = run('nsenter', ['--mount', '--target', pid(), 'mount', '-o', 'remount,bind,rw', '/proc/sys/net']);
    assert.equal(outcome.code, 0, outcome.stderr);
    await listener.until(isReady);
    const message = listener.messages.find(isReady) ?? [];
    assert.deepEqual(message.toSorted(), ['READY=1', 'STATUS=in sync with store and kernel', 'WATCHDOG=1']);
    const { plugins } = JSON.parse(readFileSync(host.conflist, 'utf8'));
    assert.deepEqual(
      plugins.map(({ type }: { type: string }) => type),
      ['muslin', 'portmap'],
    );
    assert.equal(plugins[0].agentSocket, join(host.runDirectory, 'cni.sock'));
  });

  it('attaches containers with the powers of its unit', () => {
    host.attach();
    assert.match(host.inside('ip route'), /^172\.17\.8\.\d+ dev cali/m);
  });

  it('says that it stops, and leaves the network on offer', async () => {
    process.kill(Number(pid()), 'SIGTERM');
    await listener.until((lines) => lines.includes('STOPPING=1'));
    assert.ok(existsSync(host.conflist));
  });

  for (const [backend, mode] of [
    ['NFT', 'Disabled'],
    ['Legacy', 'Disabled'],
  ] as const) {
    it(`is ready again after a restart, with iptables ${backend} and the powers of its unit`, async () => {
      const before = statSync(host.conflist).ino;
      host.apply(`
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: { name: default }
spec: { nftablesMode: ${mode}, iptablesBackend: ${backend} }
`);
      const told = listener.lines.length;
      const agent = await host.startAgent({ wrapper: bounded, environment });
      await listener.until((lines) => isReady(lines.slice(told)));
      host.attach();
      assert.equal(statSync(host.conflist).ino, before, 'the network on offer is the same file');
      process.kill(Number(pid()), 'SIGTERM');
      assert.equal(await host.ended(agent), 0);
    });
  }
});
