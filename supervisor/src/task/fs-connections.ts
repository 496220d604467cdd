/** Folders that a try may write because it declared a connection of type `fs` that names them; nothing else opens one. */
import { isAbsolute } from 'node:path';
import { isAppError } from '@airlock/contract/errors';
import { type ExtraPath, shareFolder, type UidRange } from '@airlock/proc/sandbox/index';
import type { ExecutionAnswer, ExecutionClient, TokenHolder } from '../client/index.ts';
import { part } from './paths.ts';

export type DeclaredConnections = {
  /** The server's answers, kept for when the task asks. */
  readonly answers: ReadonlyMap<string, ExecutionAnswer>;
  readonly folders: readonly ExtraPath[];
  /** What could not be opened, for the log of the try. */
  readonly problems: readonly string[];
};

/** The folder that an `fs` connection names: `path` of its extra, as in Airflow. Null for any other connection. */
export function folderOf(connection: { readonly conn_type?: unknown; readonly extra?: unknown }): string | null {
  if (connection.conn_type !== 'fs' || typeof connection.extra !== 'string') return null;
  try {
    const { path } = JSON.parse(connection.extra) as { path?: unknown };
    return typeof path === 'string' && isAbsolute(path) ? path : null;
  } catch {
    return null;
  }
}

/** Reads the declared connections with the try's own token. One that is absent or refused opens nothing. */
export async function readDeclaredConnections(
  client: ExecutionClient,
  token: TokenHolder,
  names: readonly string[],
  uids: UidRange,
): Promise<DeclaredConnections> {
  const answers = new Map<string, ExecutionAnswer>();
  const folders: ExtraPath[] = [];
  const problems: string[] = [];
  const read = async (name: string) => {
    const answer = await client.call({ token, method: 'GET', path: `/connections/${part(name)}` });
    answers.set(name, answer);
    const path = answer.status === 200 ? folderOf(answer.json()) : null;
    if (path === null) return;
    try {
      shareFolder(path, uids);
      folders.push({ path, access: 'write' });
    } catch (error) {
      if (!isAppError(error, 'PATH_NOT_ENTERABLE')) throw error;
      problems.push(`The folder of connection ${name} can't be opened for this task: ${error.message} ${error.remedy}`);
    }
  };
  await Promise.all(names.map(read));
  return { answers, folders, problems };
}
