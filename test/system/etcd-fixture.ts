/**
 * Debian's etcd, started by the test on loopback ports of its own with its files in a temporary folder.
 *
 * Ready is what etcd says itself in its log; nothing here waits for time to pass. `rpc` speaks to etcd's JSON gateway for
 * what the driver has no business with: users, roles, compaction at a chosen revision. Whoever makes a cluster removes it.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ETCD = '/usr/bin/etcd';

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  child: ChildProcess | undefined;
}

export class TestEtcd {
  readonly folder: string;
  readonly #members: readonly Member[];
  readonly #options: readonly string[];
  readonly #scheme: 'http' | 'https';

  constructor(folder: string, members: readonly Member[], options: readonly string[]) {
    this.folder = folder;
    this.#members = members;
    this.#options = options;
    this.#scheme = options.includes('--cert-file') ? 'https' : 'http';
  }

  /** A new, empty cluster that is ready. `options` are etcd's own, for all members; `folder` is removed with it. */
  static async start(
    options: { readonly members?: number; readonly flags?: readonly string[]; readonly folder?: string } = {},
  ): Promise<TestEtcd> {
    assert.ok(existsSync(ETCD), `${ETCD} is missing: run scripts/setup --test, or apt-get install etcd-server`);
    const folder = options.folder ?? temporaryFolder();
    const members: Member[] = [];
    for (let index = 0; index < (options.members ?? 1); index++) {
      const [clientPort, peerPort] = [await freePort(), await freePort()];
      members.push({ name: `m${index}`, clientPort, peerPort, child: undefined });
    }
    const etcd = new TestEtcd(folder, members, options.flags ?? []);
    try {
      await Promise.all(members.map((_, index) => etcd.startMember(index)));
    } catch (error) {
      await etcd.remove();
      throw error;
    }
    return etcd;
  }

  /** HOST:PORT of each member, joined by commas. */
  get endpoints(): string {
    return this.#members.map(({ clientPort }) => `127.0.0.1:${clientPort}`).join(',');
  }

  /** The process of the first member. */
  get pid(): number {
    return this.#member(0).child?.pid ?? 0;
  }

  async startMember(index = 0): Promise<void> {
    const member = this.#member(index);
    const client = `${this.#scheme}://127.0.0.1:${member.clientPort}`;
    const peerUrl = ({ peerPort }: Member) => `http://127.0.0.1:${peerPort}`;
    const cluster = this.#members.map((each) => `${each.name}=${peerUrl(each)}`).join(',');
    const flags = {
      '--name': member.name,
      '--data-dir': join(this.folder, member.name),
      '--listen-client-urls': client,
      '--advertise-client-urls': client,
      '--listen-peer-urls': peerUrl(member),
      '--initial-advertise-peer-urls': peerUrl(member),
      '--initial-cluster': cluster,
      // A single member need not wait for others to vote.
      ...(this.#members.length === 1 ? { '--heartbeat-interval': '10', '--election-timeout': '50' } : {}),
    };
    const child = spawn(ETCD, [...Object.entries(flags).flat(), ...this.#options], {
      env: { PATH: process.env['PATH'] ?? '' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    member.child = child;
    await ready(child);
  }

  /** Ends a member at once, as a crash would. */
  async killMember(index = 0): Promise<void> {
    const { child } = this.#member(index);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async remove(): Promise<void> {
    await Promise.all(this.#members.map((_, index) => this.killMember(index)));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Calls the JSON gateway of a member without TLS; bytes are base64 there. */
  rpc(
    path: string,
    body: unknown,
    options: { readonly token?: string; readonly member?: number } = {},
  ): Promise<Answer> {
    const { clientPort } = this.#member(options.member ?? 0);
    const headers = options.token === undefined ? {} : { authorization: options.token };
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { host: '127.0.0.1', port: clientPort, path: `/v3/${path}`, method: 'POST', headers },
        async (response) => {
          let text = '';
          for await (const chunk of response.setEncoding('utf8')) text += chunk;
          if (response.statusCode === 200) resolve(JSON.parse(text) as Answer);
          else reject(new Error(`etcd: ${path}: ${text}`));
        },
      );
      request.on('error', reject);
      request.end(JSON.stringify(body));
    });
  }

  /** The index of the member that leads. */
  async leader(asked = 0): Promise<number> {
    const status = await this.rpc('maintenance/status', {}, { member: asked });
    for (const [index] of this.#members.entries()) {
      const each = index === asked ? status : await this.rpc('maintenance/status', {}, { member: index });
      if (each.header?.member_id === status.leader) return index;
    }
    throw new Error('the cluster has no leader');
  }

  #member(index: number): Member {
    const member = this.#members[index];
    assert.ok(member, `there is no member ${index}`);
    return member;
  }
}

/** What is looked at in the gateway's answers. */
interface Answer {
  readonly header?: { readonly member_id: string; readonly revision: string };
  readonly leader?: string;
  readonly token?: string;
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'muslin-test-etcd-'));
}

/** Resolves when etcd says that it serves; fails with its log when it ends before. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.on('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`etcd ended (${code ?? signal}) before it was ready:\n${log}`)),
    );
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      log += chunk;
      if (/ready to serve client requests/.test(log)) {
        log = '';
        resolve();
      }
    });
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  server.close();
  await once(server, 'close');
  return address.port;
}

/** Makes in `folder`: an authority, certificates of it for "server" and "client", and an authority that nobody knows. */
export function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const name of ['ca', 'stranger']) {
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
    );
  }
  writeFileSync(join(folder, 'extensions'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
  for (const name of ['server', 'client']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'extensions'];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...by);
  }
}
