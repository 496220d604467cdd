/** A test of a connection, done by a worker with a workload token of its own. @see execution API 3.16; promise L25 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { ConnectionRow } from '@airlock/store/queries/connection/get';
import { fetchTested, reportTest, type TestWorker } from '@airlock/store/queries/connection-test/by-worker';
import { parseBody, wireIssue } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import { openConnection } from '../../secrets/stored.ts';
import type { Call, Handler } from '../context.ts';
import { notFound } from '../errors.ts';

const MAX_MESSAGE = 2000;

const workerOf = ({ identity: { claims, jkt }, nowIso }: Call): TestWorker => ({
  id: claims.sub,
  jti: claims.jti,
  jkt,
  nowIso,
});

const absent = (id: string) => notFound(`Connection test ${id} not found`);

function conflict(message: string): AppError {
  return new AppError('CONFLICT', { public: message, detail: { reason: 'conflict', message } });
}

function notLive(why: string): AppError {
  return new AppError('TOKEN_INVALID', { public: 'Invalid auth token', internal: { why } });
}

/** Gives the connection once; the same process may ask again until it has reported, in case the answer was lost. */
export const fetchConnection: Handler = async (context, call) => {
  const worker = workerOf(call);
  const row = await fetchTested(context.db, worker);
  if (!row) throw absent(worker.id);
  if (!row.live) throw notLive('another token of this test');
  if (!row.fetched) {
    throw conflict(
      `Connection test ${worker.id} is in state ${row.state}; credentials can only be fetched once while PENDING or QUEUED.`,
    );
  }
  const stored: ConnectionRow = { id: 0, team: null, description: null, ...row };
  const { conn_id, conn_type, host, login, password, schema, port, extra } = openConnection(context.box, stored);
  return { status: 200, refreshed: null, body: { conn_id, conn_type, host, login, password, schema, port, extra } };
};

const resultBody = z.strictObject({
  state: z.unknown().transform((value, ctx): 'success' | 'failed' => {
    if (value === 'success' || value === 'failed') return value;
    if (value === undefined) return wireIssue(ctx, { type: 'missing', msg: 'Field required' });
    const msg = `Value error, Workers may only report terminal states (success/failed); got '${String(value)}'`;
    return wireIssue(ctx, { type: 'value_error', msg, ctx: { error: {} } });
  }) as unknown as z.ZodType<'success' | 'failed'>,
  result_message: wire.text({ max: MAX_MESSAGE }).nullish(),
});

/** Takes the result; the same result again is a success without effect. It saves no connection: a worker can't write one. */
export const reportResult: Handler = async (context, call) => {
  const { state, result_message: given } = parseBody(resultBody, call.request);
  const message = given ?? null;
  const worker = workerOf(call);
  const row = await reportTest(context.db, { ...worker, state, message });
  if (!row) throw absent(worker.id);
  if (!row.live) throw notLive('another token of this test');
  if (!row.same_process) throw notLive('another process has fetched');
  if (!row.reported && (row.state !== state || row.result_message !== message)) {
    throw conflict(`Connection test ${worker.id} is already in terminal state: ${row.state}`);
  }
  return { status: 204, refreshed: null };
};
