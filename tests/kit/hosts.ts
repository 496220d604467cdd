/** Further processes of an installation of several hosts, started by hand: schedulers and supervisors. Each may be killed and started again. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SupervisorRole } from '@airlock/contract/supervisor-api';
import { addJoinTicket } from '@airlock/store/queries/supervisor/register';
import type { Replicas } from './replicas.ts';
import { type Service, service } from './service.ts';

export type Host = Pick<Service, 'start' | 'stop' | 'kill' | 'output'> & { readonly name: string };

export function schedulerHost(cluster: Replicas, name: string): Host {
  const environment = cluster.environmentOf(name);
  return { ...service('control/bin/scheduler.ts', [], /^Airlock scheduler: running$/m, environment), name };
}

/** It joins with a new ticket at each start. @param place tells the user ids of its sandboxes from those of others on this machine */
export function supervisorHost(cluster: Replicas, name: string, roles: readonly SupervisorRole[], place: number): Host {
  const { AIRLOCK_DATABASE_URL: _url, AIRLOCK__CORE__FERNET_KEY: _key, ...environment } = cluster.environmentOf(name);
  const file = join(cluster.home, name, 'ticket');
  const args = [
    ...roles.map((role) => `--role=${role}`),
    '--server',
    cluster.replicas[0]!.url(),
    '--ticket-file',
    file,
  ];
  const process = service('supervisor/bin/supervisor.ts', args, /supervisor joined/, {
    ...environment,
    AIRLOCK__SANDBOX__UID_RANGE_START: String(3_000_000 + 100_000 * place),
  });
  return {
    ...process,
    name,
    start: async () => {
      const ticket = randomBytes(32).toString('base64url');
      const expiresAtIso = new Date(Date.now() + 120_000).toISOString();
      await addJoinTicket(cluster.database.db, { text: ticket, roles, expiresAtIso });
      writeFileSync(file, ticket, { mode: 0o600 });
      await process.start();
    },
  };
}
