/**
 * The middle of the application of policy-apps.test.ts: a server that asks a name server, a database and a store of keys.
 *
 * GET /orders finds the database by name, reads its orders with psql, counts the visit in Redis and answers in JSON; where
 * one of them cannot be had, with status 503 and which. Addresses and programs come from the environment.
 */
import { execFile } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { promisify } from 'node:util';

const { DNS = '', CACHE_PORT = '', DB_PORT = '', PORT = '', PSQL = '' } = process.env;
/** What is refused by policy is dropped without a word. */
const PATIENCE_MS = 2_000;

const resolver = new Resolver({ timeout: PATIENCE_MS, tries: 1 });
resolver.setServers([DNS]);

async function addressOf(name: string): Promise<string> {
  const [address] = await resolver.resolve4(name);
  if (address === undefined) throw new Error(`no address for ${name}`);
  return address;
}

async function orders(): Promise<string[]> {
  const words = ['-h', await addressOf('db.shop.test'), '-p', DB_PORT, '-U', 'postgres', '-Atc'];
  const query = 'SELECT title FROM orders ORDER BY title';
  const { stdout } = await promisify(execFile)(PSQL, [...words, query], { timeout: PATIENCE_MS });
  return stdout.trim().split('\n');
}

async function visits(): Promise<number> {
  const host = await addressOf('cache.shop.test');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(CACHE_PORT), timeout: PATIENCE_MS });
    socket.on('connect', () => socket.write('INCR visits\r\n'));
    socket.on('timeout', () => socket.destroy(new Error('Redis does not answer')));
    socket.on('error', reject);
    socket.on('data', (bytes) => {
      socket.end();
      resolve(Number(bytes.toString().slice(1)));
    });
  });
}

createServer((_, response) => {
  Promise.all([orders(), visits()]).then(
    ([list, count]) => response.end(JSON.stringify({ orders: list, visits: count })),
    (error: unknown) => {
      response.statusCode = 503;
      response.end(String(error));
    },
  );
}).listen(Number(PORT), '::');
