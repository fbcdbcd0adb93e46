/**
 * RFC 7606 for the attributes that we only pass on: what each wrong value does, from an internal and from an external peer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXTERNAL, INTERNAL, type Outcome, treatmentOf } from './update.suite.ts';

/** The outcome for an external peer, where it is another one, stands last. */
const ROWS: [title: string, attribute: string, internal: Outcome, external?: Outcome][] = [
  ['6514 5: PMSI_TUNNEL, RSVP-TE', 'c0 16 11 00 01 000000 0a000001 00000001 0a000002', 'kept'],
  ['6514 5: PMSI_TUNNEL, none', 'c0 16 05 00 00 000000', 'kept'],
  ['6514 5: PMSI_TUNNEL, ingress replication, IPv4', 'c0 16 09 00 06 000000 0a000002', 'kept'],
  ['6514 5: PMSI_TUNNEL, ingress replication, IPv6', `c0 16 15 00 06 000000 ${'fd'.repeat(16)}`, 'kept'],
  ['6514 5: PMSI_TUNNEL, ingress replication, 5 bytes', 'c0 16 0a 00 06 000000 0a00000200', 'withdraw'],
  ['6514 5: PMSI_TUNNEL of no bytes', 'c0 16 00', 'withdraw'],
  ['6514 5: PMSI_TUNNEL of 4 bytes', 'c0 16 04 00 06 0000', 'withdraw'],
  ['6514 5: PMSI_TUNNEL, type 8', 'c0 16 09 00 08 000000 0a000002', 'withdraw'],
  ['6514 5: PMSI_TUNNEL, type 255', 'c0 16 09 00 ff 000000 0a000002', 'withdraw'],
  ['7606 3 c: PMSI_TUNNEL not transitive', '80 16 09 00 06 000000 0a000002', 'withdraw'],

  ['9012 2: TUNNEL_ENCAPSULATION', 'c0 17 09 0007 0005 01 03 0a0000', 'kept'],
  ['9012 2: TUNNEL_ENCAPSULATION, long sub-TLV', 'c0 17 09 0008 0005 80 0002 0000', 'kept'],
  ['9012 13: TUNNEL_ENCAPSULATION of 3 bytes', 'c0 17 03 000700', 'withdraw'],
  ['9012 13: TUNNEL_ENCAPSULATION, tunnel that overruns', 'c0 17 05 0007 0004 01', 'withdraw'],
  ['9012 13: TUNNEL_ENCAPSULATION, sub-TLV that overruns', 'c0 17 06 0007 0002 01 ff', 'withdraw'],
  ['9012 13: TUNNEL_ENCAPSULATION, sub-TLV without length', 'c0 17 05 0007 0001 01', 'withdraw'],
  ['9012 13: TUNNEL_ENCAPSULATION, long sub-TLV that overruns', 'c0 17 08 0007 0004 80 0002 00', 'withdraw'],
  ['7606 3 c: TUNNEL_ENCAPSULATION not transitive', '80 17 04 0007 0000', 'withdraw'],

  ['5543 3: TRAFFIC_ENGINEERING ends here', '80 18 04 00000000', 'dropped'],
  ['7606 3 c: TRAFFIC_ENGINEERING transitive', 'c0 18 04 00000000', 'withdraw'],

  ['5701 2: IPv6 EXTENDED COMMUNITIES', `c0 19 14 0002 ${'fd'.repeat(16)} 0001`, 'kept'],
  ['7606 7.15: IPv6 EXTENDED COMMUNITIES of no bytes', 'c0 19 00', 'withdraw'],
  ['7606 7.15: IPv6 EXTENDED COMMUNITIES of 21 bytes', `c0 19 15 0002 ${'fd'.repeat(16)} 0001 00`, 'withdraw'],
  ['7606 3 c: IPv6 EXTENDED COMMUNITIES not transitive', `80 19 14 0002 ${'fd'.repeat(16)} 0001`, 'withdraw'],

  ['7311 3.1: AIGP where it is not enabled', '80 1a 0b 01 000b 000000000000000a', 'dropped'],
  ['7311 3: AIGP with a TLV of 5 bytes', '80 1a 05 01 0005 0000', 'dropped'],
  ['7311 3: AIGP of no bytes', '80 1a 00', 'dropped'],
  ['7311 3: AIGP transitive', 'c0 1a 0b 01 000b 000000000000000a', 'dropped'],

  ['9552 5: BGP-LS ends here', '80 1d 05 0400 0001 00', 'dropped'],
  ['9552 8.2.2: BGP-LS, TLV that overruns', '80 1d 05 0400 00ff 00', 'dropped'],
  ['9552 8.2.2: BGP-LS, TLV without length', '80 1d 02 0400', 'dropped'],
  ['9552 8.2.2: BGP-LS transitive', 'c0 1d 05 0400 0001 00', 'dropped'],

  ['NEXT_HOP_CHARACTERISTICS', 'c0 27 0c 0001 01 04 0a000002 0001 0000', 'kept'],
  ['NEXT_HOP_CHARACTERISTICS of an unknown family', 'c0 27 08 00ff 01 04 0a000002', 'dropped'],
  ['NEXT_HOP_CHARACTERISTICS without next hop', 'c0 27 04 0001 01 00', 'dropped'],
  ['NEXT_HOP_CHARACTERISTICS of 1 byte', 'c0 27 01 00', 'dropped'],
  ['NEXT_HOP_CHARACTERISTICS, TLV that overruns', 'c0 27 0d 0001 01 04 0a000002 0001 0002 00', 'dropped'],
  ['NEXT_HOP_CHARACTERISTICS not transitive', '80 27 0c 0001 01 04 0a000002 0001 0000', 'dropped'],

  ['8669 3: BGP_PREFIX_SID', 'c0 28 0a 01 0007 00 0000 00000001', 'kept', 'dropped'],
  ['8669 3: BGP_PREFIX_SID with a TLV that we do not know', 'c0 28 04 07 0001 00', 'kept', 'dropped'],
  ['8669 6: BGP_PREFIX_SID, TLV that overruns', 'c0 28 06 01 00ff 000000', 'dropped'],
  ['8669 6: BGP_PREFIX_SID, TLV without length', 'c0 28 02 0100', 'dropped'],
  ['8669 6: BGP_PREFIX_SID, label index of no bytes', 'c0 28 03 01 0000', 'dropped'],
  ['8669 6: BGP_PREFIX_SID not transitive', '80 28 0a 01 0007 00 0000 00000001', 'dropped'],

  ['6368 5: ATTR_SET', 'c0 80 0b 0000fde9 40 01 01 00 40 02 00', 'kept'],
  ['6368 5: ATTR_SET with an extended length in it', 'c0 80 09 0000fde9 50 01 0001 00', 'kept'],
  ['7606 7.16: ATTR_SET of 3 bytes', 'c0 80 03 0000fd', 'withdraw'],
  ['7606 7.16: ATTR_SET, attribute that overruns', 'c0 80 08 0000fde9 40 01 02 00', 'withdraw'],
  ['7606 7.16: ATTR_SET, a stray byte', 'c0 80 05 0000fde9 40', 'withdraw'],
  ['6368 5: ATTR_SET with MP_REACH_NLRI in it', 'c0 80 07 0000fde9 80 0e 00', 'withdraw'],
  ['7606 3 c: ATTR_SET not transitive', '80 80 04 0000fde9', 'withdraw'],

  ['4271 5: unknown, optional, transitive', 'c0 fe 04 deadbeef', 'kept'],
  ['4271 5: unknown, optional, not transitive', '80 fd 04 deadbeef', 'dropped'],
  ['4271 5: unknown, well known', '40 63 00', 'withdraw'],
  ['4271 5: unknown, without any flag', '00 63 00', 'withdraw'],
];

for (const [title, attribute, internal, external = internal] of ROWS) {
  test(`RFC ${title}`, () => {
    assert.equal(treatmentOf(attribute, INTERNAL), internal, 'from an internal peer');
    assert.equal(treatmentOf(attribute, EXTERNAL), external, 'from an external peer');
  });
}
