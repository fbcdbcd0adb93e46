/**
 * A table that does what a script says, for tests: it refuses what the kernel would, and lists as nft does.
 *
 * It knows the commands that script.ts prints. Refused are names that are not there, chains and sets that go while
 * something names them, elements that are there or not, and all that stands before the table is made.
 */
import assert from 'node:assert/strict';

export interface Model {
  readonly chains: ReadonlyMap<string, { readonly header: string; readonly rules: readonly string[] }>;
  readonly sets: ReadonlyMap<string, { readonly header: string; readonly elements: readonly string[] }>;
  /** Device to verdict. */
  readonly maps: ReadonlyMap<string, { readonly header: string; readonly elements: ReadonlyMap<string, string> }>;
}

interface Table {
  readonly chains: Map<string, { header: string; rules: string[] }>;
  readonly sets: Map<string, { header: string; elements: string[] }>;
  readonly maps: Map<string, { header: string; elements: Map<string, string> }>;
}

/** The table after the script; fails where the kernel would refuse it. */
export function runModel(script: string, from: Model | undefined): Model {
  let table: Table | undefined = from && copy(from);
  for (const line of script.split('\n').slice(0, -1)) {
    const [, verb, kind, name = '', rest = ''] =
      /^(\w+) (\w+) inet muslin ?(\S*) ?(.*)$/.exec(line) ?? assert.fail(line);
    const command = `${verb} ${kind}`;
    if (command === 'add table') table ??= { chains: new Map(), sets: new Map(), maps: new Map() };
    else if (command === 'delete table') table = table === undefined ? assert.fail('no table') : undefined;
    else change(table ?? assert.fail(`no table for ${line}`), command, name, rest);
  }
  const after = table ?? assert.fail('no table');
  for (const [name, { rules }] of after.chains) for (const rule of rules) assertNamed(after, name, rule);
  return after;
}

function copy({ chains, sets, maps }: Model): Table {
  return {
    chains: new Map([...chains].map(([name, { header, rules }]) => [name, { header, rules: [...rules] }])),
    sets: new Map([...sets].map(([name, { header, elements }]) => [name, { header, elements: [...elements] }])),
    maps: new Map([...maps].map(([name, { header, elements }]) => [name, { header, elements: new Map(elements) }])),
  };
}

function change(table: Table, command: string, name: string, rest: string): void {
  const inner = rest.replace(/^\{ (.*) \}$/, '$1');
  const chain = () => table.chains.get(name) ?? assert.fail(`no chain ${name}`);
  const set = () => table.sets.get(name) ?? assert.fail(`no set ${name}`);
  switch (command) {
    case 'add chain':
      assert.equal(table.chains.get(name)?.header ?? inner, inner);
      if (!table.chains.has(name)) table.chains.set(name, { header: inner, rules: [] });
      return;
    case 'add set':
      assert.equal(table.sets.get(name)?.header ?? inner, inner);
      if (!table.sets.has(name)) table.sets.set(name, { header: inner, elements: [] });
      return;
    case 'add map':
      assert(!table.maps.has(name));
      table.maps.set(name, { header: inner, elements: new Map() });
      return;
    case 'add rule':
      assertNamed(table, name, rest);
      chain().rules.push(rest);
      return;
    case 'flush chain':
      chain().rules.length = 0;
      return;
    case 'flush set':
      set().elements.length = 0;
      return;
    case 'delete chain':
      assert.equal(chain().rules.length, 0, `${name} is not empty`);
      for (const used of namesUsed(table)) assert.notEqual(used, name, `${name} is in use`);
      table.chains.delete(name);
      return;
    case 'delete set':
      set();
      for (const used of namesUsed(table)) assert.notEqual(used, `@${name}`, `${name} is in use`);
      table.sets.delete(name);
      return;
    case 'add element':
    case 'delete element':
      changeElements(table, command, name, inner.split(', '));
      return;
    default:
      assert.fail(`${command} ${name} ${rest}`);
  }
}

function changeElements(table: Table, command: string, name: string, elements: readonly string[]): void {
  const map = table.maps.get(name);
  const set = table.sets.get(name);
  for (const element of elements) {
    if (map !== undefined) {
      const [key = '', verdict = ''] = element.replaceAll('"', '').split(' : ');
      if (command === 'add element') {
        assert(!map.elements.has(key), `${key} is there`);
        assert(table.chains.has(verdict.replace('goto ', '')), `no chain for ${verdict}`);
        map.elements.set(key, verdict);
      } else assert(map.elements.delete(key), `no element ${key}`);
    } else {
      const there = (set ?? assert.fail(`no set ${name}`)).elements;
      const index = there.indexOf(element);
      assert.equal(index === -1, command === 'add element', `${command} ${name} ${element}`);
      if (index === -1) there.push(element);
      else there.splice(index, 1);
    }
  }
}

/** Chains, and sets and maps with "@" before. */
function* namesIn(text: string): Iterable<string> {
  const [words = ''] = text.split(' comment ');
  for (const [, name = ''] of words.matchAll(/(?:jump|goto) (\S+)|(@\S+)/g)) yield name;
  for (const [name] of words.matchAll(/@\S+/g)) yield name;
}

function* namesUsed(table: Table): Iterable<string> {
  for (const { rules } of table.chains.values()) for (const rule of rules) yield* namesIn(rule);
  for (const { elements } of table.maps.values()) for (const verdict of elements.values()) yield* namesIn(verdict);
}

function assertNamed(table: Model, chain: string, rule: string): void {
  for (const name of namesIn(rule)) {
    const isThere = name.startsWith('@')
      ? table.sets.has(name.slice(1)) || table.maps.has(name.slice(1))
      : name === '' || table.chains.has(name);
    assert(isThere, `chain ${chain} names ${name}, which is not there: ${rule}`);
  }
}

const PROTOCOL_NAMES: Readonly<Record<string, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };

/** As `nft -j list table` would print it. */
export function listModel({ chains, sets, maps }: Model): { nftables: object[] } {
  const listed: object[] = [{ metainfo: { json_schema_version: 1 } }, { table: { family: 'inet', name: 'muslin' } }];
  for (const [name, { header, elements }] of sets) {
    const [, types = '', flags] = /^type ([^;]*);(?: flags (.*);)?$/.exec(header) ?? assert.fail(header);
    const type = types.includes(' . ') ? types.split(' . ') : types;
    const elem = elements.map(listElement);
    listed.push({ set: { name, type, ...(flags && { flags: flags.split(',') }), ...(elem.length > 0 && { elem }) } });
  }
  for (const [name, { header, elements }] of maps) {
    const [, type, map] = /^type (.*) : (.*);$/.exec(header) ?? assert.fail(header);
    const elem = [...elements].map(([device, verdict]) => [device, { goto: { target: verdict.replace('goto ', '') } }]);
    listed.push({ map: { name, type, map, ...(elem.length > 0 && { elem }) } });
  }
  for (const [name, { header }] of chains) {
    const [, type, hook, prio, policy] = /^type (\w+) hook (\w+) priority (\S+); policy (\w+);$/.exec(header) ?? [];
    listed.push({ chain: { name, ...(type && { type, hook, prio: Number(prio), policy }) } });
  }
  for (const [name, { rules }] of chains) {
    for (const rule of rules) {
      const comment = /comment "(.*)"$/.exec(rule)?.[1];
      listed.push({ rule: { chain: name, ...(comment && { comment }), expr: [{ counter: null }] } });
    }
  }
  return { nftables: listed };
}

function listElement(element: string): unknown {
  const parts = element.split(' . ');
  if (parts.length === 3) return { concat: [parts[0], PROTOCOL_NAMES[parts[1]!], Number(parts[2])] };
  const [addr, len] = element.split('/');
  return len === undefined ? addr : { prefix: { addr, len: Number(len) } };
}
