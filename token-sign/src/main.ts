import { taskAudiences } from '@airlock/contract/config/audiences';
import { adoptConfig, type TokenServiceValues } from '@airlock/contract/config/handed';
import { AppError, isAppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { endProcess, FATAL_STATUS, handedOver, receiveHandover } from '@airlock/proc/handover';
import { peerCredentials } from '@airlock/proc/peer-credentials';
import { configuredKeys } from './configured-keys.ts';
import { createSigner } from './mint.ts';
import { startTokenServer, type TokenServer } from './server.ts';
import { valuesByHand } from './values-by-hand.ts';

const handedValues = z.strictObject({
  config: z.record(z.string(), z.record(z.string(), z.unknown())),
  keys_dir: z.string().min(1),
  // The kernel's limit for a socket path is 108 bytes with the closing NUL.
  socket_path: z.string().min(1).max(107),
  generate: z.boolean(),
  peer_uids: z.array(z.int().min(0)).max(16).optional(),
}) satisfies z.ZodType<TokenServiceValues>;

/** Serves until it is told to stop. Started by a parent, it gets its values and its peer from there. */
export async function runTokenService(): Promise<void> {
  z.config({ jitless: true });
  if (!handedOver()) return await runByHand();
  const handover = await receiveHandover('token-service');
  try {
    const { kid, server } = await start(handover.values);
    handover.onMessage((message) => {
      if (message.type === 'peer') server.setPeer({ uid: message.uid, pid: message.pid });
    });
    handover.onStop((why) => void server.close().then(() => endProcess(why, 0)));
    handover.ready({ kid });
  } catch (error) {
    handover.fatal(error);
  }
}

/** As an operator's own service: the key must be there, and every process of our user may ask. @see promise L10 */
async function runByHand(): Promise<void> {
  try {
    const { kid, server } = await start(await valuesByHand(process.env));
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => void server.close().then(() => process.exit(0)));
    }
    process.stdout.write(`token-service is ready, key ${kid}\n`);
  } catch (error) {
    if (!isAppError(error)) throw error;
    process.stderr.write(`${error.code}: ${error.message} ${error.remedy}\n`);
    process.exit(FATAL_STATUS);
  }
}

/** @throws CONFIG_INVALID, KEY_UNAVAILABLE */
async function start(untrusted: unknown): Promise<{ kid: string; server: TokenServer }> {
  const given = handedValues.safeParse(untrusted);
  if (!given.success) {
    throw new AppError('CONFIG_INVALID', { public: 'The values handed to token-service are not valid.' });
  }
  const values = given.data;
  const options = adoptConfig(values.config);
  const { keys, folder } = configuredKeys(options.api_auth, {
    folder: values.keys_dir,
    generate: values.generate,
    nowMs: Date.now,
    warn: (text) => process.stderr.write(`token-service: ${text}\n`),
  });
  const signer = createSigner({
    keys,
    issuer: options.api_auth.jwt_issuer[0] ?? null,
    userAudience: options.api_auth.jwt_audience,
    taskAudience: taskAudiences(options.execution_api.jwt_audience)[0],
    nowMs: Date.now,
  });
  const server = await startTokenServer({
    socketPath: values.socket_path,
    service: { signer, keys, folder },
    credentialsOf: peerCredentials,
    peerUids: values.peer_uids ?? [],
    onRefused: ({ uid, pid }) => {
      process.stderr.write(`token-service refused process ${pid} of user ${uid}, which asked for tokens\n`);
    },
  });
  return { kid: keys.current().kid, server };
}
