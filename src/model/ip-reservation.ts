/**
 * IPReservation: addresses that are never assigned by themselves.
 *
 * IPAM leaves them out when it chooses; a container that asks for one of them by name still gets it.
 */
import { z } from 'zod';
import { cidrField, mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Resource } from './resource.ts';

const spec = mapping({ reservedCIDRs: z.array(cidrField()).readonly().default([]) });

export type IpReservationSpec = Readonly<z.infer<typeof spec>>;
export type IpReservation = Resource<'IPReservation', IpReservationSpec>;

export const ipReservationKind = kindOf<'IPReservation', IpReservationSpec>({
  kind: 'IPReservation',
  plural: 'ipreservations',
  shortNames: ['reservation', 'reservations'],
  namespaced: false,
  spec,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'RESERVEDCIDRS', cell: ({ spec }) => spec.reservedCIDRs.join(',') },
  ],
});
