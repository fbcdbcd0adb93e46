import { gobgpDaemon } from './bgp-daemons/gobgp.ts';
import { interopSuite } from './bgp-interop.suite.ts';

interopSuite({ name: 'GoBGP', make: gobgpDaemon, asksForRefresh: false, marksOwnRoutes: true });
