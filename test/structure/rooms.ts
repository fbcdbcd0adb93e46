/**
 * The rooms of src/ and who may import whom: the one table behind the layers and tidy tests.
 *
 * Imports go one way, from the shell to the core. A pure room decides and is handed everything it decides upon; only the
 * rooms marked `io` may touch the machine. A folder belongs to the room with the longest matching path. To add a room is
 * to add a row; to add an arrow is to argue it here, because each arrow is a promise that the lower room never needs the upper one.
 */
export interface Room {
  readonly name: string;
  /** Other rooms that this one may import. */
  readonly imports: readonly string[];
  /** May import `node:` modules; all other rooms are pure. */
  readonly io: boolean;
  /** Why it may import no more: printed when it does. */
  readonly reason: string;
}

const BELOW_NODE = ['lib', 'net', 'model', 'bgp', 'bfd', 'ipam', 'felix/desired', 'felix/calc', 'felix/dataplane'];

export const ROOMS: readonly Room[] = [
  {
    name: 'lib',
    imports: [],
    io: false,
    reason: 'lib knows no domain, so that everything can stand on it',
  },
  {
    name: 'net',
    imports: ['lib'],
    io: false,
    reason: 'net holds values of networking that every room speaks in; they know nobody',
  },
  {
    name: 'model',
    imports: ['lib', 'net'],
    io: false,
    reason: 'resources are what users write; they do not know what is made of them',
  },
  {
    name: 'bgp',
    imports: ['lib', 'net'],
    io: false,
    reason: 'the speaker stands alone and knows no resource: node translates resources into its configuration',
  },
  {
    name: 'bfd',
    imports: ['lib', 'net'],
    io: false,
    reason: 'liveness of a path is no business of BGP alone: node tells the speaker what BFD has noticed',
  },
  {
    name: 'ipam',
    imports: ['lib', 'net', 'model'],
    io: false,
    reason: 'address assignment takes snapshots and gives plans; the caller reads and writes the store',
  },
  {
    name: 'felix/desired',
    imports: ['lib', 'net'],
    io: false,
    reason: 'the contract between calc and dataplane is owned by neither',
  },
  {
    name: 'felix/calc',
    imports: ['lib', 'net', 'model', 'felix/desired'],
    io: false,
    reason: 'calculation sees neither the store nor a backend, so that what-if runs the code that enforces',
  },
  {
    name: 'felix/dataplane',
    imports: ['lib', 'net', 'felix/desired'],
    io: false,
    reason: 'the dataplane turns desired values into operations as data; it knows no resource and makes no system call',
  },
  {
    name: 'store',
    imports: ['lib', 'net', 'model'],
    io: true,
    reason: 'the store keeps what it is given; it does not know what is computed from it',
  },
  {
    name: 'kernel',
    imports: ['lib', 'net'],
    io: true,
    reason: 'the kernel adapter holds no policy: it reads what is there and does what it is told',
  },
  {
    name: 'cni',
    imports: ['lib', 'net'],
    io: false,
    reason: 'the CNI room only parses requests and prints results; the agent behind its socket does the work',
  },
  {
    name: 'node',
    imports: [...BELOW_NODE, 'store', 'kernel', 'cni'],
    io: true,
    reason: 'the agent is the composition of everything below; commands and labs stand on it, not under it',
  },
  {
    name: 'simulation',
    // Of node only what makes a speaker's configuration of resources; the rest of it would bring the machine in.
    imports: ['lib', 'net', 'model', 'bgp', 'felix/desired', 'felix/calc', 'node'],
    io: false,
    reason: 'a simulation runs the code of production on a made-up wire and clock: what it has to say is a value',
  },
  {
    name: 'lab',
    // bgp for the views in its contract, which the agents answer with.
    imports: ['lib', 'net', 'model', 'bgp', 'store', 'kernel', 'node'],
    io: true,
    reason: 'a lab starts the real daemons as processes and asks them over their sockets, like any operator',
  },
  {
    name: 'cli',
    imports: [...BELOW_NODE, 'store', 'kernel', 'cni', 'node', 'simulation', 'lab'],
    io: true,
    reason: 'the command line is the top; nothing may import it',
  },
];

/** Which rooms may import an npm package, and nothing else may. Why we have it at all is in docs/dependencies.md. */
export const PACKAGE_ROOMS: Readonly<Record<string, readonly string[]>> = {
  '@grpc/grpc-js': ['store'],
  '@grpc/proto-loader': ['store'],
  commander: ['cli'],
  koffi: ['kernel'],
  pino: ['node'],
  yaml: ['model', 'node', 'lab', 'cli'],
  zod: ['model', 'node', 'lab'],
};

/** Folders below src/: src/felix/dataplane/nftables is three. */
export const DEPTH_MAX = 3;

/** Whether a file is a test, a compliance suite, or serves tests only: the layers do not bind it. */
export function isTest(path: string): boolean {
  return path.startsWith('test/') || /\.(test|suite)\.ts$/.test(path);
}

/** The room of a file below src/; undefined when no row of the table covers it. */
export function roomOf(path: string): Room | undefined {
  const folder = path
    .replace(/^src\//, '')
    .split('/')
    .slice(0, -1)
    .join('/');
  const covering = ROOMS.filter(({ name }) => folder === name || folder.startsWith(`${name}/`));
  return covering.toSorted((a, b) => b.name.length - a.name.length)[0];
}
