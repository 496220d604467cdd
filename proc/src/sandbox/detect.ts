/** Which tier this host really offers: found by starting a probe in each, strongest first. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '@airlock/contract/errors';
import { MAX_PARENT_FRAME_BYTES } from '@airlock/contract/ipc/runner';
import { SANDBOX_TIERS, type SandboxTier } from '@airlock/contract/supervisor-api';
import { encodeFrame } from '../frames.ts';
import { childEnvironment, commandFor, nodeCommand } from './launch.ts';
import { prepareParent } from './parent.ts';
import { makePlan, NAMESPACE_WORK_DIR } from './plan.ts';
import type { SandboxSpec } from './types.ts';
import { DEFAULT_UIDS, giveBackUid, takeUid, type UidRange } from './uids.ts';
import { makeWorkDir, removeWorkDir } from './work-dir.ts';

const PROBE = fileURLToPath(new URL('./probe.ts', import.meta.url));
const PROBE_TIMEOUT_MS = 10_000;

export type ProbeOptions = { readonly uids?: UidRange; readonly enterScript?: string };

/** What a tier's probe said: null = it works; else why it does not. */
export function probeTier(
  tier: Exclude<SandboxTier, 'none'>,
  { uids = DEFAULT_UIDS, enterScript }: ProbeOptions = {},
): string | null {
  const root = process.getuid?.() === 0;
  if (tier === 'user' && !root) return 'needs root';
  const folder = mkdtempSync(join(tmpdir(), 'airlock-probe-'));
  const uid = root ? takeUid(uids) : null;
  let workDir = NAMESPACE_WORK_DIR;
  try {
    if (tier !== 'namespaces') workDir = makeWorkDir(uid);
    // Owner-only and outside of all that the child is shown: reading it means that nothing restricts the child.
    const canary = join(folder, 'canary');
    writeFileSync(canary, 'secret', { mode: 0o600 });
    const spec: SandboxSpec = {
      tier,
      entry: PROBE,
      packages: [fileURLToPath(new URL('../..', import.meta.url))],
      network: 'host',
      ...(enterScript === undefined ? {} : { enterScript }),
      env: { AIRLOCK_PROBE_CANARY: canary },
    };
    prepareParent();
    const plan = makePlan(spec, uid, workDir);
    const planFile = join(folder, 'plan');
    writeFileSync(planFile, encodeFrame(plan, MAX_PARENT_FRAME_BYTES));
    const descriptor = openSync(planFile, 'r');
    const [program, ...args] = commandFor(plan, 'host', nodeCommand(spec));
    const result = spawnSync(program!, args, {
      cwd: '/',
      env: childEnvironment(spec, workDir),
      stdio: ['ignore', 'pipe', 'pipe', descriptor, 'pipe'],
      timeout: PROBE_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      encoding: 'utf8',
    });
    closeSync(descriptor);
    if (result.stdout === 'restricted') return null;
    return (
      result.error?.message ??
      `${result.stdout} ${result.stderr} ${result.output[4] ?? ''} (status ${result.status}, signal ${result.signal})`
    )
      .trim()
      .slice(0, 500);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    if (uid !== null) giveBackUid(uid);
    if (tier !== 'namespaces') removeWorkDir(workDir);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The strongest tier that works here. Starts up to three short-lived processes: 60 ms where the first one works. */
export function detectTier(options?: ProbeOptions): SandboxTier {
  for (const tier of SANDBOX_TIERS) if (tier === 'none' || probeTier(tier, options) === null) return tier;
  return 'none';
}

/**
 * The strongest tier, if it is at least `minimum`.
 * @throws AppError SANDBOX_TIER with what each stronger tier answered
 */
export function requireTier(minimum: SandboxTier, options?: ProbeOptions): SandboxTier {
  const found = detectTier(options);
  if (SANDBOX_TIERS.indexOf(found) <= SANDBOX_TIERS.indexOf(minimum)) return found;
  const reasons = SANDBOX_TIERS.slice(0, SANDBOX_TIERS.indexOf(minimum) + 1)
    .filter((tier) => tier !== 'none')
    .map((tier) => `${tier}: ${probeTier(tier, options)}`);
  throw new AppError('SANDBOX_TIER', {
    public: `This host offers the sandbox tier "${found}", and [sandbox] minimum_tier asks for "${minimum}". ${reasons.join('; ')}`,
    internal: { found, minimum, reasons },
  });
}
