/**
 * Deferred Python tasks and their triggers, by the real trigger classes: how they go on, what a trigger may use and see, and
 * that nothing is lost or doubled when what runs the triggers is killed. @see promise L12
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { logOf, resultOf, runEnd, taskInstances, trigger } from '../kit/api.ts';
import { descendantsOf, kill9 } from '../kit/processes.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const TRIGGERS = `
import asyncio, glob, os, socket
from airflow.triggers.base import BaseTrigger, TriggerEvent, TaskSuccessEvent

class Named(BaseTrigger):
    def __init__(self, **kwargs):
        super().__init__()
        self.kwargs = kwargs
    def serialize(self):
        return (f"own_triggers.{type(self).__name__}", self.kwargs)

class Waits(Named):
    async def run(self):
        await asyncio.sleep(self.kwargs["seconds"])
        print("it is " + self.kwargs["word"])
        self.log.info("waited for %s", self.kwargs["word"])
        yield TriggerEvent({"word": self.kwargs["word"], "pid": os.getpid()})
        raise AssertionError("nobody waits for what comes after the event")

class Fails(Named):
    async def run(self):
        raise ValueError("no such partner")
        yield

class Leaves(Named):
    async def run(self):
        if False:
            yield

class Ends(Named):
    async def run(self):
        yield TaskSuccessEvent(xcoms={"return_value": [1, 2]})

class Asks(Named):
    async def run(self):
        from airflow.sdk import BaseHook, Variable
        from asgiref.sync import sync_to_async
        found = [Variable.get("plain"), await sync_to_async(Variable.get)("plain")]
        connection = await sync_to_async(BaseHook.get_connection)("partner")
        print("password " + connection.password)
        yield TriggerEvent({"values": found, "login": connection.login, "missing": Variable.get("absent", default="none")})

def connects(family, address):
    with socket.socket(family) as s:
        s.settimeout(2)
        return s.connect_ex(address) == 0

class Looks(Named):
    """Everything that a thief would try for the database and its secrets."""
    async def run(self):
        home, found, seen = self.kwargs["home"], {"connected": 0, "tries": 0, "read": [], "hits": []}, set()
        sockets = [f"{home}/run/postgres/.s.PGSQL.5432", "/tmp/.s.PGSQL.5432", "/var/run/postgresql/.s.PGSQL.5432",
                   f"{home}/run/control/control.sock", f"{home}/run/token/token.sock"]
        sockets += glob.glob(f"{home}/run/postgres/*")
        for path in (sockets * 3)[:10]:
            found["tries"] += 1
            try:
                found["connected"] += connects(socket.AF_UNIX, path)
            except OSError:
                pass
        for port in range(5432, 5442):
            found["tries"] += 1
            found["connected"] += connects(socket.AF_INET, ("127.0.0.1", port))
        for path in [f"{home}/airlock.cfg", f"{home}/keys/signing", f"{home}/keys", f"{home}/postgres/data/PG_VERSION",
                     "/proc/1/environ", *glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline")]:
            try:
                with open(path, "rb") as file:
                    data = file.read()
                found["read"].append(path)
            except OSError:
                try:
                    found["read"].append(path + "/" + os.listdir(path)[0])
                except OSError:
                    pass
                continue
            for mark in (b"postgres://", b"postgresql://", b"canary", b"PRIVATE KEY", b"eyJ"):
                if mark in data:
                    found["hits"].append([path, mark.decode()])
        hidden = [m for m in ("postgres://", "canary-of", "PRIVATE KEY") if m in own_memory()]
        found["memory"] = hidden
        yield TriggerEvent(found)

def own_memory():
    text = []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as mem:
        for line in maps:
            area, rights = line.split()[:2]
            if "rw" not in rights or "[v" in line:
                continue
            start, end = (int(x, 16) for x in area.split("-"))
            try:
                mem.seek(start)
                text.append(mem.read(min(end - start, 64 << 20)))
            except (OSError, ValueError, OverflowError):
                pass
    data = b"".join(text)
    class Found:
        def __contains__(self, mark):
            # The marks themselves are in this file's source; what is looked for is a mark with something after it.
            import re
            return re.search(re.escape(mark.encode()) + rb"[A-Za-z0-9_.:@/-]{12}", data) is not None
    return Found()
`;
const DAG = `
from datetime import timedelta
from airflow.sdk import DAG, BaseOperator
import own_triggers
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

class Defers(BaseOperator):
    def __init__(self, make, limit=None, **kwargs):
        super().__init__(**kwargs)
        self.make = make
        self.limit = limit
    def execute(self, context):
        print("about to defer")
        self.defer(trigger=self.make(), method_name="resumed", kwargs={"kept": ["a", 1]}, timeout=self.limit)
    def resumed(self, context, kept, event=None):
        print("resumed")
        return {"kept": kept, "event": event, "try": context["ti"].try_number}

with DAG("defers", schedule=None):
    Defers(task_id="delta", make=lambda: TimeDeltaTrigger(timedelta(seconds=1)))
    Defers(task_id="waits", make=lambda: own_triggers.Waits(seconds=1, word="ready"))
    Defers(task_id="fails", make=lambda: own_triggers.Fails())
    Defers(task_id="leaves", make=lambda: own_triggers.Leaves())
    Defers(task_id="ends", make=lambda: own_triggers.Ends())
    Defers(task_id="asks", make=lambda: own_triggers.Asks())
    Defers(task_id="late", make=lambda: own_triggers.Waits(seconds=600, word="never"), limit=timedelta(seconds=2))
    Defers(task_id="looks", make=lambda: own_triggers.Looks(home="@HOME@"))

with DAG("survives", schedule=None):
    for n in range(5):
        Defers(task_id=f"w{n}", make=lambda n=n: own_triggers.Waits(seconds=8, word=f"w{n}"))
`;

describe('deferred Python tasks', { skip: withoutPython }, () => {
  let airlock: Standalone;
  let runId: string;
  const states = new Map<string, string | null>();
  const at = (taskId: string) => ({ dagId: 'defers', runId, taskId });
  const eventsOf = async (taskId: string) => (await logOf(airlock, at(taskId))).map((line) => line.event).join('\n');
  type Returned = { kept: unknown; event: Record<string, unknown>; try: number };
  const returned = async (taskId: string) => (await resultOf(airlock, at(taskId))) as Returned;

  before(async () => {
    ensureVenv(findPython()!);
    airlock = await startStandalone({
      dags: { 'own_triggers.py': TRIGGERS },
      env: { AIRLOCK__PYTHON__INTERPRETER: airflowVenv },
    });
    await airlock.api('POST', '/api/v2/variables', { key: 'plain', value: 'v-1' });
    await airlock.api('POST', '/api/v2/variables', { key: 'other', value: 'canary-of-a-variable' });
    await airlock.api('POST', '/api/v2/connections', {
      connection_id: 'partner',
      conn_type: 'http',
      login: 'me',
      password: 'canary-of-a-password',
    });
    writeFileSync(`${airlock.home}/dags/defers.py`, DAG.replace('@HOME@', airlock.home));
    runId = await trigger(airlock, 'defers');
    assert.equal(await runEnd(airlock, 'defers', runId, 280_000), 'failed');
    for (const task of await taskInstances(airlock, 'defers', runId)) states.set(task.task_id, task.state);
  });
  after(() => airlock?.stop());

  test('an event lets the task go on in the same try, with its own arguments; what the trigger says is in its log', async () => {
    assert.equal(states.get('delta'), 'success');
    assert.equal(states.get('waits'), 'success', await eventsOf('waits'));
    const { kept, event, try: number } = await returned('waits');
    assert.deepEqual([kept, event.word, number], [['a', 1], 'ready', 1]);
    const log = await eventsOf('waits');
    const order = ['about to defer', 'it is ready', 'waited for ready', 'resumed'].map((text) => log.indexOf(text));
    assert.ok(
      order.every((place, n) => place > (order[n - 1] ?? -1)),
      log,
    );
    assert.doesNotMatch(log, /nobody waits/);
  });

  test('a trigger that raises, or that ends without an event, fails its task', async () => {
    assert.equal(states.get('fails'), 'failed');
    assert.match(await eventsOf('fails'), /no such partner/);
    assert.equal(states.get('leaves'), 'failed');
  });

  test('one that has had its time fails its task', async () => {
    assert.equal(states.get('late'), 'failed');
    assert.match(JSON.stringify(await logOf(airlock, at('late'))), /TaskDeferralTimeout|Trigger timeout/);
  });

  test('one may end its task without a worker', async () => {
    assert.equal(states.get('ends'), 'success');
    assert.deepEqual(await resultOf(airlock, at('ends')), [1, 2]);
    assert.doesNotMatch(await eventsOf('ends'), /resumed/);
  });

  test('one reads variables and connections as its task, and a password is masked in its log', async () => {
    assert.equal(states.get('asks'), 'success', await eventsOf('asks'));
    assert.deepEqual((await returned('asks')).event, { values: ['v-1', 'v-1'], login: 'me', missing: 'none' });
    const log = await eventsOf('asks');
    assert.match(log, /password \*\*\*/);
    assert.doesNotMatch(log, /canary-of/);
  });

  test('L12: one reaches no database and finds no secret', async (t) => {
    assert.equal(states.get('looks'), 'success', await eventsOf('looks'));
    const { event } = await returned('looks');
    t.diagnostic(
      `L12: ${event.connected} of ${event.tries} connections, ${(event.hits as []).length + (event.memory as []).length} secrets`,
    );
    assert.deepEqual([event.connected, event.tries], [0, 20]);
    assert.deepEqual([event.hits, event.memory], [[], []]);
    // The control: it did look, and what is its own it can read.
    assert.ok(
      (event.read as string[]).some((path) => path.endsWith('/environ')),
      JSON.stringify(event.read),
    );
    assert.ok(!(event.read as string[]).some((path) => path.startsWith(airlock.home)), JSON.stringify(event.read));
  });

  test('killed with its host, or alone, what ran the triggers loses none and doubles none', async () => {
    const run = await trigger(airlock, 'survives');
    const deferred = async () =>
      (await taskInstances(airlock, 'survives', run)).filter(({ state }) => state === 'deferred').length;
    await waitFor('all wait', async () => (await deferred()) === 5, { timeoutMs: 120_000 });
    const hosts = () => descendantsOf(airlock.pid).filter(({ command }) => command.includes('airlock_triggers.py'));
    const [host] = await waitFor('they run', () => (hosts().length > 0 ? hosts() : null), { timeoutMs: 60_000 });
    kill9(host!.pid);
    await waitFor('another took its place', () => hosts().some(({ pid }) => pid !== host!.pid), { timeoutMs: 60_000 });
    const supervisor = descendantsOf(airlock.pid).find(
      ({ parent, command }) => parent === airlock.pid && command.includes('supervisor'),
    );
    assert.ok(supervisor);
    kill9(supervisor.pid);
    assert.equal(await runEnd(airlock, 'survives', run, 200_000), 'success');
    for (let n = 0; n < 5; n++) {
      const where = { dagId: 'survives', runId: run, taskId: `w${n}` };
      const { event, try: number } = (await resultOf(airlock, where)) as Returned;
      assert.deepEqual([event.word, number], [`w${n}`, 1]);
      const log = (await logOf(airlock, where)).map((line) => line.event);
      assert.equal(log.filter((text) => text === 'resumed').length, 1, 'once');
    }
  });
});
