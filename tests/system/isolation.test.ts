/**
 * A hostile task against its worker, its siblings and the data folder: as root and as an unprivileged user, in each tier that
 * this host offers. Every probe has its control: the same code, unprotected, succeeds.
 */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { probeTier } from '../../proc/src/sandbox/detect.ts';
import { packageClosure } from '../../proc/src/sandbox/packages.ts';
import type { Loot } from './isolation/probes.ts';

const run = promisify(execFile);
const root = realpathSync(join(import.meta.dirname, '../..'));
const isRoot = process.getuid?.() === 0;
const UNPRIVILEGED = 65_000;
const TOKEN_PROBES = ['token in own environment', 'token in own memory'];

type Scene = {
  readonly tier: string;
  readonly state: string;
  readonly log: string;
  readonly loot: Loot;
  readonly unprotected: Loot;
  readonly daemonState: string;
  readonly daemonsLeft: number;
  readonly daemonsControl: number;
};

/** Whether every folder on the way can be entered by others. */
function isOpen(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** The repository where another user can enter it: itself, or a copy of what the scene needs. */
function enterableRoot(): string {
  if (isOpen(root)) return root;
  const copy = mkdtempSync(join(tmpdir(), 'airlock-copy-'));
  after(() => rmSync(copy, { recursive: true, force: true }));
  const packages = ['supervisor', 'sdk', 'proc', 'contract', 'tests'].map((name) => join(root, name));
  for (const path of [...packageClosure(packages), realpathSync(process.execPath), join(root, 'package.json')]) {
    const target = join(copy, path.startsWith(`${root}/`) ? path.slice(root.length) : path);
    mkdirSync(dirname(target), { recursive: true });
    if (!existsSync(target)) cpSync(path, target, { recursive: true, verbatimSymlinks: true });
  }
  return copy;
}

async function play(tier: string, uid: number | null): Promise<Scene> {
  const place = uid === null ? root : enterableRoot();
  const node = place === root ? process.execPath : join(place, realpathSync(process.execPath).slice(root.length));
  const command = [node, '--disable-warning=ExperimentalWarning', join(place, 'tests/system/isolation/scene.ts'), tier];
  const prefix = uid === null ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
  const [program, ...args] = [...prefix, ...command];
  const { stdout } = await run(program!, args, {
    timeout: 120_000,
    maxBuffer: 64 * 1024 * 1024,
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: '/' },
  });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Scene;
}

const users = isRoot ? [null, UNPRIVILEGED] : [null];
for (const uid of users) {
  const asRoot = isRoot && uid === null;
  const who = asRoot ? 'as root' : 'as an unprivileged user';
  for (const tier of ['namespaces', 'landlock', 'user'] as const) {
    if (tier === 'user' && !asRoot) continue;
    const missing = probeTier(tier);
    test(`${who}, in the tier ${tier}: a hostile task gets nothing, and its daemons end with it`, {
      skip: missing === null ? false : `this host does not offer it: ${missing}`,
      timeout: 180_000,
    }, async (t) => {
      const scene = await play(tier, uid);
      equal(scene.tier, tier);
      equal(scene.state, 'success', scene.log);
      ok(Object.keys(scene.loot).length >= 28, 'a probe that did not run proves nothing');
      deepEqual(Object.keys(scene.loot).sort(), Object.keys(scene.unprotected).sort());
      for (const [probe, got] of Object.entries(scene.loot)) {
        // The tier `user` is another user id and nothing more: what is open to everybody on the host stays open.
        if (tier === 'user' && probe === 'abstract socket') continue;
        await t.test(`refused: ${probe}`, () => {
          match(got, /^refused/);
          if (TOKEN_PROBES.includes(probe)) match(got, /^refused: none there$/);
        });
        // A process can be seized once: the two others in the control are the same process.
        if (probe === 'decoy: ptrace' || probe === 'sibling: ptrace') continue;
        await t.test(`control: ${probe}`, () => doesNotMatch(scene.unprotected[probe]!, /^refused/));
      }
      equal(scene.daemonState, 'success');
      equal(scene.daemonsLeft, 0);
      ok(scene.daemonsControl >= 2, 'without a sandbox the same daemons live on');
    });
  }
}
