/**
 * ExaBGP as the peer that sends what nobody should: routes with attributes given as raw bytes.
 *
 * Its `attribute [code flags value]` puts any bytes under any code into an UPDATE, beside the well-known attributes that it adds.
 * It learns nothing that a test asks for: what matters is what the other side makes of it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DaemonOptions } from './daemon.ts';
import { Running } from './process.ts';

export interface OddRoute {
  readonly prefix: string;
  /** "0x08 0xc0 0x0102": code, flags, value; undefined for a route that nothing is wrong with. */
  readonly attribute: string | undefined;
}

/** Starts ExaBGP; it dials its one neighbour. */
export function startExabgp(options: DaemonOptions, routes: readonly OddRoute[]): Running {
  const { place, asn, neighbours, directory } = options;
  const file = join(directory, 'exabgp.conf');
  const lines = routes.map(({ prefix, attribute }) => {
    const raw = attribute === undefined ? '' : ` attribute [ ${attribute} ]`;
    return `      unicast ${prefix} next-hop ${place.address}${raw};`;
  });
  const blocks = neighbours.map(
    ({ address, asn: peerAsn, password }) => `neighbor ${address} {
  router-id ${place.address};
  local-address ${place.address};
  local-as ${asn};
  peer-as ${peerAsn};
  ${password === undefined ? '' : `md5-password '${password}';`}
  family { ipv4 unicast; }
  announce {
    ipv4 {
${lines.join('\n')}
    }
  }
}
`,
  );
  writeFileSync(file, blocks.join(''));
  const settings = ['exabgp.daemon.user=root', 'exabgp.api.cli=false', 'exabgp.log.destination=stderr'];
  return new Running(place.namespace, 'env', [...settings, 'exabgp', file], { cwd: directory });
}
