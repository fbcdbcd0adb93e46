import { birdDaemon } from './bgp-daemons/bird.ts';
import { interopSuite } from './bgp-interop.suite.ts';

interopSuite({ name: 'BIRD', make: birdDaemon, asksForRefresh: true, marksOwnRoutes: false });
