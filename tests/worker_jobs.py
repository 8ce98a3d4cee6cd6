"""Jobs for workers of the tests, by the ways in which they go wrong."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time


def answers(payload, send):
    send({"metrics": {"count": 3, "figure": float("nan")}, "notes": ["seen"]})
    send({"samples": {"seconds": [1.0, float("inf")]}, "mesh": [0.0, 1.0], "settings": {"threads": 1}})
    send({"answer": payload})


def has_torch(payload, send):
    send({"answer": "torch" in sys.modules})


def spawns_torch_threads(payload, send):
    import torch

    torch.set_num_threads(2)
    x = torch.randn(512, 512)
    send({"answer": bool(torch.isfinite(x @ x).all())})


def session(payload, send):
    send({"answer": [os.getsid(0) == os.getpid(), sys.stdin.read()]})


def raises(payload, send):
    send({"metrics": {"count": 3}})
    raise ValueError("one line\nand another")


def exits_politely(payload, send):
    sys.exit(0)


def diverges(payload, send):
    from odebench.errors import Divergence

    raise Divergence("the solution is not finite after 3 steps")


def refuses(payload, send):
    from odebench.errors import Refusal

    raise Refusal("mali is for alf")


def floats(payload, send):
    raise FloatingPointError("overflow")


def loops(payload, send):
    send({"metrics": {"count": 3}})
    while True:
        pass


def sleeps(payload, send):
    time.sleep(payload)


def exits(payload, send):
    print("last words", flush=True)
    os._exit(payload)


def segfaults(payload, send):
    ctypes.string_at(0)


def killed(payload, send):
    os.kill(os.getpid(), signal.SIGKILL)


def allocates(payload, send):
    kept = []
    while True:
        kept.append(bytearray(1 << 30))


def aborts_for_memory(payload, send):
    sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
    sys.stderr.flush()
    os.abort()


def prints(payload, send):
    for _ in range(100):
        print("x" * (1 << 20))
    os.write(2, b"\xff\xfe\x1b[31m")


def leaves_children(payload, send):
    subprocess.Popen(["sleep", "600"], close_fds=False)
    subprocess.Popen(["sleep", "600"], close_fds=False, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "600"])
        os._exit(0)


def writes_garbage(payload, send):
    for descriptor in range(3, 40):
        try:
            os.write(descriptor, payload.encode())
        except OSError:
            continue
    time.sleep(600)


def kills_its_parent(payload, send):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
