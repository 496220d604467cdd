/** Whether somebody else listens already: said at once, before anything is made or started. */
import { createServer } from 'node:net';
import { AppError } from '@airlock/contract/errors';

/** @throws PORT_IN_USE · CONFIG_INVALID the address is not one of this machine's, or the port needs more rights */
export async function checkPort(host: string, port: number): Promise<void> {
  if (port === 0) return;
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new AppError('PORT_IN_USE', { public: `Port ${port} on ${host} is in use by another program.`, cause });
    }
    throw new AppError('CONFIG_INVALID', {
      public: `Airlock can't listen on ${host}, port ${port}: ${message}.`,
      remedy: 'Correct [api] host and [api] port.',
      cause,
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
