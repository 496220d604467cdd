/**
 * A template: a sandboxed process that has loaded what takes long, runs no user code, holds no secret, and forks. Each fork
 * is a child as any other: its own process list, work folder, user id, Landlock domain and filter, entered before it gets
 * its order, and its own descriptors. It can name neither the template nor another fork, and is used once.
 *
 * Only the tier `namespaces` has templates: elsewhere a process that could make sandboxes for others would need rights
 * which nothing of the user's may have.
 * @see docs/decisions/0019-python-is-forked-from-a-template.md
 */
import { closeSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { compileRules } from '../native/landlock.ts';
import { buildFilter, encodeFilter } from '../native/seccomp.ts';
import { sendDescriptors, socketPair } from '../native/socket.ts';
import { thisArchitecture } from '../native/syscalls.ts';
import { openChannel } from './channel.ts';
import { innerPid, launchSandboxed, throughInit } from './launch.ts';
import { accountFiles, makePlan, NAMESPACE_WORK_DIR } from './plan.ts';
import type { ChildExit, SandboxedChild, SandboxSpec } from './types.ts';
import { DEFAULT_UIDS, giveBackUid, takeUid, type UidRange } from './uids.ts';

/** CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID; CLONE_NEWNET. */
const NAMESPACES = 0x2802_0000;
const NETWORK_NAMESPACE = 0x4000_0000;
/** RLIMIT_NPROC: only with a user id of the child's own, as enter.ts says. */
const PROCESSES = 6;
const POLL_MS = 2;

export type Template = {
  /** Ready, and neither retired nor gone. */
  readonly alive: () => boolean;
  /** @throws Error when the template does not answer, or is gone; it is given up then */
  fork(): Promise<SandboxedChild>;
  /** No more forks; it is ended when the last one is. */
  retire(): void;
  /** Ends it and every fork. */
  kill(): Promise<void>;
  /** Resolves when it is gone. */
  readonly ended: Promise<void>;
};

export type TemplateOptions = {
  /** Its program says `idle` on its channel when it can fork. */
  readonly spec: SandboxSpec;
  /** Bound on what it loads. */
  readonly startMs: number;
  /** Bound on a fork until it is under way. */
  readonly forkMs: number;
};

/** Why this host, or this specification, has no templates; null when it has. */
export function whyNoTemplate(spec: SandboxSpec): string | null {
  if (spec.tier !== 'namespaces') return `the tier ${spec.tier} has none`;
  return thisArchitecture() === null ? `no seccomp filter for ${process.arch}` : null;
}

/** Waits for what another process does, with a bound. @throws Error naming `what` */
async function until<T>(what: string, ms: number, look: () => T | null): Promise<T> {
  for (const end = performance.now() + ms; performance.now() < end; await delay(POLL_MS)) {
    const found = look();
    if (found !== null) return found;
  }
  throw new Error(`${what}: nothing after ${ms} ms`);
}

function userNamespace(pid: number | 'self'): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`);
  } catch {
    return null;
  }
}

/** The process inside: below `unshare`, below the first process of its namespace. */
function templatePid(outer: number): number | null {
  const init = innerPid(outer);
  return init === null ? null : innerPid(init);
}

/** Gives a user namespace of root's making the ids of the range, each as itself, and no other; then it goes on. */
async function mapUsers(child: SandboxedChild, { first, size }: UidRange, ms: number): Promise<void> {
  const own = userNamespace('self');
  const pid = await until('a user namespace', ms, () => {
    const inner = templatePid(child.pid);
    const namespace = inner === null ? null : userNamespace(inner);
    return namespace === null || namespace === own ? null : inner;
  });
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${map}`, `${first} ${first} ${size}\n`);
  child.enter([]);
}

/** What a fork does to itself: facts only, as an EnterPlan, but for a program that has neither our code nor our tables. */
function forkPlan(spec: SandboxSpec, uid: number | null): object {
  const plan = makePlan(spec, uid, NAMESPACE_WORK_DIR, 'second');
  const { attribute, rules } = compileRules({ ...plan.paths, tcp: plan.families.internet });
  const owner = uid === null ? '' : `,uid=${uid},gid=${uid}`;
  return {
    namespaces: NAMESPACES | (spec.network === 'none' ? NETWORK_NAMESPACE : 0),
    work_dir: NAMESPACE_WORK_DIR,
    work_options: `size=${plan.limits.workBytes},mode=700,nr_inodes=65536${owner}`,
    uid,
    files: uid === null ? [] : accountFiles(uid),
    limits: uid === null ? [] : [[PROCESSES, plan.limits.processes]],
    landlock: {
      attribute: attribute.toString('base64'),
      rules: rules.map(({ path, folder, file }) => [path, Number(folder), Number(file)]),
    },
    filter: encodeFilter(buildFilter(thisArchitecture()!, plan.families)).toString('base64'),
  };
}

/** The fork's id as we see it, from its id among the template's children. */
function hostPid(template: number, inner: number): number | null {
  try {
    const children = readFileSync(`/proc/${template}/task/${template}/children`, 'latin1').trim().split(' ');
    const found = children.find((pid) =>
      new RegExp(`^NSpid:.*\\t${inner}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'latin1')),
    );
    return found === undefined ? null : Number(found);
  } catch {
    return null;
  }
}

/** @throws Error when it could not be started, saying why */
export async function startTemplate({ spec, startMs, forkMs }: TemplateOptions): Promise<Template> {
  const [control, theirs] = socketPair('packets');
  let child: SandboxedChild;
  try {
    child = launchSandboxed({ ...spec, control: theirs });
  } catch (error) {
    closeSync(control);
    throw error;
  } finally {
    closeSync(theirs);
  }
  void child.exited.then(() => closeSync(control));
  let said = '';
  child.stdout.resume();
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-2000);
  });
  try {
    if (process.getuid?.() === 0)
      await Promise.race([mapUsers(child, spec.uids ?? DEFAULT_UIDS, startMs), child.exited]);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`it was not ready after ${startMs} ms`)), startMs);
      const settled = (end: () => void) => () => {
        clearTimeout(timer);
        end();
      };
      child.onFrame((frame) => {
        if (frame.type === 'idle') settled(resolve)();
      });
      void child.exited.then(settled(() => reject(new Error(`it ended: ${said.trim()}`))));
    });
  } catch (error) {
    await child.kill();
    throw error;
  }
  return new RunningTemplate(child, control, spec, forkMs);
}

class RunningTemplate implements Template {
  readonly #child: SandboxedChild;
  readonly #control: number;
  readonly #spec: SandboxSpec;
  readonly #forkMs: number;
  #forks = 0;
  #usable = true;
  readonly ended: Promise<void>;

  constructor(child: SandboxedChild, control: number, spec: SandboxSpec, forkMs: number) {
    this.#child = child;
    this.#control = control;
    this.#spec = spec;
    this.#forkMs = forkMs;
    this.ended = child.exited.then(() => {
      this.#usable = false;
    });
  }

  alive(): boolean {
    return this.#usable;
  }

  retire(): void {
    this.#usable = false;
    if (this.#forks === 0) void this.kill();
  }

  async kill(): Promise<void> {
    this.#usable = false;
    await this.#child.kill();
  }

  async fork(): Promise<SandboxedChild> {
    if (!this.#usable) throw new Error('the template is gone');
    const uid = process.getuid?.() === 0 ? takeUid(this.#spec.uids ?? DEFAULT_UIDS) : null;
    this.#forks++;
    const over = () => {
      if (uid !== null) giveBackUid(uid);
      this.#forks--;
      if (!this.#usable && this.#forks === 0) void this.kill();
    };
    let sockets: readonly Socket[];
    try {
      sockets = this.#sendOrder(uid);
    } catch (error) {
      over();
      throw error;
    }
    return await this.#follow(sockets, over);
  }

  /** @returns our ends of channel, standard output, standard error and life line */
  #sendOrder(uid: number | null): readonly Socket[] {
    const pairs = Array.from({ length: 4 }, () => socketPair('stream'));
    try {
      const order = Buffer.from(JSON.stringify(forkPlan(this.#spec, uid)));
      sendDescriptors(this.#control, order, pairs.map(([, theirs]) => theirs)); // biome-ignore format: one line
    } catch (error) {
      for (const [ours] of pairs) closeSync(ours);
      throw error;
    } finally {
      for (const [, theirs] of pairs) closeSync(theirs);
    }
    return pairs.map(([fd]) => new Socket({ fd, readable: true, writable: true }));
  }

  async #follow(sockets: readonly Socket[], over: () => void): Promise<SandboxedChild> {
    const [channel, stdout, stderr, life] = sockets as [Socket, Socket, Socket, Socket];
    for (const socket of [stdout, stderr, life]) socket.on('error', () => undefined);
    let gone = false;
    // The process outside the fork's namespaces holds the other end: when ours is closed, it kills all that is inside.
    const kill = () => {
      if (!gone) life.end();
    };
    const { ended, ...frames } = openChannel(channel, kill);
    let told = '';
    const started = Promise.withResolvers<number>();
    life.on('data', (chunk: Buffer) => {
      told = (told + chunk.toString('latin1')).slice(0, 200);
      const inner = /^started (\d+)\n/.exec(told);
      if (inner) started.resolve(Number(inner[1]));
    });
    const exited = new Promise<ChildExit>((resolve) => {
      life.once('close', async () => {
        gone = true;
        const code = /^exit (\d+)$/m.exec(told);
        // Without its last word nobody knows what of it is left: with the template all of it goes.
        if (code === null) await this.kill();
        over();
        await Promise.race([ended, delay(1000, undefined, { ref: false })]);
        resolve(code === null ? { code: null, signal: 'SIGKILL' } : throughInit(Number(code[1]), null));
      });
    });
    const timer = setTimeout(() => {
      started.reject(new Error(`a fork was not under way after ${this.#forkMs} ms`));
      void this.kill();
    }, this.#forkMs);
    void exited.then(() => started.reject(new Error('the template did not fork')));
    try {
      const inner = await started.promise;
      const template = templatePid(this.#child.pid);
      const pid = (template === null ? null : hostPid(template, inner)) ?? this.#child.pid;
      return {
        ...frames,
        pid,
        workDir: NAMESPACE_WORK_DIR,
        tier: this.#spec.tier,
        enter: () => undefined,
        stdout,
        stderr,
        exited,
        kill() {
          kill();
          return exited;
        },
      };
    } catch (error) {
      for (const socket of sockets) socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}
