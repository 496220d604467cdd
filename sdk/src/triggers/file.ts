/** Waits for a file, as far as the sandbox shows any. */
import { stat } from 'node:fs/promises';
import { poll, type TriggerHost } from './poll.ts';

type FileArguments = { readonly path: string; readonly every: number };

export async function atFile({ path, every }: FileArguments, host: TriggerHost): Promise<unknown> {
  return await poll(every, host, async (note) => {
    try {
      const found = await stat(path);
      if (found.isFile()) return { path, size: found.size, modifiedAt: found.mtime.toISOString() };
      note(`${path} is there, and no file.`);
    } catch (error) {
      note(`${path} is not there (${(error as NodeJS.ErrnoException).code}).`);
    }
    return null;
  });
}
