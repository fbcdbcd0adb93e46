import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionFailed } from '../../../lib/assert.ts';
import type { Labels, Selector } from '../../../model/selector.ts';
import { matches } from '../../../model/selector.ts';
import { parseSelector } from '../../../model/selector-parser.ts';
import { cidr, containsCidr, hostPrefix, sameCidr } from '../../../net/cidr.ts';
import { parseIp } from '../../../net/ip.ts';
import type { SetId } from '../../desired/policy.ts';
import { ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS, setId, VXLAN_HOSTS } from '../../desired/policy.ts';
import type { SetItem, SetWish } from './set-index.ts';
import { SetIndex, setIdOf } from './set-index.ts';

function selector(text: string): Selector {
  const parsed = parseSelector(text);
  assert.ok(parsed.ok, text);
  return parsed.selector;
}

function chosenBy(text: string): SetWish {
  return { kind: 'selector', selector: selector(text) };
}

function port(name: string, text = 'all()', protocol: 'tcp' | 'udp' | 'sctp' = 'tcp'): SetWish {
  return { kind: 'namedPort', selector: selector(text), name, protocol };
}

function item(nets: readonly string[], labels: Labels = {}, fields: Partial<SetItem> = {}): SetItem {
  return { labels, parents: [], nets, ports: [], ...fields };
}

const HTTP = { name: 'http', protocol: 6, port: 8080 };

/** An index without what it says of the fixed sets at first. */
function fresh(): SetIndex {
  const index = new SetIndex();
  index.takeChanges();
  return index;
}

/** "+10.0.0.1 -10.0.0.2", "gone"; undefined: nothing is said of the set. */
function taken(index: SetIndex, id: SetId): string | undefined {
  const changes = index.takeChanges();
  if (!changes.has(id)) return undefined;
  const change = changes.get(id);
  if (change === undefined) return 'gone';
  const words = [...change.added.map((member) => `+${member}`), ...change.removed.map((member) => `-${member}`)];
  return words.sort().join(' ');
}

test('ids are those of Calico, and fit beside the name of a family', () => {
  assert.equal(setIdOf(chosenBy('')), 's:5y5I3VdRZfDU01O--xXAPx2');
  assert.equal(setIdOf(chosenBy('a=="b"')), setIdOf(chosenBy(" a == 'b' ")));
  const ids = [
    setIdOf(chosenBy('a == "b"')),
    setIdOf(port('http')),
    setIdOf(port('http', 'all()', 'udp')),
    setIdOf(port('https')),
    setIdOf(port('http', 'has(a)')),
  ];
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[sn]:[A-Za-z0-9_-]{23}$/);
});

test('the fixed sets are there from the start, and follow what they are told', () => {
  const index = new SetIndex();
  const first = index.takeChanges();
  assert.deepEqual([...first.keys()].sort(), [ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS, VXLAN_HOSTS].sort());
  for (const change of first.values()) assert.deepEqual(change, { kind: 'nets', added: [], removed: [] });
  index.setFixed(ALL_POOLS, new Set(['10.0.0.0/8', '192.168.0.0/16']));
  assert.equal(taken(index, ALL_POOLS), '+10.0.0.0/8 +192.168.0.0/16');
  index.setFixed(ALL_POOLS, new Set(['10.0.0.0/8', '10.1.0.0/16', 'fd00::/64']));
  assert.equal(taken(index, ALL_POOLS), '+fd00::/64 -192.168.0.0/16');
  index.setFixed(ALL_POOLS, new Set(['10.1.0.0/16', 'fd00::/64']));
  assert.equal(taken(index, ALL_POOLS), '+10.1.0.0/16 -10.0.0.0/8');
  index.setFixed(ALL_POOLS, new Set(['fd00::/64', '10.1.0.0/16']));
  assert.equal(taken(index, ALL_POOLS), undefined);
});

test('a set has all prefixes of the items that its selector chooses, of both families', () => {
  const index = fresh();
  index.setItem('a', item(['10.0.0.1', 'fd00::1'], { app: 'web' }));
  const id = index.want(chosenBy('app == "web"'));
  assert.equal(taken(index, id), '+10.0.0.1 +fd00::1');
  index.setItem('b', item(['10.0.0.2'], { app: 'web' }));
  index.setItem('c', item(['10.0.0.3'], { app: 'db' }));
  assert.equal(taken(index, id), '+10.0.0.2');
  index.setItem('a', item(['10.0.0.1'], { app: 'web' }));
  index.setItem('b', item(['10.0.0.9'], { app: 'db' }));
  assert.equal(taken(index, id), '-10.0.0.2 -fd00::1');
  index.setItem('b', item(['10.0.0.8'], { app: 'web' }));
  assert.equal(taken(index, id), '+10.0.0.8');
  index.setItem('a', undefined);
  assert.equal(taken(index, id), '-10.0.0.1');
});

test('labels that are inherited choose, too', () => {
  const index = fresh();
  const id = index.want(chosenBy('pcns.stage == "test"'));
  index.setItem('a', item(['10.0.0.1'], {}, { parents: ['kns.shop'] }));
  assert.equal(taken(index, id), '');
  index.setParent('kns.shop', { 'pcns.stage': 'test' });
  assert.equal(taken(index, id), '+10.0.0.1');
  index.setParent('kns.shop', undefined);
  assert.equal(taken(index, id), '-10.0.0.1');
});

test('an address that two items have stays until both are gone', () => {
  const index = fresh();
  const id = index.want(chosenBy('all()'));
  index.setItem('a', item(['10.0.0.1', '10.0.0.1']));
  index.setItem('b', item(['10.0.0.1']));
  assert.equal(taken(index, id), '+10.0.0.1');
  index.setItem('a', undefined);
  assert.equal(taken(index, id), undefined);
  index.setItem('b', item([]));
  assert.equal(taken(index, id), '-10.0.0.1');
});

test('what lies inside of another member is hidden while that is there', () => {
  const index = fresh();
  const id = index.want(chosenBy('all()'));
  const nets = (name: string, ...list: string[]) => index.setItem(name, item(list));
  nets('pod', '10.1.2.3', 'fd00::5');
  assert.equal(taken(index, id), '+10.1.2.3 +fd00::5');
  nets('narrow', '10.1.2.0/24');
  assert.equal(taken(index, id), '+10.1.2.0/24 -10.1.2.3');
  nets('wide', '10.0.0.0/8');
  assert.equal(taken(index, id), '+10.0.0.0/8 -10.1.2.0/24');
  nets('narrow');
  assert.equal(taken(index, id), undefined);
  nets('narrow', '10.1.2.0/24');
  nets('wide');
  assert.equal(taken(index, id), '+10.1.2.0/24 -10.0.0.0/8');
  nets('narrow');
  assert.equal(taken(index, id), '+10.1.2.3 -10.1.2.0/24');
  nets('every', '0.0.0.0/0', '::/0');
  assert.equal(taken(index, id), '+0.0.0.0/0 +::/0 -10.1.2.3 -fd00::5');
});

test('a named port is a set of address, protocol and port', () => {
  const index = fresh();
  const id = index.want(port('http', 'app == "web"'));
  const ports = [
    HTTP,
    { ...HTTP, port: 8081 },
    { ...HTTP, protocol: 17, port: 53 },
    { ...HTTP, name: 'other', port: 9 },
  ];
  index.setItem('a', item(['10.0.0.1', 'fd00::1', '10.2.0.0/16'], { app: 'web' }, { ports }));
  const lines = ['+10.0.0.1,tcp:8080', '+10.0.0.1,tcp:8081', '+fd00::1,tcp:8080', '+fd00::1,tcp:8081'];
  assert.equal(taken(index, id), lines.join(' '));
  index.setItem(
    'a',
    item(
      ['10.0.0.1'],
      { app: 'web' },
      {
        ports: [
          { ...HTTP, port: 8081 },
          { ...HTTP, port: 80 },
        ],
      },
    ),
  );
  assert.equal(taken(index, id), '+10.0.0.1,tcp:80 -10.0.0.1,tcp:8080 -fd00::1,tcp:8080 -fd00::1,tcp:8081');
  index.setItem(
    'a',
    item(
      ['10.0.0.1'],
      { app: 'web' },
      {
        ports: [
          { ...HTTP, port: 8081 },
          { ...HTTP, port: 81 },
        ],
      },
    ),
  );
  assert.equal(taken(index, id), '+10.0.0.1,tcp:81 -10.0.0.1,tcp:80');
  const udp = index.want(port('http', 'app == "web"', 'udp'));
  index.setItem('a', item(['10.0.0.1'], { app: 'web' }, { ports: [{ ...HTTP, protocol: 17, port: 80 }] }));
  const changes = index.takeChanges();
  assert.deepEqual(changes.get(udp), { kind: 'ports', added: ['10.0.0.1,udp:80'], removed: [] });
  assert.equal(changes.get(id)?.removed.length, 2);
});

test('a set lives as long as somebody wants it, and what came and went in between is not told', () => {
  const index = fresh();
  index.setItem('a', item(['10.0.0.1']));
  const id = index.want(chosenBy('all()'));
  assert.equal(index.want(chosenBy('all()')), id);
  index.release(id);
  assert.equal(taken(index, id), '+10.0.0.1');
  index.release(id);
  index.want(chosenBy('all()'));
  index.setItem('b', item(['10.0.0.2']));
  index.setItem('b', undefined);
  assert.equal(taken(index, id), undefined);
  index.release(id);
  index.setItem('a', undefined);
  assert.equal(taken(index, id), 'gone');
  index.want(chosenBy('all()'));
  index.release(id);
  assert.equal(taken(index, id), undefined);
  index.setItem('a', item(['10.0.0.1']));
  index.want(chosenBy('all()'));
  assert.equal(taken(index, id), '+10.0.0.1');
});

test('calls that only a bug can make end in an assertion', () => {
  const index = fresh();
  const id = index.want(chosenBy('all()'));
  index.release(id);
  assert.throws(() => index.release(id), AssertionFailed);
  assert.throws(() => index.release(ALL_HOSTS), AssertionFailed);
  assert.throws(() => index.setFixed(setId('no-such-set'), new Set()), AssertionFailed);
  assert.throws(() => index.setItem('a', item(['10.0.0.1/32'])), /10\.0\.0\.1\/32 is one address/);
  assert.throws(() => index.setItem('a', item(['fd00::1/128'])), AssertionFailed);
  index.setItem('a', item(['fd00::/32']));
});

type Step =
  | { readonly kind: 'item'; readonly id: string; readonly value: SetItem | undefined }
  | { readonly kind: 'parent'; readonly id: string; readonly value: Labels | undefined }
  | { readonly kind: 'wish'; readonly id: number; readonly value: true | undefined }
  | { readonly kind: 'fixed'; readonly id: SetId; readonly value: ReadonlySet<string> }
  | { readonly kind: 'take'; readonly id: ''; readonly value: undefined };

const WISHES: readonly SetWish[] = [
  chosenBy('all()'),
  chosenBy('a == "x"'),
  chosenBy('has(a) && b != "x"'),
  chosenBy('!has(a) || b in {"x", "y"}'),
  port('p'),
  port('p', 'a == "x"'),
  port('q', 'has(b)', 'udp'),
];
const NETS = ['0.0.0.0/0', '10.0.0.0/8', '10.0.0.0/9', '10.0.0.0/31', '10.0.0.0', '10.0.0.1', '10.128.0.1'];
const NETS6 = ['::/0', 'fd00::/16', 'fd00::/63', 'fd00:0:0:1::/64', 'fd00::', 'fd00:0:0:1::1', 'fe80::1'];

const labels = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('x', 'y'));
const nets = fc.array(fc.constantFrom(...NETS, ...NETS6), { maxLength: 4 });
const ports = fc.array(
  fc.record({ name: fc.constantFrom('p', 'q'), protocol: fc.constantFrom(6, 17), port: fc.constantFrom(1, 2) }),
  { maxLength: 2 },
);
const maybe = <Value>(values: fc.Arbitrary<Value>) => fc.option(values, { nil: undefined, freq: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('item' as const),
    id: fc.constantFrom('1', '2', '3', '4'),
    value: maybe(fc.record({ labels, parents: fc.subarray(['r', 's'] as string[]), nets, ports })),
  }),
  fc.record({ kind: fc.constant('parent' as const), id: fc.constantFrom('r', 's'), value: maybe(labels) }),
  fc.record({
    kind: fc.constant('wish' as const),
    id: fc.nat(WISHES.length - 1),
    value: maybe(fc.constant(true as const)),
  }),
  fc.record({
    kind: fc.constant('fixed' as const),
    id: fc.constantFrom(ALL_POOLS, ALL_HOSTS),
    value: nets.map((list) => new Set(list)),
  }),
  fc.constant({ kind: 'take', id: '', value: undefined } as const),
);

/** The index, and what somebody who has heard all it said believes. */
class Follower {
  readonly index = new SetIndex();
  readonly believed = new Map<SetId, Set<string>>();

  apply({ kind, id, value }: Step): void {
    if (kind === 'item') this.index.setItem(id, value);
    else if (kind === 'parent') this.index.setParent(id, value);
    else if (kind === 'fixed') this.index.setFixed(id, value);
    else if (kind === 'take') this.take();
    else if (value) this.index.want(WISHES[id]!);
    else this.index.release(setIdOf(WISHES[id]!));
  }

  take(): void {
    for (const [id, change] of this.index.takeChanges()) {
      const known = this.believed.get(id);
      if (change === undefined) assert.ok(this.believed.delete(id), `${id} was not there`);
      else if (known === undefined) this.believed.set(id, new Set());
      else assert.ok(change.added.length + change.removed.length > 0, `nothing is said of ${id}`);
      const members = this.believed.get(id);
      for (const member of change?.removed ?? []) assert.ok(members?.delete(member), `${id} had no ${member}`);
      for (const member of change?.added ?? []) {
        assert.ok(!members?.has(member), `${id} had ${member}`);
        members?.add(member);
      }
    }
  }

  told(): object {
    return Object.fromEntries([...this.believed].map(([id, members]) => [id, [...members].sort()]).sort());
  }
}

/** Who holds what, by the key of the step that said so last; counted, where wishes are. */
type State = ReadonlyMap<string, Step>;

function prefix(net: string) {
  const address = parseIp(net);
  return address === undefined ? cidr(net) : hostPrefix(address);
}

function naive(state: State): object {
  const steps = [...state.values()];
  const sets: Record<string, string[]> = {
    [MASQUERADED_POOLS]: [],
    [VXLAN_HOSTS]: [],
    [ALL_POOLS]: [],
    [ALL_HOSTS]: [],
  };
  const parents = new Map(steps.flatMap((at) => (at.kind === 'parent' && at.value ? [[at.id, at.value]] : [])));
  const visible = (members: readonly string[]) =>
    [...new Set(members)].filter((inner) =>
      members.every((outer) => !containsCidr(prefix(outer), prefix(inner)) || sameCidr(prefix(outer), prefix(inner))),
    );
  for (const at of steps) {
    if (at.kind === 'fixed') sets[at.id] = visible([...at.value]).sort();
    if (at.kind !== 'wish' || at.value === undefined) continue;
    const wish = WISHES[at.id]!;
    const chosen = steps.flatMap((other) => {
      if (other.kind !== 'item' || other.value === undefined) return [];
      const layers = [...other.value.parents.map((name) => parents.get(name) ?? {}).reverse(), other.value.labels];
      return matches(wish.selector, Object.assign({}, ...layers)) ? [other.value] : [];
    });
    const members = chosen.flatMap(({ nets, ports }) => {
      if (wish.kind === 'selector') return nets;
      const number = { tcp: 6, udp: 17, sctp: 132 }[wish.protocol];
      const named = ports.filter(({ name, protocol }) => name === wish.name && protocol === number);
      const addresses = nets.filter((net) => parseIp(net) !== undefined);
      return addresses.flatMap((address) => named.map(({ port }) => `${address},${wish.protocol}:${port}`));
    });
    sets[setIdOf(wish)] = (wish.kind === 'selector' ? visible(members) : [...new Set(members)]).sort();
  }
  return Object.fromEntries(Object.entries(sets).sort());
}

test('after any sequence of changes the sets are those of a recomputation, by whatever way', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 50 }), fc.infiniteStream(fc.nat()), (steps, random) => {
      const follower = new Follower();
      const state = new Map<string, Step>();
      for (const at of steps) {
        // Here each wish is wanted once at most; a second time would only be counted.
        const known = state.get(`${at.kind} ${at.id}`);
        if (at.kind === 'wish' && at.value === known?.value) continue;
        follower.apply(at);
        if (at.kind === 'take') assert.deepEqual(follower.told(), naive(state));
        else state.set(`${at.kind} ${at.id}`, at);
      }
      follower.take();
      assert.deepEqual(follower.told(), naive(state));
      const other = new Follower();
      const order = [...state.values()].map((at) => ({ at, rank: random.next().value }));
      for (const { at } of order.sort((a, b) => a.rank - b.rank)) {
        if (at.kind !== 'wish' || at.value) other.apply(at);
      }
      other.take();
      assert.deepEqual(other.told(), follower.told());
    }),
    { numRuns: 1000 },
  );
});
