/**
 * RFC 7606 for the attributes that we use: what each wrong value does, from an internal and from an external peer.
 *
 * One row is one attribute in an otherwise good UPDATE; the RFC section that demands the outcome begins the title.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXTERNAL, INTERNAL, type Outcome, treatmentOf } from './update.suite.ts';

/** The outcome for an external peer, where it is another one, stands last. */
const ROWS: [title: string, attribute: string, internal: Outcome, external?: Outcome][] = [
  ['4271 5.1.1: ORIGIN IGP', '40 01 01 00', 'kept'],
  ['4271 5.1.1: ORIGIN INCOMPLETE', '40 01 01 02', 'kept'],
  ['4271 4.3: an extended length that need not be', '50 01 0001 00', 'kept'],
  ['4271 4.3: the four lowest flag bits mean nothing', '4f 01 01 00', 'kept'],
  ['7606 7.1: ORIGIN 3', '40 01 01 03', 'withdraw'],
  ['7606 7.1: ORIGIN 255', '40 01 01 ff', 'withdraw'],
  ['7606 7.1: ORIGIN of no bytes', '40 01 00', 'withdraw'],
  ['7606 7.1: ORIGIN of 2 bytes', '40 01 02 0000', 'withdraw'],
  ['7606 3 c: ORIGIN optional', 'c0 01 01 00', 'withdraw'],
  ['7606 3 c: ORIGIN not transitive', '00 01 01 00', 'withdraw'],
  ['7606 3 c: ORIGIN optional, not transitive', '80 01 01 00', 'withdraw'],
  ['4271 4.3: ORIGIN partial', '60 01 01 00', 'withdraw'],

  ['4271 5.1.2: AS_PATH of two segments', '40 02 0c 02 01 0000fde9 02 01 0000fdea', 'kept'],
  ['7606 7.2: segment type 0', '40 02 06 00 01 0000fde9', 'withdraw'],
  ['9774 3: AS_SET', '40 02 06 01 01 0000fde9', 'withdraw'],
  ['9774 3: AS_SET behind a sequence', '40 02 0c 02 01 0000fde9 01 01 0000fdea', 'withdraw'],
  ['5065 5: AS_CONFED_SEQUENCE', '40 02 06 03 01 0000fde9', 'withdraw'],
  ['5065 5: AS_CONFED_SET', '40 02 06 04 01 0000fde9', 'withdraw'],
  ['7606 7.2: segment type 5', '40 02 06 05 01 0000fde9', 'withdraw'],
  ['7606 7.2: segment type 255', '40 02 06 ff 01 0000fde9', 'withdraw'],
  ['7606 7.2: segment of no AS', '40 02 02 02 00', 'withdraw'],
  ['7606 7.2: segment of no AS behind a good one', '40 02 08 02 01 0000fde9 02 00', 'withdraw'],
  ['7606 7.2: segment that overruns', '40 02 06 02 02 0000fde9', 'withdraw'],
  ['7606 7.2: a byte behind the last segment', '40 02 07 02 01 0000fde9 02', 'withdraw'],
  ['7606 7.2: AS numbers of 16 bits in a session of 32', '40 02 04 02 01 fde9', 'withdraw'],
  ['7607 2: AS 0', '40 02 06 02 01 00000000', 'withdraw'],
  ['7607 2: AS 0 in the middle', '40 02 0e 02 03 0000fde9 00000000 0000fdea', 'withdraw'],
  ['7606 3 c: AS_PATH optional', 'c0 02 06 02 01 0000fde9', 'withdraw'],
  ['4271 4.3: AS_PATH partial', '60 02 06 02 01 0000fde9', 'withdraw'],
  ['a path of 1000 ASes', `50 02 0fa8 ${'02 fa '.concat('0000fde9'.repeat(250)).repeat(4)}`, 'kept'],
  ['a path of 1001 ASes', `50 02 0fae ${'02 fa '.concat('0000fde9'.repeat(250)).repeat(4)} 02 01 0000fde9`, 'withdraw'],

  ['4271 5.1.3: NEXT_HOP', '40 03 04 0a000009', 'kept'],
  ['7606 7.3: NEXT_HOP of no bytes', '40 03 00', 'withdraw'],
  ['7606 7.3: NEXT_HOP of 3 bytes', '40 03 03 0a0000', 'withdraw'],
  ['7606 7.3: NEXT_HOP of 5 bytes', '40 03 05 0a00000200', 'withdraw'],
  ['7606 7.3: NEXT_HOP of 16 bytes', '40 03 10 fd000000000000000000000000000002', 'withdraw'],
  ['7606 3 c: NEXT_HOP optional', 'c0 03 04 0a000002', 'withdraw'],
  ['4271 6.3: NEXT_HOP 0.0.0.0', '40 03 04 00000000', 'withdraw'],
  ['4271 6.3: NEXT_HOP 127.0.0.1', '40 03 04 7f000001', 'withdraw'],
  ['4271 6.3: NEXT_HOP 224.0.0.1', '40 03 04 e0000001', 'withdraw'],
  ['4271 6.3: NEXT_HOP 240.0.0.1', '40 03 04 f0000001', 'withdraw'],
  ['4271 6.3: NEXT_HOP 255.255.255.255', '40 03 04 ffffffff', 'withdraw'],

  ['4271 5.1.4: MED', '80 04 04 0000000a', 'kept'],
  ['7606 7.4: MED of no bytes', '80 04 00', 'withdraw'],
  ['7606 7.4: MED of 3 bytes', '80 04 03 000007', 'withdraw'],
  ['7606 7.4: MED of 5 bytes', '80 04 05 0000000700', 'withdraw'],
  ['7606 3 c: MED transitive', 'c0 04 04 0000000a', 'withdraw'],
  ['7606 3 c: MED well known', '40 04 04 0000000a', 'withdraw'],
  ['4271 4.3: MED partial', 'a0 04 04 0000000a', 'withdraw'],

  ['7606 7.5: LOCAL_PREF', '40 05 04 000000c8', 'kept', 'dropped'],
  ['7606 7.5: LOCAL_PREF of no bytes', '40 05 00', 'withdraw', 'dropped'],
  ['7606 7.5: LOCAL_PREF of 3 bytes', '40 05 03 000064', 'withdraw', 'dropped'],
  ['7606 7.5: LOCAL_PREF of 5 bytes', '40 05 05 0000000064', 'withdraw', 'dropped'],
  ['7606 3 c: LOCAL_PREF optional', 'c0 05 04 00000064', 'withdraw'],

  ['4271 5.1.6: ATOMIC_AGGREGATE', '40 06 00', 'kept'],
  ['7606 7.6: ATOMIC_AGGREGATE of 1 byte', '40 06 01 00', 'dropped'],
  ['7606 3 c: ATOMIC_AGGREGATE optional', 'c0 06 00', 'withdraw'],

  ['4271 5.1.7: AGGREGATOR', 'c0 07 08 0000fde9 0a000001', 'kept'],
  ['4271 5.1.7: AGGREGATOR that a stranger passed on', 'e0 07 08 0000fde9 0a000001', 'kept'],
  ['7606 7.7: AGGREGATOR of no bytes', 'c0 07 00', 'dropped'],
  ['7606 7.7: AGGREGATOR of 5 bytes', 'c0 07 05 0000fde90a', 'dropped'],
  ['7606 7.7: AGGREGATOR of 6 bytes in a session of 32 bits', 'c0 07 06 fde9 0a000001', 'dropped'],
  ['7606 7.7: AGGREGATOR of 7 bytes', 'c0 07 07 0000fde9 0a0000', 'dropped'],
  ['7606 7.7: AGGREGATOR of 9 bytes', 'c0 07 09 0000fde9 0a000001 00', 'dropped'],
  ['7607 2: AGGREGATOR of AS 0', 'c0 07 08 00000000 0a000001', 'dropped'],
  ['7606 3 c: AGGREGATOR not transitive', '80 07 08 0000fde9 0a000001', 'withdraw'],

  ['1997: COMMUNITIES', 'c0 08 08 fc000064 ffffff01', 'kept'],
  ['7606 7.8: COMMUNITIES of no bytes', 'c0 08 00', 'withdraw'],
  ['7606 7.8: COMMUNITIES of 3 bytes', 'c0 08 03 fc0000', 'withdraw'],
  ['7606 7.8: COMMUNITIES of 5 bytes', 'c0 08 05 fc00006400', 'withdraw'],
  ['7606 3 c: COMMUNITIES not transitive', '80 08 04 fc000064', 'withdraw'],

  ['4456 8: ORIGINATOR_ID', '80 09 04 0a000007', 'kept', 'dropped'],
  ['7606 7.9: ORIGINATOR_ID of no bytes', '80 09 00', 'withdraw', 'dropped'],
  ['7606 7.9: ORIGINATOR_ID of 3 bytes', '80 09 03 0a0000', 'withdraw', 'dropped'],
  ['7606 7.9: ORIGINATOR_ID of 5 bytes', '80 09 05 0a00000200', 'withdraw', 'dropped'],
  ['6286 2.1: ORIGINATOR_ID 0.0.0.0', '80 09 04 00000000', 'withdraw', 'dropped'],
  ['7606 3 c: ORIGINATOR_ID transitive', 'c0 09 04 0a000007', 'withdraw'],

  ['4456 8: CLUSTER_LIST', '80 0a 08 0a000007 0a000008', 'kept', 'dropped'],
  ['7606 7.10: CLUSTER_LIST of no bytes', '80 0a 00', 'withdraw', 'dropped'],
  ['7606 7.10: CLUSTER_LIST of 3 bytes', '80 0a 03 0a0000', 'withdraw', 'dropped'],
  ['7606 7.10: CLUSTER_LIST of 5 bytes', '80 0a 05 0a00000200', 'withdraw', 'dropped'],
  ['7606 3 c: CLUSTER_LIST transitive', 'c0 0a 04 0a000007', 'withdraw'],

  ['4360: EXTENDED COMMUNITIES', 'c0 10 08 0002fc00 00000064', 'kept'],
  ['7606 7.14: EXTENDED COMMUNITIES of no bytes', 'c0 10 00', 'withdraw'],
  ['7606 7.14: EXTENDED COMMUNITIES of 4 bytes', 'c0 10 04 0002fc00', 'withdraw'],
  ['7606 7.14: EXTENDED COMMUNITIES of 9 bytes', 'c0 10 09 0002fc00 00000064 00', 'withdraw'],
  ['7606 3 c: EXTENDED COMMUNITIES not transitive', '80 10 08 0002fc00 00000064', 'withdraw'],

  ['6793 6: AS4_PATH in a session of 32 bits', 'c0 11 06 02 01 0000fde9', 'dropped'],
  ['6793 6: AS4_PATH with a confederation segment', 'c0 11 0c 03 01 0000fdea 02 01 0000fde9', 'dropped'],
  ['6793 6: AS4_PATH, segment type 0', 'c0 11 06 00 01 0000fde9', 'withdraw'],
  ['6793 6: AS4_PATH, segment of no AS', 'c0 11 02 02 00', 'withdraw'],
  ['6793 6: AS4_PATH, segment that overruns', 'c0 11 06 02 02 0000fde9', 'withdraw'],
  ['9774 3: AS4_PATH with an AS_SET', 'c0 11 06 01 01 0000fde9', 'withdraw'],
  ['7606 3 c: AS4_PATH not transitive', '80 11 06 02 01 0000fde9', 'withdraw'],
  ['6793 6: AS4_AGGREGATOR in a session of 32 bits', 'c0 12 08 0000fde9 0a000001', 'dropped'],
  ['6793 6: AS4_AGGREGATOR of 7 bytes', 'c0 12 07 0000fde9 0a0000', 'dropped'],
  ['6793 6: AS4_AGGREGATOR of 9 bytes', 'c0 12 09 0000fde9 0a000001 00', 'dropped'],
  ['7607 2: AS4_AGGREGATOR of AS 0', 'c0 12 08 00000000 0a000001', 'dropped'],
  ['7606 3 c: AS4_AGGREGATOR not transitive', '80 12 08 0000fde9 0a000001', 'withdraw'],

  ['8092 3: LARGE_COMMUNITY', 'c0 20 0c 0000fc00 00000001 00000002', 'kept'],
  ['8092 6: LARGE_COMMUNITY of no bytes', 'c0 20 00', 'withdraw'],
  ['8092 6: LARGE_COMMUNITY of 11 bytes', `c0 20 0b ${'00'.repeat(11)}`, 'withdraw'],
  ['8092 6: LARGE_COMMUNITY of 13 bytes', `c0 20 0d ${'00'.repeat(13)}`, 'withdraw'],
  ['7606 3 c: LARGE_COMMUNITY not transitive', '80 20 0c 0000fc00 00000001 00000002', 'withdraw'],

  ['9234 5: OTC', 'c0 23 04 0000fde9', 'kept'],
  ['9234 5: OTC of no bytes', 'c0 23 00', 'withdraw'],
  ['9234 5: OTC of 3 bytes', 'c0 23 03 0000fd', 'withdraw'],
  ['9234 5: OTC of 5 bytes', 'c0 23 05 0000fde900', 'withdraw'],
  ['7607 2: OTC of AS 0', 'c0 23 04 00000000', 'withdraw'],
  ['7606 3 c: OTC not transitive', '80 23 04 0000fde9', 'withdraw'],
];

for (const [title, attribute, internal, external = internal] of ROWS) {
  test(`RFC ${title}`, () => {
    assert.equal(treatmentOf(attribute, INTERNAL), internal, 'from an internal peer');
    assert.equal(treatmentOf(attribute, EXTERNAL), external, 'from an external peer');
  });
}
