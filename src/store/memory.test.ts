/** The store in memory passes the suite that all drivers pass. */
import { testCompliance } from './compliance.suite.ts';
import { openMemoryStore } from './memory.ts';

testCompliance({ name: 'memory', open: async (changesMax) => openMemoryStore({ changesMax }) });
