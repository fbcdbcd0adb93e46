/**
 * The little of a kubelet that makes a runtime call CNI: it runs, stops and removes the sandboxes of pods.
 *
 * It speaks CRI v1 over the runtime's socket, in the messages of cri.proto. Used by cri.test.ts.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Client, ServiceError } from '@grpc/grpc-js';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly host: number; readonly container: number }[];
}

export interface Sandbox {
  readonly id: string;
  readonly address: string;
  /** The path of its network namespace. */
  readonly netns: string;
}

type Unary = (request: object, done: (error: ServiceError | null, response: never) => void) => void;

export class CriClient {
  readonly #client: Client & Readonly<Record<string, Unary>>;

  readonly #cgroup: string;

  /** `cgroup` is where the pods have theirs. */
  constructor(socket: string, cgroup: string) {
    this.#cgroup = cgroup;
    const proto = fileURLToPath(new URL('cri.proto', import.meta.url));
    const definition = loadPackageDefinition(loadSync(proto, { keepCase: true, defaults: true }));
    // The types of what is loaded from a file are only known to the file.
    // biome-ignore lint/suspicious/noExplicitAny: see above
    const { RuntimeService } = (definition as any).runtime.v1;
    this.#client = new RuntimeService(`unix://${socket}`, credentials.createInsecure());
  }

  close(): void {
    this.#client.close();
  }

  /** Whether the runtime's network is ready, and why not. */
  async networkReady(): Promise<{ readonly ready: boolean; readonly message: string }> {
    interface Answer {
      readonly status: { readonly conditions: readonly { type: string; status: boolean; message: string }[] };
    }
    const { status } = await this.#call<Answer>('Status', {});
    const condition = status.conditions.find(({ type }) => type === 'NetworkReady');
    return { ready: condition?.status === true, message: condition?.message ?? '' };
  }

  async run({ namespace, name, labels = {}, annotations = {}, ports = [] }: Pod): Promise<Sandbox> {
    const config = {
      metadata: { name, namespace, uid: `${namespace}-${name}`, attempt: 0 },
      hostname: name,
      log_directory: '/tmp',
      labels,
      annotations,
      port_mappings: ports.map(({ host, container }) => ({ protocol: 0, host_port: host, container_port: container })),
      linux: { cgroup_parent: this.#cgroup },
    };
    const { pod_sandbox_id: id } = await this.#call<{ pod_sandbox_id: string }>('RunPodSandbox', { config });
    interface Answer {
      readonly status: { readonly network: { readonly ip: string } };
      readonly info: { readonly info: string };
    }
    const { status, info } = await this.#call<Answer>('PodSandboxStatus', { pod_sandbox_id: id, verbose: true });
    const namespaces: { type: string; path?: string }[] = JSON.parse(info.info).runtimeSpec.linux.namespaces;
    const netns = namespaces.find(({ type }) => type === 'network')?.path;
    assert.ok(netns !== undefined);
    return { id, address: status.network.ip, netns };
  }

  async stop(id: string): Promise<void> {
    await this.#call('StopPodSandbox', { pod_sandbox_id: id });
  }

  async remove(id: string): Promise<void> {
    await this.#call('RemovePodSandbox', { pod_sandbox_id: id });
  }

  #call<Answer>(method: string, request: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#client[method]?.call(this.#client, request, (error, response) =>
        error ? reject(error) : resolve(response),
      );
    });
  }
}
