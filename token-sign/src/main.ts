import { taskAudiences } from '@airlock/contract/config/audiences';
import type { TokenServiceValues } from '@airlock/contract/config/handed';
import { adoptConfig } from '@airlock/contract/config/handed';
import { AppError, isAppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { receiveHandover } from '@airlock/proc/handover';
import { peerCredentials } from '@airlock/proc/peer-credentials';
import { loadSigningKey } from './key-file.ts';
import { createSigner } from './mint.ts';
import { startTokenServer } from './server.ts';

const values = z.strictObject({
  config: z.record(z.string(), z.record(z.string(), z.unknown())),
  keys_dir: z.string().min(1),
  // The kernel's limit for a socket path is 108 bytes with the closing NUL.
  socket_path: z.string().min(1).max(107),
  generate: z.boolean(),
  peer_uids: z.array(z.int().min(0)).max(16).optional(),
}) satisfies z.ZodType<TokenServiceValues>;

/** Takes the configuration from the parent, loads the key, listens, and serves until the parent is gone or says stop. */
export async function runTokenService(): Promise<void> {
  z.config({ jitless: true });
  const handover = await receiveHandover();
  try {
    const given = values.safeParse(handover.values);
    if (!given.success) {
      throw new AppError('CONFIG_INVALID', { public: 'The values handed to token-service are not valid.' });
    }
    const { config, keys_dir: keysDir, socket_path: socketPath, generate, peer_uids: peerUids } = given.data;
    const options = adoptConfig(config);
    const key = loadSigningKey(keysDir, generate);
    const signer = createSigner({
      key,
      issuer: options.api_auth.jwt_issuer,
      userAudience: options.api_auth.jwt_audience,
      taskAudience: taskAudiences(options.execution_api.jwt_audience)[0],
      nowMs: Date.now,
    });
    const server = await startTokenServer({
      socketPath,
      signer,
      credentialsOf: peerCredentials,
      peerUids: peerUids ?? [],
      onRefused: (peer) => {
        process.stderr.write(
          `${JSON.stringify({ level: 'warn', msg: 'refused a process that asked for tokens', ...peer })}\n`,
        );
      },
    });
    let stopping = false;
    const stop = (): void => {
      if (stopping) return;
      stopping = true;
      void server.close().then(() => process.exit(0));
    };
    handover.onMessage((message) => {
      if (message.type === 'peer') server.setPeer({ uid: message.uid, pid: message.pid });
      else if (message.type === 'stop') stop();
    });
    handover.onParentGone(stop);
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    handover.ready({ kid: key.kid });
  } catch (error) {
    if (!isAppError(error)) throw error;
    handover.fatal(error);
  }
}
