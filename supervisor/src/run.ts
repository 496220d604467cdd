/** Life of the process: told its values by its parent or by an operator, ready, stopped in good order. */
import type { SupervisorValues } from '@airlock/contract/config/handed';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { SUPERVISOR_ROLES } from '@airlock/contract/supervisor-api';
import { describe, endProcess, FATAL_STATUS, handedOver, PARENT_GONE, receiveHandover } from '@airlock/proc/handover';
import type { Logger } from 'pino';
import { type Supervisor, startSupervisor, supervisorLog } from './main.ts';
import { valuesByHand } from './values-by-hand.ts';

/** Past it the process ends without waiting for its last reports; the server finds out by the missing heartbeats. */
const STOP_LIMIT_MS = 4000;
/** When the parent was killed, the server is ending too: nobody will take the reports. */
const ORPHAN_LIMIT_MS = 1000;

const schema = z.strictObject({
  config: z.record(z.string(), z.record(z.string(), z.unknown())),
  execution_url: z.string().min(1),
  roles: z.array(z.enum(SUPERVISOR_ROLES)).min(1),
  join_ticket: z.string().min(40),
  work_dir: z.string().min(1),
  server_trust: z.strictObject({ pinned: z.string().nullable(), authorities: z.string().nullable() }),
}) satisfies z.ZodType<SupervisorValues>;

function checked(values: unknown): SupervisorValues {
  const given = schema.safeParse(values);
  if (given.success) return given.data;
  throw new AppError('CONFIG_INVALID', {
    public: 'The values handed to the supervisor are not valid.',
    internal: { issues: given.error.issues.map((issue) => issue.path.join('.')) },
  });
}

type Started = { readonly supervisor: Supervisor; readonly log: Logger };

async function start(values: SupervisorValues, environment: NodeJS.ProcessEnv): Promise<Started> {
  const log = supervisorLog(String(values.config.logging?.logging_level ?? 'INFO'));
  const supervisor = await startSupervisor(values, log, environment, {
    dismissed: (status) => {
      // Its identity is over. Under standalone another one is started, with a new ticket.
      log.fatal({ status }, 'the server no longer knows this supervisor');
      process.exit(1);
    },
  });
  return { supervisor, log };
}

/** Safe to call twice: the second call waits for nothing new. */
function stopper({ supervisor, log }: Started): (why: string) => void {
  let stopping = false;
  return (why) => {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'stopping');
    setTimeout(() => endProcess(why, 1), why === PARENT_GONE ? ORPHAN_LIMIT_MS : STOP_LIMIT_MS).unref();
    void supervisor.stop().then(
      () => endProcess(why, 0),
      (error: unknown) => {
        log.error({ err: error }, 'could not stop in good order');
        endProcess(why, 1);
      },
    );
  };
}

export async function runSupervisor(environment: NodeJS.ProcessEnv): Promise<void> {
  z.config({ jitless: true });
  if (handedOver()) {
    const handover = await receiveHandover('supervisor');
    try {
      const started = await start(checked(handover.values), environment);
      handover.onStop(stopper(started));
      handover.ready(started.supervisor.info);
    } catch (error) {
      handover.fatal(error);
    }
    return;
  }
  try {
    const started = await start(checked(await valuesByHand(process.argv.slice(2), environment)), environment);
    const stop = stopper(started);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal));
  } catch (error) {
    const { code, message, remedy } = describe(error);
    process.stderr.write(`${code}: ${message}\n${remedy}\n`);
    process.exit(FATAL_STATUS);
  }
}
