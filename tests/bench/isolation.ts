/** What isolation costs a task: the start of a sandboxed child against a plain one, and the tokens that a try needs. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import { createVerifier } from '@airlock/token-verify';
import { detectTier, launchSandboxed } from '../../proc/src/sandbox/index.ts';
import { createSigner, keyPair, oneKeyPair } from '../../token-sign/src/index.ts';
import { repositoryRoot } from '../kit/standalone.ts';
import { quantile } from './drive.ts';

export type StartCost = { readonly tier: SandboxTier; readonly medianMs: number };

/** Median time from the call to the runner's word that it is ready, per tier: the host's own, and none at all. */
export async function measureStarts(
  repeat: number,
): Promise<{ readonly sandboxed: StartCost; readonly plain: StartCost }> {
  const strongest = await detectTier();
  const once = async (tier: SandboxTier): Promise<number> => {
    const beganMs = performance.now();
    const child = launchSandboxed({
      tier,
      entry: join(repositoryRoot, 'sdk/bin/runner.ts'),
      packages: [join(repositoryRoot, 'sdk')],
      network: 'host',
    });
    child.stdout.resume();
    child.stderr.resume();
    await new Promise<void>((resolve, reject) => {
      child.onFrame((frame) => frame.type === 'idle' && resolve());
      void child.exited.then((exit) =>
        reject(new Error(`the runner ended before it was ready: ${JSON.stringify(exit)}`)),
      );
    });
    const tookMs = performance.now() - beganMs;
    await child.kill();
    return tookMs;
  };
  const times = { sandboxed: [] as number[], plain: [] as number[] };
  for (let i = -2; i < repeat; i++) {
    // In turn, so that whatever else the machine does meets both; the first two rounds warm the caches.
    const [a, b] = [await once(strongest), await once('none')];
    if (i >= 0) {
      times.sandboxed.push(a);
      times.plain.push(b);
    }
  }
  return {
    sandboxed: { tier: strongest, medianMs: quantile(times.sandboxed, 0.5) },
    plain: { tier: 'none', medianMs: quantile(times.plain, 0.5) },
  };
}

export type TokenCost = { readonly mintMs: number; readonly verifyMs: number };

/** Time to make (and check once) one execution token, and to verify one, in one process. */
export async function measureTokens(repeat: number): Promise<TokenCost> {
  const nowMs = Date.now();
  const keys = oneKeyPair(keyPair(generateKeyPairSync('ed25519').privateKey, 'EdDSA', null));
  const signer = createSigner({ keys, issuer: null, userAudience: 'apache-airflow', nowMs: () => nowMs });
  const verifier = createVerifier({
    keys: keys.verificationKeys().jwks,
    userAudience: 'apache-airflow',
    leewaySeconds: 10,
    cacheSize: 0,
  });
  const mint = () =>
    signer.mint({
      kind: 'execution',
      sub: '01890000-0000-7000-8000-000000000000',
      ttl_seconds: 300,
      jti: randomBytes(16).toString('hex'),
      now_ms: nowMs,
    });
  for (let i = 0; i < 50; i++) await verifier.verify('execution', await mint(), nowMs);
  const tokens: string[] = [];
  let beganMs = performance.now();
  for (let i = 0; i < repeat; i++) tokens.push(await mint());
  const mintMs = (performance.now() - beganMs) / repeat;
  beganMs = performance.now();
  for (const token of tokens) await verifier.verify('execution', token, nowMs);
  return { mintMs, verifyMs: (performance.now() - beganMs) / repeat };
}
