import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { readTopology } from '../read-topology.ts';
import { layOut, WIDTH_MAX } from './layout.ts';
import { svgPicture } from './svg-picture.ts';
import { textPicture } from './text-picture.ts';

const LABS = new URL('../../../labs/', import.meta.url);
const PAGES = new URL('../../../docs/labs/', import.meta.url);

function pictureOf(text: string, widthMax = WIDTH_MAX): string {
  return textPicture(layOut(readTopology('net.yaml', text), widthMax));
}

const PAIR = `
name: pair
segments: [lan]
hosts:
  a: { links: { eth0: { segment: lan, addresses: [10.0.0.1/24] } }, blocks: [10.1.1.0/24], asNumber: 64513 }
  b: { links: { eth0: { segment: lan, addresses: [10.0.0.2/24, "fd00::2/64"] } } }
workloads: { w: { host: a, addresses: [10.1.1.2, "fd01::2"] }, v: { host: a } }`;

const RACKS = `
name: racks
segments: [core, left, right]
hosts:
  "tor-{1..2}": { links: { eth0: { segment: core }, eth1: { segment: left } } }
  tor-3: { links: { eth0: { segment: core }, eth1: { segment: right } } }
  "l{1..3}": { links: { eth0: { segment: left } } }
  r1: { links: { eth0: { segment: right } } }`;

const ROUTED = `
name: routed
segments: [a, b]
hosts: { x: { links: { eth0: { segment: a } } }, y: { links: { eth0: { segment: b } } } }
routers: { r: { links: { eth0: { segment: a }, eth1: { segment: b } }, forwards: assigned } }`;

const CORE = `${RACKS}
routers: { up: { links: { eth0: { segment: core } } } }`;

const PICTURES: readonly { title: string; text: string; widthMax?: number; picture: string }[] = [
  {
    title: 'hosts beneath their segment, with blocks and workloads',
    text: PAIR,
    picture: `
         lan 10.0.0.0/24 fd00::/64
         ══╤══════════════════╤═══
           │                  │
 ┌─────────┴─────────┐  ┌─────┴────┐
 │ a                 │  │ b        │
 │ AS 64513          │  │ 10.0.0.2 │
 │ 10.0.0.1          │  │ fd00::2  │
 │ block 10.1.1.0/24 │  └──────────┘
 ├───────────────────┤
 │ w 10.1.1.2        │
 │   fd01::2         │
 │ v                 │
 └───────────────────┘
`,
  },
  {
    title: 'one above the other where the width is short',
    text: PAIR,
    widthMax: 30,
    picture: `
lan 10.0.0.0/24 fd00::/64
═╤═══════════════════════
 │
 │ ┌───────────────────┐
 ├─┤ a                 │
 │ │ AS 64513          │
 │ │ 10.0.0.1          │
 │ │ block 10.1.1.0/24 │
 │ ├───────────────────┤
 │ │ w 10.1.1.2        │
 │ │   fd01::2         │
 │ │ v                 │
 │ └───────────────────┘
 │ ┌──────────┐
 └─┤ b        │
   │ 10.0.0.2 │
   │ fd00::2  │
   └──────────┘
`,
  },
  {
    title: 'racks side by side beneath the core, two switches over one rack',
    text: RACKS,
    picture: `
    core
    ══╤══════════╤═══════════╤══
      │          │           │
  ┌───┴───┐  ┌───┴───┐   ┌───┴───┐
  │ tor-1 │  │ tor-2 │   │ tor-3 │
  │ eth0  │  │ eth0  │   │ eth0  │
  │ eth1  │  │ eth1  │   │ eth1  │
  └───┬───┘  └───┬───┘   └───┬───┘
      │          │           │
      │ left     │         right
  ══╤═╧═════╤════╧══╤══    ══╪══
    │       │       │        │
 ┌──┴─┐  ┌──┴─┐  ┌──┴─┐   ┌──┴─┐
 │ l1 │  │ l2 │  │ l3 │   │ r1 │
 └────┘  └────┘  └────┘   └────┘
`,
  },
  {
    title: 'a router above the segments that it joins, each on its own line, with cables passing over',
    text: ROUTED,
    picture: `
 ┌────────────────────────────────┐
 │ r                              │
 │ fabric: its own addresses only │
 │ eth0                           │
 │ eth1                           │
 └──────────┬──────────┬──────────┘
            │          │
          a │      b   │
          ══╧═╤══  ══╤═╧══
              │      │
            ┌─┴─┐  ┌─┴─┐
            │ x │  │ y │
            └───┘  └───┘
`,
  },
  {
    title: 'a router of the core above it; the narrowest picture where none is narrow enough',
    text: CORE,
    widthMax: 30,
    picture: `
           ┌────────┐
           │ up     │
           │ router │
           └────┬───┘
                │
   core         │
   ══╤══════════╪══════════╤══
     │          │          │
 ┌───┴───┐  ┌───┴───┐  ┌───┴───┐
 │ tor-1 │  │ tor-2 │  │ tor-3 │
 │ eth0  │  │ eth0  │  │ eth0  │
 │ eth1  │  │ eth1  │  │ eth1  │
 └───┬───┘  └───┬───┘  └───┬───┘
     │          │          │
left │          │    right │
══╤══╧══════╤═══╧══  ══╤═══╧══
  │         │          │
  │ ┌────┐  │ ┌────┐   │ ┌────┐
  ├─┤ l1 │  └─┤ l2 │   └─┤ r1 │
  │ └────┘    └────┘     └────┘
  │ ┌────┐
  └─┤ l3 │
    └────┘
`,
  },
];

describe('a picture has', () => {
  for (const { title, text, widthMax, picture } of PICTURES) {
    test(title, () => assert.equal(pictureOf(text, widthMax), picture.slice(1)));
  }
});

const namesIn = (folder: URL, extension: string): string[] =>
  readdirSync(folder).flatMap((file) => (file.endsWith(extension) ? [file.slice(0, -extension.length)] : []));

function shipped(name: string) {
  return readTopology(name, readFileSync(new URL(`${name}.yaml`, LABS), 'utf8'));
}

for (const name of namesIn(LABS, '.yaml')) {
  test(`${name} fits ${WIDTH_MAX} columns`, () => {
    const lines = textPicture(layOut(shipped(name), WIDTH_MAX)).split('\n');
    assert.deepEqual(
      lines.filter(({ length }) => length > WIDTH_MAX),
      [],
    );
  });
}

for (const name of namesIn(PAGES, '.md')) {
  test(`the page of ${name} shows it as it is drawn now: muslin lab graph ${name} --svg > docs/labs/${name}.svg`, () => {
    const topology = shipped(name);
    assert.equal(
      readFileSync(new URL(`${name}.svg`, PAGES), 'utf8'),
      svgPicture(layOut(topology, WIDTH_MAX), topology.description),
    );
    assert.ok(readFileSync(new URL(`${name}.md`, PAGES), 'utf8').includes(`](${name}.svg)`));
  });
}

test('what a name has that markup means something by, is text in SVG', () => {
  const svg = svgPicture(layOut(readTopology('net.yaml', PAIR), WIDTH_MAX), 'a < b & "c"');
  assert.match(svg, /<title>a &lt; b &amp; "c"<\/title>/);
  assert.equal(svg.match(/<text /g)?.length, 11);
});
