"""Servers on this machine: processors of their own, and what they use of them.

Idea: a process is started on the processors it is to have, is asked until it answers, is read in
/proc while it works, and never outlives the block that it was started in.
"""

from bench.local.parparchik import Settings, start_parparchik
from bench.local.process import Running, StartFailed, ask, free_port, start
from bench.local.processors import Processors, share_out
from bench.local.s3 import start_rclone, start_stand_in
from bench.local.tls import make_certificate

__all__ = [
    "Processors",
    "Running",
    "Settings",
    "StartFailed",
    "ask",
    "free_port",
    "make_certificate",
    "share_out",
    "start",
    "start_parparchik",
    "start_rclone",
    "start_stand_in",
]
