/** Dags: delete, star, parse again. @see rest-api 4.1, 4.2, 5.7 */
import { AppError } from '@airlock/contract/errors';
import { addFavorite, removeFavorite } from '@airlock/store/queries/rest-dag/favorite';
import { dagExists } from '@airlock/store/queries/rest-dag/list';
import { findFileByToken, forgetParse } from '@airlock/store/queries/rest-dag/reparse';
import { deleteDag } from '../../runs/index.ts';
import { uniqueViolation } from '../http/errors.ts';
import { DIGEST_BYTES } from './dag-answer.ts';
import type { RestContext, RestRoute } from './route.ts';

async function remove(context: RestContext): Promise<void> {
  const dagId = context.param('dag_id');
  const runIds = await context.mutate('delete_dag', { dagId }, (tx) => deleteDag(tx, dagId));
  for (const runId of runIds) await context.deps.logs.removeRun({ dagId, runId });
}

async function checkExists(context: RestContext, dagId: string): Promise<void> {
  if (await dagExists(context.deps.db, dagId)) return;
  throw new AppError('NOT_FOUND', { public: `Dag with id '${dagId}' not found` });
}

async function favorite(context: RestContext): Promise<void> {
  const dagId = context.param('dag_id');
  await checkExists(context, dagId);
  await context.mutate('favorite_dag', { dagId }, (tx) => addFavorite(tx, dagId, context.user.name));
}

async function unfavorite(context: RestContext): Promise<void> {
  const dagId = context.param('dag_id');
  await checkExists(context, dagId);
  await context.mutate('unfavorite_dag', { dagId }, async (tx) => {
    if (await removeFavorite(tx, dagId, context.user.name)) return;
    throw new AppError('CONFLICT', { public: 'Dag is not marked as favorite' });
  });
}

/** The dag-processor compares what it reported with what is known here, at least once a minute, and parses what is not known. */
async function reparse(context: RestContext): Promise<null> {
  const digest = Buffer.from(context.param('file_token'), 'base64url');
  const file = digest.length === DIGEST_BYTES ? await findFileByToken(context.deps.db, digest) : null;
  const mayWrite = file && context.may({ resource: 'dag', method: 'PUT', item: null, team: file.team });
  if (!file || !mayWrite) throw new AppError('NOT_FOUND', { public: 'File not found' });
  await context.mutate('reparse_dag_file', {}, async (tx) => {
    if (!(await forgetParse(tx, file))) throw uniqueViolation('This file is going to be parsed anyway.');
  });
  return null;
}

export const dagChangeRoutes: RestRoute[] = [
  { method: 'DELETE', path: '/dags/:dag_id', handle: remove, status: 204, event: 'delete_dag' },
  { method: 'POST', path: '/dags/:dag_id/favorite', handle: favorite, status: 204, event: 'favorite_dag' },
  { method: 'POST', path: '/dags/:dag_id/unfavorite', handle: unfavorite, status: 204, event: 'unfavorite_dag' },
  { method: 'PUT', path: '/parseDagFile/:file_token', handle: reparse, status: 201, event: 'reparse_dag_file' },
];
