/**
 * IPAMHandle: all addresses that were assigned for one purpose, by the block they are in.
 *
 * A handle stands for a container or a tunnel device. Releasing by handle finds the blocks here, and so needs to read
 * no others. `block` counts the handle's addresses in each block.
 */
import { z } from 'zod';
import { cidrField, mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Resource } from './resource.ts';

const spec = mapping({
  handleID: z.string(),
  block: z.record(cidrField(), z.int().min(1)),
  deleted: z.boolean().default(false),
});

export type IpamHandleSpec = Readonly<z.infer<typeof spec>>;
export type IpamHandle = Resource<'IPAMHandle', IpamHandleSpec>;

export const ipamHandleKind = kindOf<'IPAMHandle', IpamHandleSpec>({
  kind: 'IPAMHandle',
  plural: 'ipamhandles',
  shortNames: ['handle', 'handles'],
  namespaced: false,
  writeRefusal: 'it records whose addresses are in use; agents keep it in step with the containers',
  spec,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'HANDLEID', cell: ({ spec }) => spec.handleID },
    {
      title: 'ADDRESSES',
      cell: ({ spec }) => String(Object.values(spec.block).reduce((sum, count) => sum + count, 0)),
    },
  ],
});
