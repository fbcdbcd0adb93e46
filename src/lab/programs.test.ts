import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labFileOf, launchesOf, ROUTER_PROGRAMS } from './programs.ts';

const DIRECTORY = '/run/muslin/lab/x/core';

test('agents and routers’ programs are recognised by their command lines, and nothing else is', () => {
  const rows: readonly [commandLine: string, file: string | undefined][] = [
    ['/usr/bin/node /x/main.ts node run --config /run/muslin/lab/x/a/agent.yaml', '/run/muslin/lab/x/a/agent.yaml'],
    ['/usr/bin/node /x/main.ts bgp run --config /run/b/bgp.yaml --socket /run/b/agent.sock', '/run/b/bgp.yaml'],
    ['/usr/sbin/bird -f -c /run/muslin/lab/x/a/bird.conf -s /run/x', '/run/muslin/lab/x/a/bird.conf'],
    ['/usr/lib/frr/bgpd -f /run/muslin/lab/x/a/bgpd.conf', '/run/muslin/lab/x/a/bgpd.conf'],
    ['vi --config /run/muslin/lab/x/a/agent.yaml', undefined],
    ['vi -c /run/muslin/lab/x/a/bird.conf', undefined],
    ['tail -f node run /run/muslin/lab/x/a/agent.yaml', undefined],
    ['tail -f /run/muslin/lab/x/a/bgpd.conf', undefined],
    ['birdc -s /run/muslin/lab/x/a/bird.ctl', undefined],
    ['node run --config', undefined],
    ['', undefined],
  ];
  for (const [commandLine, file] of rows) assert.equal(labFileOf(commandLine.split(' ')), file, commandLine);
});

test('each process of a program is found again by a file of its router', () => {
  for (const program of ROUTER_PROGRAMS) {
    const launches = launchesOf(program, DIRECTORY, `${DIRECTORY}/agent.sock`);
    assert.equal(launches.filter(({ configuration }) => configuration.isTopologys).length, 1, program);
    for (const { executable, parameters, configuration } of launches) {
      assert.ok(configuration.path.startsWith(`${DIRECTORY}/`), configuration.path);
      assert.equal(labFileOf([executable ?? 'node', ...parameters]), configuration.path, program);
    }
  }
});
