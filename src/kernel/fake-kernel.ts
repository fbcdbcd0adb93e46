/**
 * A kernel in memory, for tests: as strict as the real one, and passing the same suite (kernel.suite.ts).
 *
 * A world holds network namespaces by path; `open` gives the Kernel of one, and a veth's far end appears in the namespace
 * that it was meant for, where another Kernel sees it. Refusals have the codes of the real kernel. Events come after the
 * call that caused them, never inside it. Left out, because nothing asks for it: the local table, link-local IPv6
 * addresses and their routes, learnt neighbours, packets.
 */
import { assert } from '../lib/assert.ts';
import { FakeNamespace } from './fake-namespace.ts';
import { type Kernel, KernelError, type KernelEvent } from './kernel.ts';

export interface FakeWorld {
  /** Makes a namespace with nothing but lo, which is down; EEXIST when the path is taken. */
  addNamespace(path: string): void;
  /** Removes a namespace and its links; the far ends of its veths go too. */
  removeNamespace(path: string): void;
  /** The kernel of a namespace, or of the home namespace; ENOENT when there is none at the path. */
  open(path?: string): Kernel;
}

/** `ipip`: whether this kernel has IPIP devices. */
export function createFakeWorld({ ipip = false }: { readonly ipip?: boolean } = {}): FakeWorld {
  const home = new FakeNamespace(ipip);
  const namespaces = new Map<string, FakeNamespace>();
  const find = (path: string | undefined): FakeNamespace => {
    const found = path === undefined ? home : namespaces.get(path);
    if (found === undefined) throw new KernelError('ENOENT', `network namespace ${path}: ENOENT: no such file`);
    return found;
  };
  return {
    addNamespace: (path) => {
      if (namespaces.has(path)) throw new KernelError('EEXIST', `network namespace ${path} is there already`);
      namespaces.set(path, new FakeNamespace(ipip));
    },
    removeNamespace: (path) => {
      const namespace = find(path);
      namespaces.delete(path);
      namespace.removeLinks();
    },
    open: (path) => kernelOf(find(path), find),
  };
}

/** The kernel of a world that has only a home namespace. */
export function createFakeKernel(): Kernel {
  return createFakeWorld().open();
}

/** One opened Kernel: the namespace's own methods, and the watch that belongs to whoever opened it. */
function kernelOf(namespace: FakeNamespace, find: (path: string) => FakeNamespace): Kernel {
  let stop: (() => void) | undefined;
  let open = true;
  const use = (): FakeNamespace => {
    assert(open, 'this kernel was closed');
    return namespace;
  };
  return {
    links: () => use().links(),
    link: (name) => use().link(name),
    addresses: () => [...use().addresses],
    routes: (table) => use().routes.filter((route) => route.table === table),
    neighbours: () => [...use().neighbours.values()],
    neighbourProxies: () => [...use().proxies.values()],
    addVeth: (pair) => {
      const path = pair.peer.namespacePath;
      return use().addVeth(pair, path === undefined ? namespace : find(path));
    },
    addBridge: (name) => use().addBridge(name),
    addVxlan: (device) => use().addVxlan(device),
    addIpip: (device) => use().addIpip(device),
    setLinkUp: (index, up) => use().setLinkUp(index, up),
    setLinkMaster: (index, master) => use().setLinkMaster(index, master),
    setLinkMtu: (index, mtu) => use().setLinkMtu(index, mtu),
    setLinkMac: (index, mac) => use().setLinkMac(index, mac),
    setLinkArp: (index, arp) => use().setLinkArp(index, arp),
    removeLink: (index) => use().removeLink(index),
    addAddress: (index, address, prefixLength) => use().addAddress({ index, address, prefixLength }),
    removeAddress: (index, address, prefixLength) => use().removeAddress({ index, address, prefixLength }),
    putRoute: (route) => use().putRoute(route),
    removeRoute: (route) => use().removeRoute(route),
    putNeighbour: (neighbour) => use().putNeighbour(neighbour),
    removeNeighbour: (index, address) => use().removeNeighbour(index, address),
    forwardingEntries: () => [...use().forwardingEntries.values()],
    putForwardingEntry: (entry) => use().putForwardingEntry(entry),
    removeForwardingEntry: (entry) => use().removeForwardingEntry(entry),
    addNeighbourProxy: (index, address) => use().addNeighbourProxy({ index, address }),
    readSysctl: (name) => use().sysctl.read(name),
    writeSysctl: (name, value) => use().sysctl.write(name, value),
    watch: (onEvent) => {
      assert(stop === undefined, 'a kernel has one watcher at most');
      const watcher = (event: KernelEvent): void => onEvent(event);
      use().watchers.add(watcher);
      const own = (): void => {
        namespace.watchers.delete(watcher);
        if (stop === own) stop = undefined;
      };
      stop = own;
      return own;
    },
    close: () => {
      stop?.();
      open = false;
    },
  };
}
