"""
What hostile Python tries, at the import of a Dag file and in a task. Told everything that an attacker could know: ids, paths,
ports. The same text runs unprotected as the control: `python3 probes.py FACTS`. Standard library only.
"""

import ctypes
import json
import os
import re
import signal
import socket
import sys

ARM = os.uname().machine == "aarch64"
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, x64, arm64, *args):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = LIBC.syscall(ctypes.c_long(arm64 if ARM else x64), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def read(path, length=2000):
    with open(path, "rb") as file:
        return file.read(length).decode("latin1")


def memory_of(pid):
    line = next(line for line in read(f"/proc/{pid}/maps", 1 << 20).split("\n") if " rw-p " in line and "[heap]" in line)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        file.seek(int(line.split("-")[0], 16))
        return f"read {len(file.read(4096))} bytes"


def vm_read(pid):
    start = int(read(f"/proc/{pid}/maps").split("-")[0], 16)
    local = ctypes.create_string_buffer(16)
    ours = (ctypes.c_uint64 * 2)(ctypes.addressof(local), 16)
    theirs = (ctypes.c_uint64 * 2)(start, 16)
    return f"read {call('process_vm_readv', 310, 270, pid, ours, 1, theirs, 1, 0)} bytes"


def take_descriptor(pid):
    handle = call("pidfd_open", 434, 434, pid, 0)
    return f"took {call('pidfd_getfd', 438, 438, handle, 0, 0)}"


def talk(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(5)
        one.connect(address)
        return "connected"


def datagram(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        return f"sent {one.sendto(b'x', address)}"


def apart(action):
    """In a process of its own, so that a control that succeeds does not change the rest."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = str(action())
        except BaseException as error:
            text = f"refused: {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 4096).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    if text.startswith("refused"):
        raise PermissionError(text)
    return text


def own_memory():
    """A token of this installation, in anything that this process may write or has written."""
    # Not the text that is looked for, which would find itself.
    pattern = re.compile(rb"eyJhbGciOiJF[Z]ERTQSI")
    searched = 0
    LIBC.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    LIBC.write.restype = ctypes.c_ssize_t
    for line in read("/proc/self/maps", 1 << 22).split("\n"):
        region = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if region is None or "[v" in line:
            continue
        start, end = int(region[1], 16), int(region[2], 16)
        for at in range(start, end, 1 << 20):
            # Through the kernel and a file: a page that may not be read is an error of write(2) then, and no crash.
            copy = os.memfd_create("copy")
            length = max(0, LIBC.write(copy, at, min(1 << 20, end - at)))
            piece = os.pread(copy, length, 0)
            os.close(copy)
            searched += length
            if pattern.search(piece):
                return "found one"
    raise LookupError("none there" if searched > 5_000_000 else f"only {searched} bytes searched")


def own_environment():
    found = [name for name in os.environ if "AIRLOCK" in name or "TOKEN" in name or "PASSWORD" in name]
    if not found:
        raise LookupError("none there")
    return " ".join(found)


def probes(facts):
    """Name → what is tried."""
    for who, pid in facts["processes"].items():
        yield f"{who}: environment", lambda pid=pid: "read " + read(f"/proc/{pid}/environ")
        yield f"{who}: memory", lambda pid=pid: memory_of(pid)
        yield f"{who}: descriptors", lambda pid=pid: f"read {len(os.listdir(f'/proc/{pid}/fd'))}"
        yield f"{who}: folder", lambda pid=pid: f"read {os.listdir(f'/proc/{pid}/cwd/')}"
        yield f"{who}: signal", lambda pid=pid: os.kill(pid, 0) or "sent"
        yield f"{who}: process_vm_readv", lambda pid=pid: vm_read(pid)
        yield f"{who}: pidfd_getfd", lambda pid=pid: take_descriptor(pid)
        yield f"{who}: ptrace", lambda pid=pid: apart(lambda: f"attached {call('ptrace', 101, 117, 0x4206, pid, 0, 0)}")
    for name, path in facts["files"].items():
        yield f"file: {name}", lambda path=path: "read " + read(path)
    for name, path in facts["folders"].items():
        yield f"folder: {name}", lambda path=path: f"read {os.listdir(path)}"
    for name, path in facts["sockets"].items():
        yield f"socket: {name}", lambda path=path: talk(socket.AF_UNIX, path)
    yield "abstract socket", lambda: talk(socket.AF_UNIX, "\0" + facts["abstract"])
    for name, path in facts["written"].items():
        yield f"write: {name}", lambda path=path: f"opened {open(path, 'ab').close()}"
    yield "user namespace", lambda: apart(lambda: f"made {call('unshare', 272, 97, 0x10000000)}")
    yield "cloned namespace", lambda: apart(lambda: clone_namespace())
    yield "kernel keys", lambda: apart(lambda: f"made {call('add_key', 248, 217, b'user', b'probe', b'x', 1, -1)}")
    yield "token in own environment", own_environment
    yield "token in own memory", own_memory


def clone_namespace():
    pid = call("clone", 56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return f"made {pid}"


def run(facts):
    loot = {}
    for name, probe in probes(facts):
        try:
            loot[name] = str(probe())[:300]
        except BaseException as error:
            loot[name] = f"refused: {type(error).__name__} {error}"[:300]
    return loot


def network(facts):
    """Apart from the rest, since a task has the network of its host and a parse has none."""
    loot = {}
    for name, probe in (
        ("tcp", lambda: talk(socket.AF_INET, ("127.0.0.1", facts["port"]))),
        ("udp", lambda: datagram(("127.0.0.1", facts["port"]))),
    ):
        try:
            loot[name] = str(probe())
        except BaseException as error:
            loot[name] = f"refused: {type(error).__name__}"
    return loot


if __name__ == "__main__" and len(sys.argv) == 2:
    given = json.loads(sys.argv[1])
    # What the control holds, so that looking for it finds it.
    planted = bytearray(b"eyJhbGciOiJF" + bytes([90]) + b"ERTQSI")
    print(json.dumps({"loot": run(given), "network": network(given)}))
