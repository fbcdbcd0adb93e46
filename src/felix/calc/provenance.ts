/**
 * Where a desired object comes from: the resource, and the file and line that it was applied from.
 *
 * Every route and rule carries this to the end, so that "why is this here?" can be answered from the object itself.
 */
import { SOURCE_ANNOTATION } from '../../model/metadata.ts';
import type { Metadata } from '../../model/resource.ts';
import type { Provenance } from '../desired/provenance.ts';

export function sourceOf(origin: string, metadata: Metadata): Provenance {
  const source = metadata.annotations?.[SOURCE_ANNOTATION];
  return source === undefined ? { origin } : { origin, source };
}
