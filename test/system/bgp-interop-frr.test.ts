import { frrDaemon } from './bgp-daemons/frr.ts';
import { interopSuite } from './bgp-interop.suite.ts';

interopSuite({ name: 'FRR', make: frrDaemon, asksForRefresh: true, marksOwnRoutes: false });
