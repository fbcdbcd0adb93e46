/**
 * The fields of the file that `muslin bgp run` reads: what may be written, each with its check.
 *
 * Settings of a session are rows of peer-settings.ts under their names in camel case; filters have the shape of a BGPFilter's
 * spec. Rules that join several fields are in standalone-configuration.ts, the only caller.
 */
import { z } from 'zod';
import { INTERNAL_PEER } from '../bgp/peer-config.ts';
import { PASSWORD_BYTES_MAX } from '../kernel/tcp-socket.ts';
import { communityField } from '../model/bgp-fields.ts';
import { bgpFilterKind } from '../model/bgp-filter.ts';
import {
  addressField,
  asnField,
  cidrField,
  durationField,
  interfaceNameField,
  mapping,
  nameField,
  portField,
} from '../model/fields.ts';
import { fieldName, PEER_SETTINGS } from './bgp/peer-settings.ts';

/** Several thousand sessions are a full machine; a longer list is a mistake of what wrote it. */
const NEIGHBORS_MAX = 20_000;
const RANGES_MAX = 1_000;
/** What is announced is a list by hand or by a small program; whole tables come from peers. */
const ANNOUNCE_MAX = 100_000;
const AGGREGATES_MAX = 1_000;
const LISTEN_MAX = 64;
const COLLECTORS_MAX = 8;
const COMMUNITIES_MAX = 50;
const PEERS_OF_RANGE_DEFAULT = 1_000;
/** BGP's port as a metric: routes of other daemons have other ones, so none is taken for another's. */
const KERNEL_METRIC_DEFAULT = 179;
const MAIN_TABLE = 254;
const UNSIGNED_32_MAX = 0xffffffff;

/** One row of PEER_SETTINGS as a field: text, number or true and false, as YAML makes of what was written; a list is its items with commas. */
function settingField(name: string) {
  return z
    .union([z.string(), z.number(), z.boolean(), z.array(z.string())], { error: 'must be a word, a number or a list' })
    .superRefine((value, context) => {
      const result = PEER_SETTINGS[name]?.(String(value), INTERNAL_PEER);
      if (result !== undefined && 'problem' in result) context.addIssue({ code: 'custom', message: result.problem });
    })
    .exactOptional();
}

/** Their types are not inferred: the table's loop reads them by name. */
const settingFields: object = Object.fromEntries(
  Object.keys(PEER_SETTINGS).map((name) => [fieldName(name), settingField(name)]),
);

const session = {
  port: portField().exactOptional(),
  asNumber: asnField().exactOptional(),
  localAsNumber: asnField().exactOptional(),
  description: z.string().max(200).exactOptional(),
  sourceAddress: addressField().exactOptional(),
  password: z
    .string()
    .min(1)
    .refine((text) => Buffer.byteLength(text) <= PASSWORD_BYTES_MAX, `has more than ${PASSWORD_BYTES_MAX} bytes`)
    .exactOptional(),
  passwordFile: z.string().min(1).exactOptional(),
  filters: z.array(nameField()).max(100).readonly().exactOptional(),
  import: z.enum(['all', 'none']).exactOptional(),
  export: z.enum(['all', 'none']).exactOptional(),
  ...settingFields,
};

const neighbor = mapping({
  ...session,
  address: addressField().exactOptional(),
  interface: interfaceNameField().exactOptional(),
});

const range = mapping({
  ...session,
  prefix: cidrField(),
  interface: interfaceNameField().exactOptional(),
  peersMax: z.int().min(1).max(NEIGHBORS_MAX).default(PEERS_OF_RANGE_DEFAULT),
});

/** A bare prefix is short for the mapping with only that. */
const orPrefix = (value: unknown): unknown => (typeof value === 'string' ? { prefix: value } : value);

const announcement = z.preprocess(
  orPrefix,
  mapping({
    prefix: cidrField(),
    communities: z.array(communityField()).max(COMMUNITIES_MAX).readonly().default([]),
    localPreference: z.int().min(0).max(UNSIGNED_32_MAX).exactOptional(),
  }),
);

const aggregate = z.preprocess(orPrefix, mapping({ prefix: cidrField(), summaryOnly: z.boolean().default(false) }));

const addressAndPort = mapping({ address: addressField(), port: portField() });

export const standaloneSchema = mapping({
  asNumber: asnField(),
  routerId: addressField(4),
  clusterId: addressField(4).exactOptional(),
  nextHops: mapping({ ipv4: addressField().exactOptional(), ipv6: addressField(6).exactOptional() }).default({}),
  listen: z
    .array(mapping({ address: addressField().exactOptional(), port: portField().exactOptional() }))
    .max(LISTEN_MAX)
    .readonly()
    .default([]),
  holdTime: durationField().exactOptional(),
  restartTime: durationField().exactOptional(),
  multipathMax: z.int().min(1).max(256).exactOptional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  neighbors: z.array(neighbor).max(NEIGHBORS_MAX).readonly().default([]),
  ranges: z.array(range).max(RANGES_MAX).readonly().default([]),
  filters: z.record(z.string(), bgpFilterKind.spec).default({}),
  announce: z.array(announcement).max(ANNOUNCE_MAX).readonly().default([]),
  aggregates: z.array(aggregate).max(AGGREGATES_MAX).readonly().default([]),
  kernel: mapping({
    install: z.boolean().default(false),
    table: z.int().min(1).max(UNSIGNED_32_MAX).default(MAIN_TABLE),
    metric: z.int().min(1).max(UNSIGNED_32_MAX).default(KERNEL_METRIC_DEFAULT),
    keepOnExit: z.boolean().default(false),
  }).default({ install: false, table: MAIN_TABLE, metric: KERNEL_METRIC_DEFAULT, keepOnExit: false }),
  metrics: mapping({ listen: addressAndPort }).exactOptional(),
  bmp: z.array(addressAndPort).max(COLLECTORS_MAX).readonly().default([]),
});

export type StandaloneDocument = Readonly<z.infer<typeof standaloneSchema>>;
export type SessionDocument = Pick<
  z.infer<typeof neighbor>,
  Exclude<keyof z.infer<typeof neighbor>, 'address' | 'interface'>
>;
