/**
 * What may name a network device, and a sysctl: for the real kernel and the fake one alike.
 *
 * Device names are checked here rather than left to the kernel, whose answers differ between versions (EINVAL, ERANGE)
 * and do not say what is wrong, and because it takes "%d" in a name for "the next free number". The name of a sysctl must
 * not lead out of /proc/sys/net, because parts of it are names of devices.
 *
 * Source: dev_valid_name in net/core/dev.c.
 */
import { KernelError } from './kernel.ts';

/** IFNAMSIZ less the NUL that ends the name. */
const DEVICE_NAME_LENGTH_MAX = 15;

/** Throws KernelError EINVAL unless `name` may name a device. */
export function checkDeviceName(name: string): void {
  const sound = /^[!-~]+$/.test(name) && !/[/:%]/.test(name) && name !== '.' && name !== '..';
  if (sound && name.length <= DEVICE_NAME_LENGTH_MAX) return;
  throw new KernelError(
    'EINVAL',
    `"${name}" cannot name a device: 1 to ${DEVICE_NAME_LENGTH_MAX} printable ASCII characters other than space, "/", ":", "%" are needed`,
  );
}

/** Throws KernelError EINVAL unless `name` is a path below /proc/sys/net. */
export function checkSysctlName(name: string): void {
  if (name.split('/').every((part) => part !== '' && part !== '.' && part !== '..')) return;
  throw new KernelError('EINVAL', `"${name}" is no sysctl: a path below /proc/sys/net is needed, "ipv4/ip_forward"`);
}
