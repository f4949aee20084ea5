"""The same load by wrk, where that is installed: a second opinion.

wrk knows a closed loop for some time, looks at no Location and at no length, and takes any status
below 400 for good; everything else is reported as by our own generator.
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path

import msgspec
import trio

from bench.load.fleet import LoadFailed, Watch
from bench.load.histogram import Histogram
from bench.load.outcome import ErrorKind, Outcome
from bench.load.plan import BadPlan, Plan
from bench.processes import pinned

_PATHS_MAX = 100_000
_POINTS = (*range(1, 100), 99.5, 99.9, 99.95, 99.99, 99.999, 100.0)
_MARK = "parparchik-bench "

# Requests are built once, for building costs wrk more than sending. Each thread begins elsewhere
# among them; `done` runs once, for all threads.
_SCRIPT = """
local paths = {{{paths}}}
local body = {put_bytes} > 0 and string.rep("\\0", {put_bytes}) or nil
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
local requests = {{}}
local n = 0
function init()
  wrk.headers["User-Agent"] = "parparchik-bench"
  {close}
  local method = body and "PUT" or "GET"
  for i, path in ipairs(paths) do requests[i] = wrk.format(method, path, nil, body) end
  n = math.floor(number * #requests / {threads})
end
function request()
  n = n % #requests + 1
  return requests[n]
end
function done(summary, latency)
  local points = {{}}
  for i, p in ipairs({{{points}}}) do points[i] = latency:percentile(p) end
  local e = summary.errors
  io.write(string.format(
    '\\n{mark}{{"requests":%d,"us":%d,"max_us":%d,"bytes":%d,"connect":%d,'
    .. '"reset":%d,"status":%d,"timeout":%d,"points":[%s]}}\\n',
    summary.requests, summary.duration, latency.max, summary.bytes, e.connect,
    e.read + e.write, e.status, e.timeout, table.concat(points, ",")))
end
"""


class _Summary(msgspec.Struct):
    requests: int
    us: int
    max_us: int
    bytes: int
    connect: int
    reset: int
    status: int
    timeout: int
    points: list[float]


async def fire_wrk(plan: Plan, watch: Watch | None = None) -> Outcome:
    """Carry out a plan with wrk. Raises BadPlan for what wrk cannot do, and LoadFailed."""
    if shutil.which("wrk") is None:
        raise BadPlan("wrk is not installed (Debian: apt-get install wrk)")
    if plan.rate_per_s is not None or plan.duration_s is None or plan.requests is not None:
        raise BadPlan("wrk runs a closed loop for a duration: no --rate, no --requests")
    if not plan.deck.repeats:
        raise BadPlan("wrk is given its paths beforehand: not for a scenario without end of them")
    if plan.target.http2:
        raise BadPlan("wrk speaks HTTP/1.1 only")
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch, "load.lua")
        await trio.Path(script).write_text(_script(plan))
        if plan.warm_up_s:
            await _run(plan, script, max(plan.warm_up_s, 1.0))
        if watch is not None:
            watch.measuring()
        before_s = _children_cpu_s()
        outcome = _outcome(plan, await _run(plan, script, plan.duration_s))
        outcome.cpu_s = _children_cpu_s() - before_s
        return outcome


def _children_cpu_s() -> float:
    """Of those that have ended: here, of wrk."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _script(plan: Plan) -> str:
    asks = islice(plan.deck.deal(0, 1), _PATHS_MAX)
    paths: dict[str, None] = {}
    put_bytes = 0
    for ask in asks:
        if ask.path in paths and len(paths) < _PATHS_MAX // 100:
            break  # a round is over
        paths[ask.path] = None
        put_bytes = ask.put_bytes
    return _SCRIPT.format(
        paths=",".join(json.dumps(path) for path in paths),
        close="" if plan.keep_alive else 'wrk.headers["Connection"] = "close"',
        put_bytes=put_bytes,
        threads=plan.processes,
        points=",".join(map(str, _POINTS)),
        mark=_MARK,
    )


async def _run(plan: Plan, script: Path, duration_s: float) -> _Summary:
    argv = [
        *("wrk", f"-t{plan.processes}", f"-c{plan.connections}"),
        *(f"-d{max(round(duration_s), 1)}s", f"--timeout={max(round(plan.timeout_s), 1)}s"),
        *("-s", str(script), plan.target.url),
    ]
    done = await trio.run_process(
        pinned(argv, plan.processors), capture_stdout=True, capture_stderr=True, check=False
    )
    for line in done.stdout.decode().splitlines():
        if line.startswith(_MARK):
            return msgspec.json.decode(line.removeprefix(_MARK), type=_Summary)
    raise LoadFailed(f"wrk failed: {done.stderr.decode()[-500:].strip() or 'it said nothing'}")


def _outcome(plan: Plan, summary: _Summary) -> Outcome:
    ask = next(plan.deck.deal(0, 1))
    expected = ask.expected.status
    wrong = summary.status if expected < 400 else 0
    right = summary.requests - wrong
    points = list(zip(_POINTS, (round(us * 1000) for us in summary.points), strict=True))
    latency = Histogram.of_percentiles(points, right)
    latency.max_ns = max(latency.max_ns, summary.max_us * 1000)
    return Outcome(
        requests=right,
        seconds=summary.us / 1e6,
        latency=latency,
        errors=+Counter[ErrorKind](
            {
                "connect": summary.connect,
                "reset": summary.reset,
                "time-out": summary.timeout,
                "wrong status": wrong,
            }
        ),
        statuses=Counter({expected: right}),
        # What wrk has read has heads in it; of what it has sent it says nothing.
        body_bytes=right * ask.put_bytes or summary.bytes,
    )
