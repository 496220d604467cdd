/** Life of the process: told its values by its parent, ready, stopped in good order. */
import type { SupervisorValues } from '@airlock/contract/config/handed';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { SUPERVISOR_ROLES } from '@airlock/contract/supervisor-api';
import { PARENT_GONE, receiveHandover } from '@airlock/proc/handover';
import { startSupervisor, supervisorLog } from './main.ts';

/** Past it the process ends without waiting for its last reports; the server finds out by the missing heartbeats. */
const STOP_LIMIT_MS = 4000;
/** The same when our parent has died: the server that would take the reports dies with it. */
const ORPHAN_LIMIT_MS = 1000;

const schema = z.strictObject({
  config: z.record(z.string(), z.record(z.string(), z.unknown())),
  execution_url: z.string().min(1),
  roles: z.array(z.enum(SUPERVISOR_ROLES)).min(1),
  join_ticket: z.string().min(40),
  work_dir: z.string().min(1),
}) satisfies z.ZodType<SupervisorValues>;

export async function runSupervisor(environment: NodeJS.ProcessEnv): Promise<void> {
  z.config({ jitless: true });
  const handover = await receiveHandover();
  const given = schema.safeParse(handover.values);
  if (!given.success) {
    return handover.fatal(
      new AppError('CONFIG_INVALID', { public: 'The values handed to the supervisor are not valid.' }),
    );
  }
  const values = given.data;
  const log = supervisorLog(String(values.config.logging?.logging_level ?? 'INFO'));
  try {
    const supervisor = await startSupervisor(values, log, environment, {
      dismissed: (status) => {
        // Its identity is over. The parent starts another one, with a new ticket.
        log.fatal({ status }, 'the server no longer knows this supervisor');
        process.exit(1);
      },
    });
    let stopping = false;
    handover.onStop((why) => {
      if (stopping) return;
      stopping = true;
      log.info({ why }, 'stopping');
      setTimeout(() => process.exit(1), why === PARENT_GONE ? ORPHAN_LIMIT_MS : STOP_LIMIT_MS).unref();
      void supervisor.stop().then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, 'could not stop in good order');
          process.exit(1);
        },
      );
    });
    handover.ready(supervisor.info);
  } catch (error) {
    log.error({ err: error }, 'the supervisor could not start');
    handover.fatal(error);
  }
}
