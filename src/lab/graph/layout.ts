/**
 * Where everything of a lab's picture is, in cells of one character: boxes of machines, lines of segments, cables.
 *
 * Clusters are side by side, each over what hangs beneath it (levels.ts). Machines at the end of a segment are set out in
 * rows, as many as it takes for the whole to fit the width; with more than one row, cables run down at the left of each
 * column and enter boxes from the side (placement.ts). Segments of one level that would overlap get a line each. Pure and
 * deterministic: columns first, then the levels' heights, then everything's rows.
 */
import { assert } from '../../lib/assert.ts';
import type { Topology } from '../topology.ts';
import { type BoxText, segmentLabel } from './labels.ts';
import { clustersOf } from './levels.ts';
import { type Place, placeClusters } from './placement.ts';

export interface Box extends BoxText {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A segment: a horizontal line of `width` cells, its label in the row above it. */
export interface Bar {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly label: string;
  readonly labelX: number;
}

/** From a bar straight to a box's edge or, with `turnX`, along a column and then to the right into its side. */
export interface Cable {
  readonly x: number;
  readonly barY: number;
  readonly endY: number;
  readonly turnX: number | undefined;
}

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly bars: readonly Bar[];
  readonly cables: readonly Cable[];
}

/** Terminals are often wider than 80, and pages of text narrower than 120. */
export const WIDTH_MAX = 100;

/** An empty row between two levels, so that a cable can be seen. */
const LEVEL_GAP = 1;
/** A bar's label, the bar, and an empty row before the next one. */
const BAR_ROWS = 3;
const BAR_OVERHANG = 2;
/** So many rows make one column of the largest lab that a machine runs. */
const ROWS_MAX = 1_000;

/** The picture with the fewest rows that fits `widthMax` columns, in full or else in terse texts; or the narrowest there is. */
export function layOut(topology: Topology, widthMax: number): Picture {
  const clusters = clustersOf(topology);
  let narrowest: Picture | undefined;
  for (const terse of [false, true]) {
    for (let rows = 1; rows <= Math.min(topology.hosts.length, ROWS_MAX); rows++) {
      const picture = pictureOf(topology, placeClusters(topology, clusters, { rows, terse }));
      if (narrowest === undefined || picture.width < narrowest.width) narrowest = picture;
      if (picture.width <= widthMax) return picture;
    }
  }
  assert(narrowest !== undefined, 'a topology has a host');
  return narrowest;
}

/** One end of a machine's cable: the column it runs in. */
interface Lead {
  readonly place: Place;
  readonly segment: string;
  readonly level: number;
  readonly x: number;
}

interface Track {
  readonly segment: string;
  readonly level: number;
  readonly x: number;
  readonly width: number;
  /** Which of the level's lines it is on. */
  readonly line: number;
}

function pictureOf(topology: Topology, places: readonly Place[]): Picture {
  const leads = leadsOf(places);
  const tracks = tracksOf(topology, leads);
  const tops = levelTops(places, tracks);
  const barY = ({ level, line }: Track) => (tops.get(level) ?? 0) + line * BAR_ROWS + 1;
  const boxY = (place: Place) => (tops.get(place.level) ?? 0) + place.drop;
  const boxes = places.map((place) => ({ ...place.text, ...place.size, x: place.x, y: boxY(place) }));
  const cables = leads.flatMap(({ place, segment, x }): Cable[] => {
    const track = tracks.find((each) => each.segment === segment);
    if (track === undefined) return [];
    const isRail = place.rails.includes(segment);
    const top = boxY(place);
    const edge = track.level < place.level ? top : top + place.size.height - 1;
    return [{ x, barY: barY(track), endY: isRail ? top + 1 : edge, turnX: isRail ? place.x : undefined }];
  });
  const bars = tracks.map((track): Bar => {
    const label = segmentLabel(topology, track.segment);
    const y = barY(track);
    return { x: track.x, y, width: track.width, label, labelX: labelColumn(track, y - 1, label.length, cables) };
  });
  return {
    width: Math.max(0, ...boxes.map(({ x, width }) => x + width), ...bars.map(({ x, width }) => x + width)),
    height: Math.max(0, ...boxes.map(({ y, height }) => y + height), ...bars.map(({ y }) => y + 1)),
    boxes,
    bars,
    cables,
  };
}

/** Cables of different segments never share a column of one level, where they would look like one. */
function leadsOf(places: readonly Place[]): Lead[] {
  const owners = new Map<string, string>();
  const isFree = (level: number, x: number, segment: string) => (owners.get(`${level} ${x}`) ?? segment) === segment;
  return places.flatMap((place) =>
    place.plugs.map(({ segment, level }): Lead => {
      const rail = place.rails.indexOf(segment);
      const side = place.plugs.filter((plug) => plug.level === level);
      const turn = side.findIndex((plug) => plug.segment === segment) + 1;
      const wanted = place.x + Math.floor((turn * place.size.width) / (side.length + 1));
      const columns = Array.from({ length: place.size.width - 2 }, (_, index) => place.x + 1 + index).sort(
        (a, b) => Math.abs(a - wanted) - Math.abs(b - wanted) || a - b,
      );
      const x =
        rail >= 0
          ? place.x - 2 * (place.rails.length - rail)
          : (columns.find((column) => isFree(level, column, segment)) ?? wanted);
      owners.set(`${level} ${x}`, segment);
      return { place, segment, level, x };
    }),
  );
}

/** The segments as lines from their first cable to their last one, long enough for their labels. */
function tracksOf(topology: Topology, leads: readonly Lead[]): Track[] {
  const bare = topology.segments.flatMap((segment) => {
    const own = leads.filter((lead) => lead.segment === segment);
    const [first] = own;
    if (first === undefined) return [];
    const x = Math.max(0, Math.min(...own.map((lead) => lead.x)) - BAR_OVERHANG);
    const end = Math.max(...own.map((lead) => lead.x)) + BAR_OVERHANG + 1;
    const width = Math.max(end - x, segmentLabel(topology, segment).length);
    return [{ segment, level: first.level, x, width }];
  });
  const tracks: Track[] = [];
  for (const bar of bare.toSorted((a, b) => a.x - b.x)) {
    let line = 0;
    const overlaps = (track: Track) =>
      track.level === bar.level && track.line === line && track.x + track.width >= bar.x;
    while (tracks.some(overlaps)) line++;
    tracks.push({ ...bar, line });
  }
  return tracks;
}

/** The first row of each level. */
function levelTops(places: readonly Place[], tracks: readonly Track[]): Map<number, number> {
  const deepest = Math.max(0, ...places.map(({ level }) => level), ...tracks.map(({ level }) => level));
  const tops = new Map<number, number>();
  let top = 0;
  for (let level = 0; level <= deepest; level++) {
    tops.set(level, top);
    const boxes = places.filter((place) => place.level === level).map(({ drop, size }) => drop + size.height);
    const bars = tracks.filter((track) => track.level === level).map(({ line }) => (line + 1) * BAR_ROWS - 1);
    top += Math.max(0, ...boxes, ...bars) + LEVEL_GAP;
  }
  return tops;
}

/** The first column along the bar where no cable runs through the text; else its start, and the text covers the cables. */
function labelColumn({ x: start, width }: Track, y: number, length: number, cables: readonly Cable[]): number {
  const crossing = cables
    .filter(({ barY, endY }) => Math.min(barY, endY) <= y && y <= Math.max(barY, endY))
    .map(({ x }) => x);
  let column = start;
  for (const x of crossing.toSorted((a, b) => a - b)) {
    if (x >= column - 1 && x <= column + length) column = x + 2;
  }
  return column + length <= start + width ? column : start;
}
