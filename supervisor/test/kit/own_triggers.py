# Triggers of a team's own, as authors write them; the team's name is put in below.
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
