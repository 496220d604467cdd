"""
The forks of a template: each enters a sandbox of its own before it gets its order, as proc/src/sandbox/enter.ts does for a
child that is started anew. What to do comes from the parent as facts, in a message of the control socket; four descriptors
come with it: channel, standard output, standard error and life line.

Three processes belong to a fork. The keeper stays outside of the fork's namespaces, and kills what is inside when the
parent closes the life line. The first process inside waits and collects orphans. The second is the one that works.
"""

import base64
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
import traceback

MAX_ORDER = 256 * 1024
FAILED = 97
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 2, 4, 8, 4096
MOUNT_ATTR_READ_ONLY = 1 | 2 | 4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 22, 38, 47
CAPABILITY_VERSION = 0x20080522
# These have one number on every architecture.
SYS_MOUNT_SETATTR, SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 442, 444, 445, 446
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)


def must(what, result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def prctl(what, option, *args):
    words = [ctypes.c_ulong(a) for a in (*args, 0, 0, 0, 0)[:4]]
    must(what, libc.prctl(option, *words))


def syscall(what, number, *args):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return must(what, libc.syscall(ctypes.c_long(number), *words))


def why_not():
    """What this process has that a fork of it would share with others, or None."""
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        return f"importing Airflow starts {threads - 1} threads"
    with open("/proc/self/maps") as maps:
        for line in maps:
            access = line.split()[1]
            if access[1] == "w" and access[3] == "s":
                return f"it shares memory: {line.strip()}"
    return None


def mount(source, target, kind, flags, options=None):
    encoded = None if options is None else options.encode()
    must(f"mount {target}", libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), encoded))


def show_file(folder, path, text):
    """Puts a file of this text in the place of `path`, for this fork alone."""
    made = os.path.join(folder, os.path.basename(path))
    with open(made, "w", encoding="latin1") as file:
        file.write(text)
    os.chmod(made, 0o644)
    mount(made, path, None, MS_BIND)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_READ_ONLY, 0, 0, 0)
    syscall(f"seal {path}", SYS_MOUNT_SETATTR, AT_FDCWD, ctypes.c_char_p(path.encode()), 0, attributes, 32)


def restrict_paths(landlock):
    attribute = base64.b64decode(landlock["attribute"])
    ruleset = syscall("landlock ruleset", SYS_LANDLOCK_CREATE, ctypes.c_char_p(attribute), len(attribute), 0)
    for path, folder, file in landlock["rules"]:
        try:
            found = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # not there, so nothing to allow
        rights = folder if stat.S_ISDIR(os.fstat(found).st_mode) else file
        rule = rights.to_bytes(8, sys.byteorder) + found.to_bytes(4, sys.byteorder)
        syscall(f"landlock {path}", SYS_LANDLOCK_ADD, ruleset, 1, ctypes.c_char_p(rule), 0)
        os.close(found)
    syscall("landlock", SYS_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def restrict_calls(encoded):
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    code = base64.b64decode(encoded)
    program = Program(len(code) // 8, code)
    must("seccomp", libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(program), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def enter(order):
    """Runs as the first process of the fork's namespaces. Nothing of the user has run yet."""
    work_dir, uid = order["work_dir"], order["uid"]
    if order["files"]:
        # Written while the folder is ours; its own comes to lie above.
        mount("tmpfs", work_dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755")
        for file in order["files"]:
            show_file(work_dir, file["path"], file["text"])
    mount("tmpfs", work_dir, "tmpfs", MS_NOSUID | MS_NODEV, order["work_options"])
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for number, value in order["limits"]:
        resource.setrlimit(number, (value, value))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # The template's folder of this name lies below the new one: what is here must be the new one.
    os.chdir(work_dir)
    prctl("ambient capabilities", PR_CAP_AMBIENT, 4)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    must("capset", libc.capset(header, (ctypes.c_uint32 * 6)()))
    prctl("no new privileges", PR_SET_NO_NEW_PRIVS, 1)
    prctl("dumpable", PR_SET_DUMPABLE, 0)
    prctl("parent death signal", PR_SET_PDEATHSIG, signal.SIGKILL)
    restrict_paths(order["landlock"])
    restrict_calls(order["filter"])


def default_signals():
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)


def exit_code(status):
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def keep(first, life):
    """The keeper: ends when all of the fork has ended, and sees to it that it does when the parent is gone or wants it."""
    end = os.pidfd_open(first)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    poll.register(life, select.POLLIN | select.POLLHUP)
    while not any(found == end for found, _ in poll.poll()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)
        poll.unregister(life)
    code = exit_code(os.waitpid(first, 0)[1])
    with contextlib.suppress(OSError):
        os.write(life, b"exit %d\n" % code)
    os._exit(0)


def wait_inside(worker):
    """The first process inside: collects orphans, and ends as the one that works does."""
    os.closerange(0, 1024)
    while True:
        pid, status = os.wait()
        if pid == worker:
            os._exit(exit_code(status))


def close_others(kept):
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def become(order, fds, channel):
    """In a fork: returns in the process that works, with its descriptors in their places, and in no other."""
    inside, out, err, life = fds
    try:
        default_signals()
        os.setsid()
        close_others(fds)
        must("unshare", libc.unshare(order["namespaces"]))
        os.write(life, b"started %d\n" % os.getpid())
        first = os.fork()
        if first != 0:
            for fd in (inside, out, err):
                os.close(fd)
            keep(first, life)
        os.close(life)
        os.dup2(out, 1)
        os.dup2(err, 2)
        enter(order)
        worker = os.fork()
        if worker != 0:
            wait_inside(worker)
        os.setsid()
        os.dup2(inside, channel)
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)
        close_others({channel})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAILED)


def serve(control, channel):
    """The template: forks once for each order, and returns only in a fork. Ends when the parent closes its end."""
    orders = socket.socket(fileno=control)
    while True:
        data, fds, flags, _ = socket.recv_fds(orders, MAX_ORDER, 4)
        if not data:
            os._exit(0)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(fds) != 4:
            os._exit(FAILED)
        if os.fork() == 0:
            orders.detach()
            return become(json.loads(data), fds, channel)
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
