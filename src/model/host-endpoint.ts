/**
 * HostEndpoint: an interface of a host, with the labels that policy sees.
 *
 * It is found by the name of the interface, or by the addresses on it; "*" stands for all interfaces of the host that no
 * container is behind. As soon as it is there, packets to and from the host itself are dropped unless policy or a
 * profile allows them, or they are for one of the failsafe ports.
 */
import { z } from 'zod';
import { addressField, interfaceNameField, mapping, nameField, portField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import { quote } from './problem.ts';
import { portNameField, protocolField } from './protocol.ts';
import type { Resource } from './resource.ts';

/** All interfaces of a host that are no container's. */
const ALL_INTERFACES = '*';

const spec = mapping({
  node: nameField(),
  interfaceName: z
    .union([z.literal(ALL_INTERFACES), interfaceNameField()], {
      error: ({ input }) =>
        `${quote(input)} is not a device name; 1 to 15 letters, digits, "_", "." and "-", or "*" for all that are no container's`,
    })
    .exactOptional(),
  expectedIPs: z.array(addressField()).readonly().default([]),
  profiles: z.array(nameField()).readonly().default([]),
  ports: z
    .array(mapping({ name: portNameField(), protocol: protocolField(), port: portField() }))
    .readonly()
    .default([]),
});

export type HostEndpointSpec = Readonly<z.infer<typeof spec>>;
export type HostEndpoint = Resource<'HostEndpoint', HostEndpointSpec>;

function check({ spec }: HostEndpoint): Problem[] {
  if (spec.interfaceName !== undefined || spec.expectedIPs.length > 0) return [];
  const message =
    'is required, unless expectedIPs is given: the name of a device, or "*" for all that are no container\'s';
  return [{ path: ['spec', 'interfaceName'], message }];
}

export const hostEndpointKind = kindOf<'HostEndpoint', HostEndpointSpec>({
  kind: 'HostEndpoint',
  plural: 'hostendpoints',
  shortNames: ['hep', 'heps'],
  namespaced: false,
  spec,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'NODE', cell: ({ spec }) => spec.node },
    { title: 'INTERFACE', cell: ({ spec }) => spec.interfaceName ?? '', wide: true },
    { title: 'IPS', cell: ({ spec }) => spec.expectedIPs.join(','), wide: true },
    { title: 'PROFILES', cell: ({ spec }) => spec.profiles.join(','), wide: true },
  ],
});
