"""A throw-away Ceph RADOS Gateway on 127.0.0.1: an S3 server that checks every signature.

One monitor, one OSD that keeps its objects in memory, radosgw; no systemd, no root, some 12
seconds to start. The three daemons die with the process that started them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx

from tests.plain_http import NO_TLS

_PROGRAMS = (
    *("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool"),
    *("radosgw", "radosgw-admin", "setpriv"),
)
_START_TIMEOUT_S = 120.0

_CONF = """\
[global]
fsid = {fsid}
mon host = {monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
mon allow pool size one = true
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
mon max pg per osd = 2000
run dir = {folder}
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
keyring = {folder}/keyring
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd class load list = *
osd class default list = *
[client.rgw]
# Without tcp_nodelay every answer waits 40 ms.
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw data = {folder}/rgw
rgw dns name = s3.localhost
rgw enable usage log = false
rgw relaxed s3 bucket names = false
rgw thread pool size = 64
rgw gc max objs = 4
rgw lc max objs = 2
debug rgw = 0
"""


def missing_programs() -> list[str]:
    """What a gateway needs and this machine lacks."""
    return [name for name in _PROGRAMS if shutil.which(name) is None]


class Gateway:
    """The daemons. `close` ends them, in whatever state they are."""

    def __init__(self, folder: Path) -> None:
        """`folder` exists, is empty, and has a short path: Unix sockets are made in it."""
        self._folder = folder
        self._environ = {**os.environ, "CEPH_CONF": str(folder / "ceph.conf")}
        self._stack = contextlib.ExitStack()
        self._port, *self._monitor_ports = _free_ports(3)
        self._radosgw: subprocess.Popen[bytes] | None = None
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when S3 answers. Raises RuntimeError with what the daemons said, else; `close`
        is due in either case."""
        self._configure()
        monitor = self._spawn("ceph-mon", "-i", "a", "-f")
        self._run("ceph", "--connect-timeout", "30", "-s")
        osd_id = str(uuid.uuid4())
        self._run("ceph", "osd", "new", osd_id)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_id)
        osd = self._spawn("ceph-osd", "-i", "0", "-f")
        self.start_radosgw(monitor, osd)

    def start_radosgw(self, *others: subprocess.Popen[bytes]) -> None:
        self._radosgw = self._spawn("radosgw", "-n", "client.rgw", "-f")
        self._await_answer(self._radosgw, *others)

    def stop_radosgw(self) -> None:
        """S3 is gone, connections are refused; the objects stay for the next `start_radosgw`.

        It is let go in order: the cluster waits half a minute for one that was killed.
        """
        assert self._radosgw
        self._radosgw.terminate()
        self._radosgw.wait(timeout=60)

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        """S3 accepts connections and answers nothing."""
        assert self._radosgw
        self._radosgw.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._radosgw.send_signal(signal.SIGCONT)

    def create_user(self, name: str, access_key_id: str, secret_access_key: str) -> None:
        self._run(
            *("radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}"),
            *(f"--access-key={access_key_id}", f"--secret-key={secret_access_key}"),
        )

    def close(self) -> None:
        self._stack.close()

    def _configure(self) -> None:
        folder = self._folder
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        fsid = str(uuid.uuid4())
        v2, v1 = self._monitor_ports
        monitor = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        (folder / "ceph.conf").write_text(
            _CONF.format(fsid=fsid, monitor=monitor, folder=folder, port=self._port)
        )
        monmap, keyring = str(folder / "monmap"), str(folder / "keyring")
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, monmap)
        self._run("ceph-authtool", "--create-keyring", keyring)
        for name, *grants in (
            ("mon.", "mon", "allow *"),
            ("client.admin", "mon", "allow *", "osd", "allow *"),
            ("client.rgw", "mon", "allow rwx", "osd", "allow rwx"),
            ("osd.0", "mon", "allow profile osd", "osd", "allow *"),
        ):
            caps = [
                word
                for pair in zip(grants[::2], grants[1::2], strict=True)
                for word in ("--cap", *pair)
            ]
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *caps)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, env=self._environ, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr[-2000:]}")

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        output: IO[bytes] = self._stack.enter_context(
            (self._folder / f"{command[0]}.out").open("ab")
        )
        # pdeathsig: should this process be killed, nobody else would end the daemon. A session of
        # its own: Ctrl-C is for the tests, which then end the daemon in order.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def _await_answer(self, *daemons: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if any(daemon.poll() is not None for daemon in daemons):
                raise RuntimeError(f"a Ceph daemon has ended:\n{self._last_words()}")
            try:
                httpx.get(self.endpoint, timeout=5, verify=NO_TLS)
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"radosgw does not answer:\n{self._last_words()}")

    def _last_words(self) -> str:
        logs = sorted(self._folder.glob("*.out"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in logs)


@contextlib.contextmanager
def running_gateway() -> Iterator[Gateway]:
    """A started gateway; its daemons and its folder are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rgw-", dir="/tmp", ignore_cleanup_errors=True) as name:
        gateway = Gateway(Path(name))
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.close()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
