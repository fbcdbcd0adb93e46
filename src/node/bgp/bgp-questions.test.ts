/** What can be asked of the speaker over the control socket, and what is said to questions that make no sense. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeBgp, neighborView, peerView, routeView } from './bgp-control.suite.ts';
import { answerBgpCommand, answerBgpQuestion } from './bgp-questions.ts';

const bgp = () =>
  fakeBgp({
    neighbors: [neighborView('10.0.0.2', { description: 'mesh, Node host-b' }), neighborView('fe80::1%eth0')],
    peers: [peerView('10.0.0.33', { description: 'mesh, Node host-c', state: 'Active' })],
    routes: [
      routeView('10.1.0.0/16'),
      routeView('10.1.2.0/24'),
      routeView('10.1.2.64/26', { from: 'local' }),
      routeView('2001:db8::/32'),
    ],
    pageSize: 10,
  });

interface Row {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly code?: number;
  /** In the JSON of the answer; for routes, all their prefixes. */
  readonly body: RegExp | readonly string[];
}

const ROWS: readonly Row[] = [
  { path: 'status', body: /"routerId":"10.0.0.1"/ },
  { path: 'peers', body: /10.0.0.2.*fe80::1%eth0.*10.0.0.33/ },
  { path: 'peers/10.0.0.2', body: /"md5":true/ },
  { path: 'peers/host-b', body: /"address":"10.0.0.2"/ },
  { path: 'peers/fe80:0:0::1%25eth0', body: /"address":"fe80::1%eth0"/ },
  { path: 'peers/10.0.0.303', code: 404, body: /no peer 10.0.0.303; did you mean 10.0.0.33\?/ },
  { path: 'peers/host-z', code: 404, body: /no peer host-z; there are 10.0.0.2, fe80::1%eth0, 10.0.0.33"/ },
  { path: 'peers/mesh', code: 404, body: /no peer mesh; there are/ },
  { path: 'peers/%E0%A4%A', code: 404, body: /no peer %E0%A4%A/ },
  { path: 'routes', body: ['10.1.0.0/16', '10.1.2.0/24', '10.1.2.64/26', '2001:db8::/32'] },
  { path: 'routes', query: { prefix: '10.1.2.0/24' }, body: ['10.1.2.0/24'] },
  { path: 'routes', query: { prefix: '10.1.2.3' }, body: ['10.1.2.0/24'] },
  { path: 'routes', query: { prefix: '10.1.2.0/24', match: 'longer' }, body: ['10.1.2.0/24', '10.1.2.64/26'] },
  { path: 'routes', query: { prefix: '10.1.2.0/24', match: 'covering' }, body: ['10.1.0.0/16', '10.1.2.0/24'] },
  { path: 'routes', query: { prefix: '10.1.2.3', match: 'covering' }, body: ['10.1.0.0/16', '10.1.2.0/24'] },
  { path: 'routes', query: { family: '6' }, body: ['2001:db8::/32'] },
  { path: 'routes', query: { peer: 'local' }, body: ['10.1.2.64/26'] },
  { path: 'routes', query: { peer: 'host-b', family: '4' }, body: ['10.1.0.0/16', '10.1.2.0/24'] },
  { path: 'routes', query: { limit: '1' }, body: ['10.1.0.0/16'] },
  { path: 'received/host-b', query: { family: '6' }, body: ['2001:db8::/32'] },
  { path: 'advertised/10.0.0.33', query: { family: '6' }, body: ['2001:db8::/32'] },
  { path: 'routes', query: { prefix: '10.1.2.3/24' }, code: 400, body: /beyond its length; write 10.1.2.0\/24/ },
  { path: 'routes', query: { prefix: '10.1' }, code: 400, body: /neither a prefix nor an address; write 10/ },
  { path: 'routes', query: { family: '5' }, code: 400, body: /no address family; write 4 or 6/ },
  { path: 'routes', query: { limit: '0' }, code: 400, body: /no limit/ },
  { path: 'routes', query: { match: 'near' }, code: 400, body: /there are exact, longer, covering, longest/ },
  { path: 'routes', query: { peer: 'host-z' }, code: 404, body: /no peer host-z/ },
  { path: 'explain', query: { prefix: '10.1.2.3' }, body: /"prefix":"10.1.2.0\/24".*"decidedBy"/ },
  { path: 'explain', query: { prefix: '10.1.2.64/26' }, body: /"prefix":"10.1.2.64\/26"/ },
  {
    path: 'explain',
    query: { prefix: '10.1.2.0/25' },
    code: 404,
    body: /no route to 10.1.2.0\/25; near it are 10.1.2.0\/24, 10.1.2.64\/26"/,
  },
  { path: 'explain', query: { prefix: '10.9.0.1' }, code: 404, body: /no route to 10.9.0.1"/ },
  { path: 'explain', code: 400, body: /is neither a prefix/ },
];

for (const { path, query = {}, code = 200, body } of ROWS) {
  test(`GET /bgp/${path}?${new URLSearchParams(query)} answers ${code}`, () => {
    const answer = answerBgpQuestion(bgp(), path, new URLSearchParams(query));
    assert.equal(answer?.code, code, JSON.stringify(answer?.body));
    if (body instanceof RegExp) assert.match(JSON.stringify(answer?.body), body);
    else
      assert.deepEqual(
        (answer?.body as { routes: { prefix: string }[] }).routes.map(({ prefix }) => prefix),
        body,
      );
  });
}

for (const path of ['', 'nonsense', 'peers/a/b', 'routes/x', 'received', 'status/x', 'explain/x']) {
  test(`there is no /bgp/${path}`, () =>
    assert.equal(answerBgpQuestion(bgp(), path, new URLSearchParams()), undefined));
}

const COMMANDS: readonly {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly given?: unknown;
  readonly refused?: RegExp;
}[] = [
  {
    path: 'peers/host-b',
    query: { command: 'reset', communication: 'moving' },
    given: { peer: '10.0.0.2', command: { kind: 'reset', communication: 'moving' } },
  },
  {
    path: 'peers/host-c',
    query: { command: 'reset' },
    given: { peer: '10.0.0.33', command: { kind: 'reset', communication: '' } },
  },
  {
    path: 'peers/10.0.0.2',
    query: { command: 'refreshIn' },
    given: { peer: '10.0.0.2', command: { kind: 'refreshIn' } },
  },
  { path: 'peers/host-c', query: { command: 'refreshOut' }, refused: /10.0.0.33 is Active; routes are only/ },
  { path: 'peers/10.0.0.2', query: { command: 'stop' }, refused: /no command \\"stop\\"; there are reset/ },
  {
    path: 'peers/10.0.0.2',
    query: { command: 'reset', communication: 'é'.repeat(128) },
    refused: /256 bytes; at most 255/,
  },
  { path: 'peers/host-z', query: { command: 'reset' }, refused: /no peer host-z/ },
];

for (const { path, query, given, refused } of COMMANDS) {
  test(`POST /bgp/${path} ${query['command']} is ${refused === undefined ? 'given to the speaker' : 'refused'}`, () => {
    const speaker = bgp();
    const answer = answerBgpCommand(speaker, path, new URLSearchParams(query));
    assert.deepEqual(speaker.commands, given === undefined ? [] : [given]);
    if (refused === undefined) assert.equal(answer?.code, 200);
    else assert.match(JSON.stringify(answer?.body), refused);
  });
}
