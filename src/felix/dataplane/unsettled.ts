/**
 * What is not as desired, in words for the status: the object, whether a try has failed, and why.
 */
import type { Reconciler } from '../../lib/reconciler.ts';

export interface Unsettled {
  /** "route 172.17.9.0/24", "setting ipv4/ip_forward". */
  readonly object: string;
  readonly state: 'pending' | 'error';
  readonly error: string;
}

export function pending(object: string, reason: string): Unsettled {
  return { object, state: 'pending', error: reason };
}

/** All unsettled objects of a reconciler; `kind` names them. */
export function unsettledOf(kind: string, reconciler: Pick<Reconciler<unknown>, 'unsettled'>): Unsettled[] {
  return reconciler.unsettled().map(({ key, status }) => {
    const object = `${kind} ${key}`;
    return status.state === 'error'
      ? { object, state: 'error', error: status.error }
      : pending(object, 'not applied yet');
  });
}
