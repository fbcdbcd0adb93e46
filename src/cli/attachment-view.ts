/**
 * What `muslin attach` tells of an attachment: to programs as JSON or YAML, to people as a table and what to do next.
 *
 * AttachmentView is printed as it is and only ever grows. What a virtual machine has to set up inside follows from the
 * attachment alone: its address stands alone in its prefix, and its gateway is on the link (as in a container,
 * node/attach/container-side.ts).
 */
import { isJsonObject } from '../lib/json.ts';
import { type Column, renderTable } from '../lib/table.ts';
import { cidr } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import type { AttachmentOptions } from './attach-request.ts';
import { DEFAULT_INTERFACE, DEFAULT_NETWORK } from './attach-request.ts';

export interface AttachmentView {
  readonly name: string;
  readonly namespace: string;
  readonly network: string;
  /** Inside of the container; of a virtual machine, a name for it. */
  readonly interface: string;
  /** On the host. */
  readonly device: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly { readonly address: string; readonly gateway: string }[];
  /** The path of the network namespace; null for a tap device. */
  readonly netns: string | null;
  /** Of a tap device only. */
  readonly guest: Guest | null;
}

interface Guest {
  /** What the guest is to run, where its network card is called as `interface` says. */
  readonly commands: readonly string[];
  /** What QEMU is to be started with. */
  readonly qemu: readonly string[];
}

interface Row {
  readonly view: AttachmentView;
  readonly address: string;
  readonly gateway: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', cell: ({ view }) => view.name },
  { title: 'INTERFACE', cell: ({ view }) => view.interface },
  { title: 'ADDRESS', cell: ({ address }) => address },
  { title: 'DEVICE', cell: ({ view }) => view.device },
  { title: 'GATEWAY', cell: ({ gateway }) => gateway },
  { title: 'MTU', cell: ({ view }) => String(view.mtu) },
];

/** The view of what ADD answered in CNI 1.1.0; undefined when that is no such answer. */
export function attachmentView(
  asked: AttachmentOptions & { readonly namespace: string; readonly netns: string | null },
  result: unknown,
): AttachmentView | undefined {
  const { interfaces, ips } = isJsonObject(result) ? result : {};
  if (!Array.isArray(interfaces) || !Array.isArray(ips)) return undefined;
  const [host, inside]: unknown[] = interfaces;
  if (!isJsonObject(host) || !isJsonObject(inside)) return undefined;
  const addresses = ips.map((entry: unknown) => {
    const { address, gateway } = isJsonObject(entry) ? entry : {};
    return { address: formatIp(cidr(String(address)).address), gateway: String(gateway) };
  });
  const view = {
    name: asked.name,
    namespace: asked.namespace,
    network: asked.network,
    interface: asked.interface,
    device: String(host.name),
    mac: String(inside.mac),
    mtu: Number(inside.mtu),
    addresses,
    netns: asked.netns,
  };
  return { ...view, guest: asked.netns === null ? guestOf(view) : null };
}

function guestOf(view: Omit<AttachmentView, 'guest'>): Guest {
  const card = view.interface;
  const commands = view.addresses.flatMap(({ address, gateway }) =>
    ip(address).family === 4
      ? [
          `ip address add ${address}/32 dev ${card}`,
          `ip route add ${gateway} dev ${card} scope link`,
          `ip route add default via ${gateway} dev ${card}`,
        ]
      : [`ip address add ${address}/128 dev ${card} nodad`, `ip route add default via ${gateway} dev ${card}`],
  );
  return {
    commands: [`ip link set ${card} mtu ${view.mtu} up`, ...commands],
    qemu: [
      ...['-netdev', `tap,id=${card},ifname=${view.device},script=no,downscript=no`],
      ...['-device', `virtio-net-pci,netdev=${card},mac=${view.mac}`],
    ],
  };
}

/** For people: what there is, and what comes next. */
export function attachmentText(view: AttachmentView): string {
  const rows = view.addresses.map((each) => ({ view, ...each }));
  const guest =
    view.guest === null
      ? ''
      : `\nstart the virtual machine with:\n  qemu-system-x86_64 … ${view.guest.qemu.slice(0, 2).join(' ')} \\\n` +
        `    ${view.guest.qemu.slice(2).join(' ')}\n` +
        `and in it, where its network card is ${view.interface}:\n` +
        view.guest.commands.map((command) => `  ${command}\n`).join('');
  return `${renderTable(COLUMNS, rows)}${guest}\nto detach it: muslin detach ${detachOptions(view)}\n`;
}

/** The options that lead `muslin detach` to an attachment. */
export function detachOptions({ name, interface: interfaceName, network }: AttachmentOptions): string {
  return [
    `--name ${name}`,
    ...(interfaceName === DEFAULT_INTERFACE ? [] : [`--interface ${interfaceName}`]),
    ...(network === DEFAULT_NETWORK ? [] : [`--network ${network}`]),
  ].join(' ');
}
