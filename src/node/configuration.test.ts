import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ip } from '../net/ip.ts';
import { ConfigurationError, parseAgentConfiguration, readAgentConfiguration } from './configuration.ts';

describe('the agent configuration', () => {
  it('takes what is written, and defaults for the rest', () => {
    const text = 'node: host-a\nstore: sqlite:///tmp/x.db\n';
    const configuration = parseAgentConfiguration(text, 'agent.yaml');
    assert.deepEqual(configuration, {
      node: 'host-a',
      store: 'sqlite:///tmp/x.db',
      runDirectory: '/run/muslin',
      secretsDirectory: '/etc/muslin/secrets',
      cniConfiguration: undefined,
      cniPlugins: '/opt/cni/bin',
      bgp: true,
      bmpCollector: undefined,
      podmanState: '/var/lib/containers/storage/libpod/bolt_state.db',
      containerdState: '/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db',
      logLevel: 'info',
    });
    assert.equal(parseAgentConfiguration('', 'agent.yaml').store, 'sqlite:///var/lib/muslin/store.db');
    assert.equal(parseAgentConfiguration('bgp: false\n', 'agent.yaml').bgp, false);
  });

  const mistakes: [string, RegExp][] = [
    ['node: Host_A\n', /^agent\.yaml:1: node: "Host_A" is not lower-case letters/],
    ['\nlogLevel: loud\n', /^agent\.yaml:2: logLevel: "loud" is not debug, info, warn, error$/],
    [
      'nod: a\n',
      /^agent\.yaml:1: nod: no such field; there are node, store, runDirectory, secretsDirectory, cniConfiguration, cniPlugins, bgp, bmpCollector, podmanState, containerdState, logLevel$/,
    ],
    ['runDirectory: run\n', /^agent\.yaml:1: runDirectory: "run" is not an absolute path/],
    ['secretsDirectory: secrets\n', /^agent\.yaml:1: secretsDirectory: "secrets" is not an absolute path$/],
    [
      'cniConfiguration: /etc/cni/net.d\n',
      /cniConfiguration: "\/etc\/cni\/net.d" is not an absolute path that ends in/,
    ],
    ['cniPlugins: bin\n', /cniPlugins: "bin" is not an absolute path$/],
    ['podmanState: bolt_state.db\n', /^agent\.yaml:1: podmanState: "bolt_state.db" is not an absolute path$/],
    ['containerdState: meta.db\n', /^agent\.yaml:1: containerdState: "meta.db" is not an absolute path$/],
    ['bgp: no\n', /^agent\.yaml:1: bgp: "no" is not true or false$/],
    ['bmpCollector: 10.0.0.9\n', /bmpCollector: "10\.0\.0\.9" is not an address and a port, 10/],
    ['bmpCollector: fd00::9:11019\n', /bmpCollector: "fd00::9:11019" is not an address and a port/],
    ['bmpCollector: 10.0.0.9:70000\n', /bmpCollector: "10.0.0.9:70000" is not an address and a port/],
    ['nod: a\nlogLevel: loud\n', /nod: no such field.*\n.*agent\.yaml:2: logLevel/s],
    ['- a\n', /^agent\.yaml: not a mapping/],
    ['node: [', /^agent\.yaml: .*line 1/s],
    ['node: a\nnode: b\n', /^agent\.yaml: .*unique/],
    ['node: &a b\nstore: *a\n', /^agent\.yaml:2: store: "\*a" is not/],
    ['store: [a, b]\n', /^agent\.yaml:1: store: .*is not the place of a store/],
  ];
  for (const [text, says] of mistakes) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseAgentConfiguration(text, 'agent.yaml'),
        (error) => error instanceof ConfigurationError && says.test(error.message),
      );
    });
  }

  for (const [text, collector] of [
    ['10.0.0.9:11019', { address: ip('10.0.0.9'), port: 11019 }],
    ['"[fd00::9]:1"', { address: ip('fd00::9'), port: 1 }],
  ] as const) {
    it(`takes the collector ${text}`, () => {
      assert.deepEqual(parseAgentConfiguration(`bmpCollector: ${text}\n`, 'agent.yaml').bmpCollector, collector);
    });
  }

  it('says which file cannot be read', () => {
    assert.throws(
      () => readAgentConfiguration('/nowhere/agent.yaml'),
      /^ConfigurationError: \/nowhere\/agent\.yaml: cannot be read/,
    );
  });
});
