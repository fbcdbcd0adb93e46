/**
 * The systemd unit of the agent, and the drop-ins for what else on a host lays hands on its network.
 *
 * The unit counts as started when the agent is in sync for the first time, which may take as long as the store is away: it says meanwhile
 * what it waits for, and ending it would help nobody. A stop leaves rules, routes and devices, so that a restart is not felt;
 * of the processes that it has started, an nft or iptables-restore may finish. A configuration that is wrong (exit code 2) does not
 * get right by being tried again. Capabilities: docs/design/install.md says what each is for.
 */

/** What the agent needs of root's powers. */
export const CAPABILITIES: readonly string[] = [
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_ADMIN',
  'CAP_SYS_PTRACE',
  'CAP_SYS_NICE',
  'CAP_SYS_MODULE',
  'CAP_DAC_READ_SEARCH',
];

export const CONFIGURATION_PATH = '/etc/muslin/muslin.yaml';
export const UNIT_NAME = 'muslin.service';

/** The mark of our text files, for people; what we go by is the manifest. */
const MARK = '# Made by `muslin node install`, and taken away by `muslin node purge`.';

/** `program`: the absolute path of bin/muslin on the host. */
export function unitText(program: string): string {
  return `${MARK}
# Changes of your own: systemctl edit muslin
[Unit]
Description=muslin, the agent of the container network on this host
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
EnvironmentFile=-/etc/muslin/muslin.env
ExecStart=${unitWord(program)} node run --config ${CONFIGURATION_PATH}
TimeoutStartSec=infinity
WatchdogSec=30
Restart=always
RestartSec=1
RestartPreventExitStatus=2
TimeoutStopSec=10
KillMode=mixed
LimitNOFILE=1048576
OOMScoreAdjust=-900
NoNewPrivileges=yes
CapabilityBoundingSet=${CAPABILITIES.join(' ')}

[Install]
WantedBy=multi-user.target
`;
}

/** Between quotes, with what systemd would take for its own there written twice (systemd.service(5), Command lines). */
function unitWord(text: string): string {
  const escaped = text.replace(/["\\]/g, '\\$&').replace(/[%$]/g, '$&$&');
  return /^[\w./:@+-]+$/.test(text) ? text : `"${escaped}"`;
}

/** systemd-sysctl runs before the agent, and again whenever somebody asks for it. */
export const SYSCTL_TEXT = `${MARK}
# Between containers and others the host is a router.
net.ipv4.ip_forward = 1
`;

/** NetworkManager would give containers' devices addresses and routes of its own. */
export const NETWORK_MANAGER_TEXT = `${MARK}
[keyfile]
unmanaged-devices=interface-name:cali*;interface-name:tunl*;interface-name:vxlan.calico;interface-name:vxlan-v6.calico
`;

export const CONFIGURATION_TEXT = `# The agent of this host. Written by \`muslin node install\`, which never overwrites it.
# Everything else that there is to configure is resources in the store: muslin get, muslin apply.

# node: host-a                      # default: the host's name
store: sqlite:///var/lib/muslin/store.db
# store: etcds://10.0.0.1:2379,10.0.0.2:2379/muslin?ca=/etc/muslin/ca.pem
runDirectory: /run/muslin
# Written when the agent is ready; from then on container runtimes use it.
cniConfiguration: /etc/cni/net.d/10-muslin.conflist
`;
