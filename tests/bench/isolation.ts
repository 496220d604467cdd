/** What isolation costs a task: the start of a sandboxed child against a plain one, and the tokens that a try needs. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import { createVerifier } from '@airlock/token-verify';
import { detectTier, launchSandboxed } from '../../proc/src/sandbox/index.ts';
import { childEntries } from '../../supervisor/src/child-entries.ts';
import { createSigner, keyPair, oneKeyPair } from '../../token-sign/src/index.ts';
import { repositoryRoot } from '../kit/standalone.ts';
import { quantile } from './drive.ts';

type StartCost = { readonly tier: SandboxTier; readonly medianMs: number };
type Starts = {
  readonly sandboxed: StartCost;
  readonly plain: StartCost;
  /** Median processor time of a plain one, all its threads; hardly moved by what else the machine does. */
  readonly processorMs: number;
};

/** Processor time of a living process so far, ms. */
function processorOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]),
  );
  return threads.reduce((sum, ns) => sum + ns, 0) / 1e6;
}

/** Median time from the call to the runner's word that it is ready, per tier: the host's own, and none at all. */
async function measureStarts(repeat: number): Promise<Starts> {
  const strongest = await detectTier();
  // As a worker starts them: bundled into one file each.
  const { runner, enterScript } = await childEntries({ warn: (_, text) => console.error(text) });
  const processor: number[] = [];
  const once = async (tier: SandboxTier): Promise<number> => {
    const beganMs = performance.now();
    const child = launchSandboxed({
      tier,
      entry: runner,
      ...(enterScript === undefined ? {} : { enterScript }),
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
    if (tier === 'none') processor.push(processorOf(child.pid));
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
    processorMs: quantile(processor, 0.5),
  };
}

type TokenCost = { readonly mintMs: number; readonly verifyMs: number };

/** Time to make (and check once) one execution token, and to verify one, in one process. */
async function measureTokens(repeat: number): Promise<TokenCost> {
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

/** All of it in one line. */
export async function isolationLine(quick: boolean): Promise<string> {
  const starts = await measureStarts(quick ? 5 : 20);
  const tokens = await measureTokens(quick ? 200 : 2000);
  const sandboxMs = starts.sandboxed.medianMs - starts.plain.medianMs;
  // A try needs a workload and an execution token; the server verifies on each of its five calls: run, module, log, result, state.
  const tokenMs = 2 * tokens.mintMs + 5 * tokens.verifyMs;
  return `isolation per task: sandbox ${sandboxMs.toFixed(1)} ms (start ${starts.sandboxed.medianMs.toFixed(1)} ms under ${starts.sandboxed.tier}, ${starts.plain.medianMs.toFixed(1)} ms plain, of which ${starts.processorMs.toFixed(1)} ms of a processor), tokens ${tokenMs.toFixed(1)} ms (mint ${tokens.mintMs.toFixed(2)}, verify ${tokens.verifyMs.toFixed(2)}), together ${(sandboxMs + tokenMs).toFixed(1)} ms; goal <= 15`;
}
