/**
 * The trigger role with its real children, in front of a server that is a few lines here: what is run, said, asked and given
 * up; that teams are kept apart; and that the death of one child is nobody else's. @see promise L13
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { TRIGGER_TRY_HEADER, type TriggerOutcome, type TriggerWorkload } from '@airlock/contract/supervisor-api';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../../tests/kit/airflow-venv.ts';
import { descendantsOf, kill9, type Process } from '../../tests/kit/processes.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import type { CallOptions, ExecutionAnswer } from '../src/client/index.ts';
import { startTriggerRole } from '../src/trigger/index.ts';
import { clientOf, replyOf, testRoleContext } from './kit/role-context.ts';

const TOKEN = 'the-trigger-token-canary';

type Asked = { readonly method: string; readonly path: string; readonly tiId: string | undefined };

/** Gives out what is added, as the server does, and remembers what is said. */
function createServer() {
  const known = new Map<number, TriggerWorkload>();
  /** Id → whether a person ended it; else another triggerer has it. */
  const cancelled = new Map<number, boolean>();
  /** The most that was ever held, or asked for beside what was held. */
  let peak = 0;
  const outcomes = new Map<number, TriggerOutcome[]>();
  const logs = new Map<string, string>();
  const asked: Asked[] = [];
  const events: Array<{ id: number; eventId: string; payload: unknown }> = [];
  /** Payloads that the server does not take. */
  const refusing = new Set<unknown>();
  let failing = 0;
  const kept = new Map<string, unknown>();
  const sync = async (body: { holds: number[]; slots: number; wait_seconds: number }, signal?: AbortSignal) => {
    peak = Math.max(peak, body.holds.length + body.slots);
    for (let n = 0; n < 20 && !signal?.aborted; n++) {
      const run = [...known.values()].filter(({ id }) => !body.holds.includes(id)).slice(0, body.slots);
      const cancel = body.holds.filter((id) => cancelled.has(id)).map((id) => ({ id, ended: cancelled.get(id)! }));
      if (run.length + cancel.length > 0) return replyOf(200, { run, cancel });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return replyOf(200, { run: [], cancel: [] });
  };
  const call = async (o: CallOptions): Promise<ExecutionAnswer> => {
    assert.equal(o.token.current, TOKEN);
    if (o.path === '/triggers/sync') return await sync(o.json as never, o.signal);
    const event = /^\/triggers\/(\d+)\/events$/.exec(o.path);
    if (event) {
      const { event_id: eventId, payload: text } = o.json as { event_id: string; payload: string };
      const payload: unknown = JSON.parse(text);
      if (refusing.has(payload)) return replyOf(413, {});
      if (failing > 0) {
        failing--;
        throw new Error('the server is away');
      }
      events.push({ id: Number(event[1]), eventId, payload });
      return replyOf(200, { accepted: true });
    }
    const state = /^\/triggers\/(\d+)\/store\/asset\/by-name\/value\?(.*)$/.exec(o.path);
    if (state) {
      const place = `${state[1]} ${new URLSearchParams(state[2])}`;
      if (o.method !== 'GET') {
        kept.set(place, (JSON.parse(String(o.body)) as { value: unknown }).value);
        return replyOf(204, undefined);
      }
      return kept.has(place)
        ? replyOf(200, { value: kept.get(place) })
        : replyOf(404, { detail: { reason: 'not_found' } });
    }
    const outcome = /^\/triggers\/(\d+)\/outcome$/.exec(o.path);
    if (outcome) {
      const id = Number(outcome[1]);
      if (failing > 0) {
        failing--;
        throw new Error('the server is away');
      }
      known.delete(id);
      outcomes.set(id, [...(outcomes.get(id) ?? []), o.json as TriggerOutcome]);
      return replyOf(200, { accepted: true });
    }
    const tiId = o.headers?.[TRIGGER_TRY_HEADER];
    const log = /^\/task-instances\/([^/]+)\/logs\?offset=(\d+)$/.exec(o.path);
    if (log) {
      assert.equal(log[1], tiId);
      logs.set(tiId!, (logs.get(tiId!) ?? '') + String(o.body));
      return replyOf(200, { size: 1 });
    }
    asked.push({ method: o.method, path: o.path, tiId });
    if (o.path.startsWith('/dag-runs/count?')) return replyOf(200, 1);
    if (o.path === '/dag-runs/child/r/state') return replyOf(200, { state: 'success' });
    return /^(?:\/triggers\/\d+)?\/variables\/plain$/.test(o.path)
      ? replyOf(200, { key: 'plain', value: `of ${tiId ?? o.path}` })
      : replyOf(403, { detail: 'no' });
  };
  return {
    client: clientOf(call),
    asked,
    cancelled,
    peak: () => peak,
    events,
    kept,
    refusing,
    known,
    log: (id: number) => logs.get(tiOf(id)) ?? '',
    fail: (times: number) => {
      failing = times;
    },
    outcome: (id: number, timeoutMs = 30_000) =>
      waitFor(`trigger ${id} has come to something`, () => outcomes.get(id)?.[0], { timeoutMs }),
    outcomes: (id: number) => outcomes.get(id) ?? [],
  };
}

const tiOf = (id: number) => `01890000-0000-7000-8000-${String(id).padStart(12, '0')}`;
function workload(id: number, classpath: string, kwargs: object, over: Partial<TriggerWorkload> = {}): TriggerWorkload {
  return {
    id,
    classpath,
    kwargs: JSON.stringify(kwargs),
    runtime: 'typescript',
    team: null,
    bundle_name: 'dags-folder',
    bundle_path: null,
    timeout_after: null,
    log_offset: 0,
    ti: {
      id: tiOf(id),
      task_id: 't',
      dag_id: 'd',
      run_id: 'r',
      try_number: 1,
      dag_version_id: tiOf(0),
      map_index: -1,
      hostname: null,
      context_carrier: null,
      queue: 'default',
      pool_slots: 1,
      priority_weight: 1,
    },
    ...over,
  };
}

async function startRole(env: Record<string, string> = {}) {
  const server = createServer();
  const role = startTriggerRole(
    await testRoleContext(env, { client: server.client, supervisorId: tiOf(0), token: { current: TOKEN } }),
  );
  return {
    server,
    add: (...all: TriggerWorkload[]) => {
      for (const each of all) server.known.set(each.id, each);
    },
    async [Symbol.asyncDispose]() {
      await role.stop();
    },
  };
}
const inMs = (ms: number) => ({ at: new Date(Date.now() + ms).toISOString() });
const children = (mark: string): Process[] =>
  descendantsOf(process.pid).filter(({ command }) => command.includes(mark));

describe('triggers of TypeScript tasks', () => {
  test('an outcome is told until the server has heard it, once, after the log', async () => {
    await using role = await startRole();
    role.server.fail(2);
    role.add(workload(1, 'airlock.until', inMs(300)));
    const first = await role.server.outcome(1).catch(() => null);
    // An outcome that could not be told at all is found again by the next request for work: it is held no more.
    assert.equal(first?.kind, 'event');
    assert.equal(role.server.outcomes(1).length, 1);
  });

  test('never more than its capacity at once; the next begins when one has ended', async () => {
    await using role = await startRole({ AIRLOCK__TRIGGERER__CAPACITY: '2' });
    const all = [1, 2, 3, 4, 5];
    role.add(...all.map((id) => workload(id, 'airlock.until', inMs(500))));
    for (const id of all) assert.equal((await role.server.outcome(id)).kind, 'event');
    assert.equal(role.server.peak(), 2);
  });

  test('one that is cancelled says nothing any more', async () => {
    await using role = await startRole();
    role.add(workload(1, 'airlock.until', inMs(1500)), workload(2, 'airlock.until', inMs(2500)));
    await waitFor('they run', () => children('triggers.cjs').length > 0);
    role.server.known.delete(1);
    role.server.cancelled.set(1, true);
    assert.equal((await role.server.outcome(2)).kind, 'event');
    assert.deepEqual(role.server.outcomes(1), []);
  });

  test('when their process is killed they begin anew and lose nothing; killed again and again they fail', async () => {
    await using role = await startRole();
    role.add(workload(1, 'airlock.until', inMs(3000)));
    const [first] = await waitFor('it runs', () =>
      children('triggers.cjs').length > 0 ? children('triggers.cjs') : null,
    );
    for (const { pid } of children('triggers.cjs')) kill9(pid);
    await waitFor('another runs', () => children('triggers.cjs').some(({ pid }) => pid !== first!.pid));
    assert.equal((await role.server.outcome(1)).kind, 'event');
    assert.equal(role.server.outcomes(1).length, 1);
    assert.match(role.server.log(1), /has died; the trigger begins anew/);

    role.add(workload(2, 'airlock.until', inMs(600_000)));
    const killer = setInterval(() => {
      for (const { pid } of children('triggers.cjs')) kill9(pid);
    }, 50);
    try {
      const { kind } = await role.server.outcome(2);
      assert.equal(kind, 'failure');
    } finally {
      clearInterval(killer);
    }
  });
});

const TRIGGERS = `
import asyncio, glob, json, os, sys, time, urllib.request
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent
SECRET = "canary-of-@TEAM@-" + "x" * 20

class Named(BaseTrigger):
    def __init__(self, **kwargs):
        super().__init__()
        self.kwargs = kwargs
    def serialize(self):
        return (f"own.{type(self).__name__}", self.kwargs)

class Asks(Named):
    async def run(self):
        from airflow.sdk import Variable
        yield TriggerEvent(Variable.get("plain"))

class AsksOfRuns(Named):
    """As the triggers of the standard provider do, beside the loop and by the SDK's own calls."""
    async def run(self):
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance as Task
        count = await asyncio.to_thread(Task.get_dr_count, dag_id="child", run_ids=["r"])
        yield TriggerEvent([count, await asyncio.to_thread(Task.get_dagrun_state, dag_id="child", run_id="r")])

class Says(Named):
    async def run(self):
        import datetime, pendulum
        yield TriggerEvent(("own.Says", {"at": pendulum.datetime(2026, 1, 2), "ids": ("a", 1), "for": datetime.timedelta(seconds=1)}))

class Ticks(Named):
    """The longest time between two turns of the loop that should be 50 ms apart."""
    async def run(self):
        last, worst = time.monotonic(), 0
        for n in range(self.kwargs["turns"]):
            await asyncio.sleep(0.05)
            now = time.monotonic()
            worst, last = max(worst, now - last - 0.05), now
        yield TriggerEvent({"worst": worst, "pid": os.getpid(), "secret": SECRET})

class Crashes(Named):
    async def run(self):
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), 9)
        yield

class Blocks(Named):
    async def run(self):
        time.sleep(3600)
        yield

class Watches(BaseEventTrigger):
    """Takes messages from a queue: each is an event. One says what it reads, one ends it, one fails, one kills."""
    def __init__(self, queue):
        super().__init__()
        self.queue = queue
    def serialize(self):
        return ("own.Watches", {"queue": self.queue})
    def take(self):
        with urllib.request.urlopen(self.queue, timeout=30) as answer:
            return json.load(answer)
    async def run(self):
        from airflow.sdk import Variable
        while True:
            for line in await asyncio.to_thread(self.take):
                if line == "die":
                    os.kill(os.getpid(), 9)
                if line == "fail":
                    raise ValueError("it is told to")
                if line == "end":
                    return
                yield TriggerEvent(Variable.get("plain") if line == "read" else line)
            await asyncio.sleep(0.05)

def take(queue, word=""):
    with urllib.request.urlopen(queue + word, timeout=30) as answer:
        return json.load(answer)

async def messages(queue):
    from airflow.sdk import Variable
    while True:
        for line in await asyncio.to_thread(take, queue):
            if line == "end the stream":
                raise ValueError("it has ended")
            yield await asyncio.to_thread(Variable.get, "plain") if line == "read" else line
        await asyncio.sleep(0.05)

class Shares(BaseEventTrigger):
    """Takes its own of the messages that one reader takes for all of them from a queue that gives each only once."""
    def __init__(self, queue, wants):
        super().__init__()
        self.queue, self.wants = queue, wants
    def serialize(self):
        return (f"own.{type(self).__name__}", {"queue": self.queue, "wants": self.wants})
    def shared_stream_key(self):
        return ("queue", self.queue)
    @classmethod
    def open_shared_stream(cls, kwargs):
        return messages(kwargs["queue"])
    async def filter_shared_stream(self, shared_stream):
        async for line in shared_stream:
            if line.startswith(self.wants):
                yield TriggerEvent(line)
    async def run(self):
        raise RuntimeError("it shares a stream")
        yield

class Acknowledges(Shares):
    """Says to the queue which messages are done with."""
    @classmethod
    def create_shared_stream_producer(cls, kwargs):
        from airflow.triggers.shared_stream import SharedStreamProducer
        class Producer(SharedStreamProducer):
            async def open_stream(self):
                async for line in messages(kwargs["queue"]):
                    yield line, line
            async def advance(self, batch):
                for item in batch:
                    await asyncio.to_thread(take, kwargs["queue"], "done/" + item.broker_payload)
        return Producer()

class Keeps(BaseEventTrigger):
    """Remembers of its asset what it has taken last."""
    def __init__(self, queue):
        super().__init__()
        self.queue = queue
    def serialize(self):
        return ("own.Keeps", {"queue": self.queue})
    async def run(self):
        from airflow.sdk import Asset
        store = self.asset_state_store
        async for line in messages(self.queue):
            before = await store.aget("last")
            await store[Asset(name="asset-7", uri="x://y")].aset("last", line)
            yield TriggerEvent([before, store.get("last")])

class Kills(Named):
    """Says by its queue that what it began elsewhere has been ended; one of them is never done with that."""
    async def run(self):
        yield_never = asyncio.Event()
        await asyncio.to_thread(self.say, "runs")
        await yield_never.wait()
        yield
    def say(self, word):
        urllib.request.urlopen(self.kwargs["queue"] + word, timeout=30).read()
    async def on_kill(self):
        await asyncio.to_thread(self.say, "killed")
        if self.kwargs["hangs"]:
            await asyncio.sleep(3600)
    async def cleanup(self):
        await asyncio.to_thread(self.say, "cleaned")

class Rendered(Named):
    template_fields = ("moment", "every")
    def __init__(self, moment, every):
        super().__init__()
        self.moment, self.every = moment, every
    async def run(self):
        yield TriggerEvent([self.moment, str(self.every)])

class Thief(Named):
    """Reads what it can of another team's: files, processes, memory; and asks in the name of its trigger."""
    async def run(self):
        mark, hits, looked = self.kwargs["mark"].encode(), [], 0
        paths = [self.kwargs["folder"] + "/own.py", *glob.glob(self.kwargs["folder"] + "/**", recursive=True)]
        for pid in [p for p in os.listdir("/proc") if p.isdigit() and p != str(os.getpid())]:
            paths += [f"/proc/{pid}/environ", f"/proc/{pid}/cmdline", f"/proc/{pid}/mem", f"/proc/{pid}/root{self.kwargs['folder']}/own.py"]
        for path in paths:
            looked += 1
            try:
                if path.endswith("/mem"):
                    with open(path.replace("/mem", "/maps")) as maps, open(path, "rb") as mem:
                        for line in maps:
                            a, b = (int(x, 16) for x in line.split()[0].split("-"))
                            mem.seek(a)
                            if mark in mem.read(min(b - a, 16 << 20)):
                                hits.append(path)
                else:
                    with open(path, "rb") as file:
                        if mark in file.read():
                            hits.append(path)
            except (OSError, ValueError, OverflowError):
                pass
        import airlock_triggers as own
        host = sys.modules["__main__"]
        token = host.CURRENT.set(self.kwargs["victim"])
        forged = asyncio.create_task(asyncio.to_thread(host.CALLS.call, "GET", "/variables/plain", {}, None))
        host.send({"type": "trigger_outcome", "trigger_id": self.kwargs["victim"], "outcome": {"kind": "event", "payload": '"forged"'}})
        host.CURRENT.reset(token)
        done, _ = await asyncio.wait({forged}, timeout=2)
        yield TriggerEvent({"hits": hits, "looked": looked, "answered": len(done)})
`;

function bundle(team: string): string {
  const root = mkdtempSync(join(tmpdir(), `airlock-${team}-`));
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'more'));
  writeFileSync(join(root, 'own.py'), TRIGGERS.replace('@TEAM@', team));
  return root;
}

describe('triggers of Python tasks', { skip: withoutPython }, () => {
  const roots = { a: bundle('a'), b: bundle('b') };
  const of = (team: 'a' | 'b', id: number, name: string, kwargs: object) =>
    workload(id, `own.${name}`, kwargs, {
      runtime: 'python',
      team,
      bundle_name: `bundle-${team}`,
      bundle_path: roots[team],
    });
  const python = (env: Record<string, string> = {}) => {
    ensureVenv(findPython()!);
    return startRole({
      ...env,
      AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
      AIRLOCK__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD: '3',
    });
  };
  const START = 120_000;
  /** A queue of messages on the loopback interface, and a trigger of an asset that takes them. */
  async function watched(id: number, name = 'Watches') {
    const waiting: string[] = [];
    const said: string[] = [];
    const server = createHttpServer((request, response) => {
      const word = request.url!.slice(1);
      said.push(word);
      response.end(JSON.stringify(word === '' ? waiting.splice(0) : []));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/`;
    /** Another that watches the same queue. */
    const like = (other: number, more: object = {}): TriggerWorkload => ({
      ...of('a', other, name, { queue: url, ...more }),
      ti: null,
      assets: [{ name: `asset-${other}`, uri: 'x://y' }],
    });
    return {
      url,
      said,
      like,
      workload: like(id),
      waiting,
      put: (...lines: string[]) => void waiting.push(...lines),
      taken: () => waitFor('the messages are taken', () => waiting.length === 0, { timeoutMs: START }),
      [Symbol.asyncDispose]: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  test('each asks for its own task, side by side in one process', async () => {
    await using role = await python();
    role.add(of('a', 1, 'Asks', {}), of('a', 2, 'Asks', {}));
    for (const id of [1, 2])
      assert.deepEqual(await role.server.outcome(id, START), {
        kind: 'event',
        payload: JSON.stringify(`of ${tiOf(id)}`),
      });
    assert.equal(children('airlock_triggers').length > 0, true);
  });

  test('one that waits for a run asks how many there are, and for the state of one', async () => {
    await using role = await python();
    role.add(of('a', 1, 'AsksOfRuns', {}));
    assert.deepEqual(await role.server.outcome(1, START), { kind: 'event', payload: JSON.stringify([1, 'success']) });
  });

  test('its event is what Airflow makes of it on the way: lists of tuples, plain times of those of pendulum', async () => {
    await using role = await python();
    role.add(of('a', 1, 'Says', {}));
    const said = await role.server.outcome(1, START);
    assert.ok(said.kind === 'event', JSON.stringify(said));
    const [name, { at, ...plain }] = JSON.parse(said.payload);
    assert.deepEqual([name, plain], ['own.Says', { ids: ['a', 1], for: 'PT1S' }]);
    assert.equal(at.__classname__, 'datetime.datetime');
  });

  test('one of a git bundle has the files of its run’s commit, whatever has been committed since', async () => {
    const repository = mkdtempSync(join(tmpdir(), 'airlock-trigger-git-'));
    chmodSync(repository, 0o755);
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-C', repository, ...args], {
        encoding: 'utf8',
      }).trim();
    const commit = (word: string) => {
      writeFileSync(
        join(repository, 'pinned.py'),
        `from airflow.triggers.base import BaseTrigger, TriggerEvent
class Says(BaseTrigger):
    def serialize(self):
        return ("pinned.Says", {})
    async def run(self):
        yield TriggerEvent("${word}")
`,
      );
      git('add', '-A');
      git('commit', '-q', '-m', word);
      return git('rev-parse', 'HEAD');
    };
    git('init', '-q', '-b', 'main');
    const commits = ['first', 'second'].map(commit);
    try {
      await using role = await python();
      const at = (id: number, version: string) =>
        workload(
          id,
          'pinned.Says',
          {},
          {
            runtime: 'python',
            bundle_name: 'g',
            bundle_path: '',
            git: { repo_url: `file://${repository}`, subdir: null, version },
          },
        );
      role.add(at(1, commits[0]!), at(2, commits[1]!), at(3, 'f'.repeat(40)));
      const said = async (id: number) => {
        const outcome = await role.server.outcome(id, 120_000);
        return outcome.kind === 'event' ? JSON.parse(outcome.payload) : outcome;
      };
      assert.deepEqual([await said(1), await said(2)], ['first', 'second']);
      const gone = await role.server.outcome(3, 120_000);
      assert.match(JSON.stringify(gone), /failure.*no longer has the commit/);
    } finally {
      rmSync(repository, { recursive: true, force: true });
    }
  });

  test("L13: a team's trigger reads 0 of another team's canaries, and speaks for none of its triggers", async (t) => {
    await using role = await python();
    role.add(of('b', 1, 'Ticks', { turns: 200 }));
    await waitFor('the victim runs', () => role.server.log(1) !== '' || children('airlock_triggers').length > 0, {
      timeoutMs: START,
    });
    role.add(of('a', 2, 'Thief', { mark: 'canary-of-b-xxxx', folder: roots.b, victim: 1 }));
    const stolen = await role.server.outcome(2, START);
    assert.ok(stolen.kind === 'event', JSON.stringify(stolen));
    const { hits, looked, answered } = JSON.parse(stolen.payload) as {
      hits: string[];
      looked: number;
      answered: number;
    };
    t.diagnostic(`L13: ${hits.length} canaries in ${looked} places`);
    assert.deepEqual([hits, answered], [[], 0]);
    assert.ok(looked > 4, 'it did look');
    assert.ok(role.server.asked.every(({ tiId }) => tiId !== tiOf(1)));
    const victim = await role.server.outcome(1, START);
    assert.ok(victim.kind === 'event');
    const { secret } = JSON.parse(victim.payload) as { secret: string };
    assert.match(secret, /^canary-of-b-xxxx/, 'the control: it is there to be found');
  });

  test("L13: a crash of one team's process, or one that hangs, delays another's triggers by no second", async (t) => {
    await using role = await python();
    role.add(of('b', 1, 'Ticks', { turns: 400 }));
    role.add(of('a', 2, 'Crashes', {}));
    assert.equal((await role.server.outcome(2, START)).kind, 'failure', 'it has crashed three times');
    role.add(of('a', 3, 'Blocks', {}));
    const ticks = await role.server.outcome(1, START);
    assert.ok(ticks.kind === 'event');
    const { worst } = JSON.parse(ticks.payload) as { worst: number };
    t.diagnostic(`L13: the longest delay beside crashes was ${Math.round(worst * 1000)} ms`);
    assert.ok(worst <= 1, `${worst} s`);
    assert.equal((await role.server.outcome(3, START)).kind, 'failure', 'a loop that is stuck is ended');
  });

  test('what watches for an asset goes on after each event, reads by routes of its own, and begins anew when it has ended', async () => {
    await using role = await python();
    await using queue = await watched(7);
    role.add(queue.workload);
    const seen = (payload: unknown) =>
      waitFor(`the event ${payload}`, () => role.server.events.some((event) => event.payload === payload), {
        timeoutMs: START,
      });
    queue.put('one', 'two', 'read');
    await seen('of /triggers/7/variables/plain');
    assert.deepEqual(
      role.server.events.map(({ payload }) => payload),
      ['one', 'two', 'of /triggers/7/variables/plain'],
      'in their order',
    );
    role.server.fail(3);
    queue.put('kept');
    await seen('kept');
    role.server.refusing.add('too large');
    for (const end of ['end', 'fail', 'die', 'too large']) {
      queue.put(end);
      await queue.taken();
      queue.put(`after ${end}`);
      await seen(`after ${end}`);
    }
    assert.equal(new Set(role.server.events.map(({ eventId }) => eventId)).size, role.server.events.length);
    assert.ok(
      role.server.asked.every(({ tiId }) => tiId === undefined),
      'in the name of no task',
    );
    assert.deepEqual(role.server.outcomes(7), [], 'it comes to no end');
    role.server.known.delete(7);
    role.server.cancelled.set(7, true);
    role.add(of('a', 8, 'Asks', {}));
    await role.server.outcome(8, START);
    queue.put('nobody wants it');
    role.add(of('a', 9, 'Ticks', { turns: 20 }));
    await role.server.outcome(9, START);
    assert.deepEqual(queue.waiting, ['nobody wants it'], 'one that is cancelled takes nothing');
  });

  /** All the events of so many, in the order in which each was told. */
  const told = (role: Awaited<ReturnType<typeof python>>, count: number) =>
    waitFor(`${count} events`, () => (role.server.events.length >= count ? role.server.events : null), {
      timeoutMs: START,
    });

  test('those that share a stream have one reader, and each has its own of what that reads, also when the first has left', async () => {
    await using role = await python();
    await using queue = await watched(7, 'Shares');
    role.add(queue.like(7, { wants: 'a' }), queue.like(8, { wants: 'b' }), queue.like(9, { wants: 'of /triggers' }));
    // Whichever comes first begins to read: what is there before the others have come is not theirs.
    for (const word of ['a', 'b']) {
      const beat = setInterval(() => queue.put(`${word}-0`), 100);
      await waitFor(`${word} is heard`, () => role.server.events.some(({ payload }) => payload === `${word}-0`), {
        timeoutMs: START,
      });
      clearInterval(beat);
    }
    await queue.taken();
    queue.put('b-1', 'a-1', 'c-1', 'a-2', 'b-2');
    const heard = (id: number) =>
      role.server.events.filter((event) => event.id === id && !String(event.payload).endsWith('-0'));
    await waitFor('all have theirs', () => heard(7).length + heard(8).length >= 4, { timeoutMs: START });
    const words = (id: number) => heard(id).map(({ payload }) => payload);
    assert.deepEqual(
      [words(7), words(8)],
      [
        ['a-1', 'a-2'],
        ['b-1', 'b-2'],
      ],
    );

    role.server.known.delete(7);
    role.server.cancelled.set(7, true);
    role.add(of('a', 1, 'Asks', {}));
    await role.server.outcome(1, START);
    role.server.cancelled.delete(7);
    queue.put('read', 'a-3', 'b-3');
    await waitFor('the others go on', () => words(8).includes('b-3'), { timeoutMs: START });
    assert.deepEqual(words(9), ['of /triggers/8/variables/plain'], 'it reads in the name of one that is still there');
    assert.deepEqual(words(7), ['a-1', 'a-2']);

    queue.put('end the stream');
    await queue.taken();
    const again = setInterval(() => queue.put('b-4'), 200);
    await waitFor('it begins anew', () => words(8).includes('b-4'), { timeoutMs: START });
    clearInterval(again);
  });

  test('a message of a shared stream is done with when its event is stored, and not before', async () => {
    await using role = await python();
    await using queue = await watched(7, 'Acknowledges');
    role.add(queue.like(7, { wants: 'a' }));
    const done = (word: string) =>
      waitFor(`${word} is done with`, () => queue.said.includes(`done/${word}`), { timeoutMs: START });
    queue.put('a-1', 'b-1');
    await done('a-1');
    assert.deepEqual(
      (await told(role, 1)).map(({ payload }) => payload),
      ['a-1'],
    );
    await done('b-1');
    role.server.refusing.add('a-refused');
    queue.put('a-refused', 'a-2');
    await queue.taken();
    const again = setInterval(() => queue.put('a-3'), 200);
    await done('a-3');
    clearInterval(again);
    assert.ok(!queue.said.includes('done/a-refused'), 'what is stored nowhere is not done with');
  });

  test('what watches for an asset keeps things of it, by a route of its own', async () => {
    await using role = await python();
    await using queue = await watched(7, 'Keeps');
    role.add(queue.workload);
    queue.put('one', 'two');
    assert.deepEqual(
      (await told(role, 2)).map(({ payload }) => payload),
      [
        [null, 'one'],
        ['one', 'two'],
      ],
    );
    assert.deepEqual([...role.server.kept], [['7 name=asset-7&key=last', 'two']]);
  });

  test('a watcher that kills its process again and again costs the tasks beside it nothing but a new beginning', async () => {
    await using role = await python();
    await using queue = await watched(7);
    role.add(queue.workload);
    queue.put('ready');
    await waitFor('it watches', () => role.server.events.length > 0, { timeoutMs: START });
    role.add(of('a', 1, 'Ticks', { turns: 40 }));
    let killed = 0;
    const killer = setInterval(() => {
      if (queue.waiting.length > 0) return;
      killed++;
      queue.put('die');
    }, 100);
    try {
      assert.equal((await role.server.outcome(1, START)).kind, 'event');
    } finally {
      clearInterval(killer);
    }
    assert.ok(killed >= 2, `${killed} deaths`);
  });

  test('what a person ends is told so, for a bounded time; what goes to another triggerer, or stops with its own, is not', async () => {
    await using queue = await watched(1);
    const said = (name: string, ...words: string[]) =>
      waitFor(`${name} ${words}`, () => words.every((word) => queue.said.includes(`${name}/${word}`)), {
        timeoutMs: START,
      });
    {
      await using role = await python({ AIRLOCK__TRIGGERER__ON_KILL_TIMEOUT: '1' });
      const names = ['ended', 'hangs', 'moved', 'stopped'];
      role.add(
        ...names.map((name, n) => of('a', n + 1, 'Kills', { queue: `${queue.url}${name}/`, hangs: name === 'hangs' })),
      );
      for (const name of names) await said(name, 'runs');
      for (const [id, ended] of [
        [1, true],
        [2, true],
        [3, false],
      ] as const) {
        role.server.known.delete(id);
        role.server.cancelled.set(id, ended);
      }
      await said('ended', 'killed', 'cleaned');
      await said('hangs', 'killed', 'cleaned');
      await said('moved', 'cleaned');
    }
    for (const name of ['moved', 'stopped']) assert.ok(!queue.said.includes(`${name}/killed`), name);
  });

  test('a task that starts in a trigger has its templates rendered, by its own run', async () => {
    await using role = await python();
    const kwargs = {
      __type: 'dict',
      __var: { moment: '{{ run_id }} {{ dag_run.conf.x }}', every: { __type: 'timedelta', __var: 90 } },
    };
    const start_trigger_args = {
      __type: 'START_TRIGGER_ARGS',
      trigger_cls: 'own.Rendered',
      trigger_kwargs: kwargs,
      next_method: 'm',
      next_kwargs: null,
      timeout: null,
    };
    const task = {
      task_id: 't',
      task_type: 'Op',
      _task_module: 'own',
      start_from_trigger: true,
      start_trigger_args,
      template_fields: ['moment', 'command'],
    };
    const group = {
      _group_id: null,
      group_display_name: '',
      prefix_group_id: true,
      tooltip: '',
      ui_color: 'CornflowerBlue',
      ui_fgcolor: '#000',
      children: { t: ['operator', 't'] },
      upstream_group_ids: [],
      downstream_group_ids: [],
      upstream_task_ids: [],
      downstream_task_ids: [],
    };
    const document = {
      __version: 3,
      dag: {
        dag_id: 'd',
        fileloc: '/dags/d.py',
        relative_fileloc: 'd.py',
        timezone: 'UTC',
        timetable: { __type: 'airflow.timetables.simple.NullTimetable', __var: {} },
        tasks: [{ __type: 'operator', __var: task }],
        task_group: group,
        edge_info: {},
        dag_dependencies: [],
        params: [],
      },
    };
    const run = {
      dag_id: 'd',
      run_id: 'r',
      conf: { x: 'from conf' },
      run_type: 'manual',
      state: 'running',
      run_after: '2026-01-01T00:00:00Z',
      logical_date: '2026-01-01T00:00:00Z',
      data_interval_start: null,
      data_interval_end: null,
      start_date: '2026-01-01T00:00:00Z',
      end_date: null,
      clear_number: 0,
      consumed_asset_events: [],
      partition_key: null,
    };
    role.add(
      { ...of('a', 1, 'Rendered', kwargs), start: { dag_data: document, dag_run_data: run } },
      of('a', 2, 'Rendered', kwargs),
    );
    assert.deepEqual(await role.server.outcome(1, START), {
      kind: 'event',
      payload: JSON.stringify(['r from conf', '0:01:30']),
    });
    const plain = await role.server.outcome(2, START);
    assert.ok(plain.kind === 'event');
    assert.deepEqual(
      JSON.parse(plain.payload),
      ['{{ run_id }} {{ dag_run.conf.x }}', '0:01:30'],
      'the control: without the task',
    );
  });
});
