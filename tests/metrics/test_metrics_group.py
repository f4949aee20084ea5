"""The numbers of several processes as those of one."""

from __future__ import annotations

from collections.abc import Sequence

from parparchik.metrics import Family, Sum
from parparchik.metrics.family import Sample, metric_of


def counter(name: str, **values: float) -> Family:
    samples: list[Sample] = [
        (f"{name}_total", ("kind",), (kind,), value) for kind, value in values.items()
    ]
    return Family(name, "How many", "counter", samples)


def gauge(name: str, value: float) -> Family:
    return Family(name, "How much", "gauge", [(name, (), (), value)])


def histogram(*cumulative: float) -> Family:
    buckets = [
        ("h_bucket", ("le",), (bound,), count)
        for bound, count in zip(("0.1", "1.0", "+Inf"), cumulative, strict=True)
    ]
    rest = [("h_count", (), (), cumulative[-1]), ("h_sum", (), (), 0.5)]
    return Family("h", "How long", "histogram", [*buckets, *rest])


def values(families: Sequence[Family]) -> dict[tuple[str, ...], float]:
    return {(name, *of): value for family in families for name, _, of, value in family.samples}


def summed(*processes: Sequence[Family]) -> dict[tuple[str, ...], float]:
    total = Sum()
    for families in processes:
        total.add(families)
    return values(total.families())


def test_counters_add_up_by_their_labels() -> None:
    assert summed([counter("c", a=1, b=2)], [counter("c", b=3, z=4)]) == {
        ("c_total", "a"): 1,
        ("c_total", "b"): 5,
        ("c_total", "z"): 4,
    }


def test_histograms_add_up() -> None:
    assert summed([histogram(1, 2, 3)], [histogram(0, 4, 9)]) == {
        ("h_bucket", "0.1"): 1,
        ("h_bucket", "1.0"): 6,
        ("h_bucket", "+Inf"): 12,
        ("h_count",): 12,
        ("h_sum",): 1.0,
    }


def test_gauges_add_up_but_for_what_one_process_knows_and_what_all_must_say() -> None:
    names = ("process_resident_memory_bytes", "parparchik_registry_files", "parparchik_s3_up")
    first, second = ([gauge(name, value) for name in names] for value in (1, 0))
    assert summed(first, second, second) == {(names[0],): 1, (names[1],): 1, (names[2],): 0}


def test_of_one_that_has_ended_stays_what_grows() -> None:
    ended, total = Sum(), Sum()
    ended.add_for_good([counter("c", a=5), histogram(1, 1, 1), gauge("parparchik_connections", 9)])
    total.add(ended.families())
    total.add([counter("c", a=1), gauge("parparchik_connections", 2)])
    assert values(total.families()) == {
        ("c_total", "a"): 6,
        ("parparchik_connections",): 2,
        ("h_bucket", "0.1"): 1,
        ("h_bucket", "1.0"): 1,
        ("h_bucket", "+Inf"): 1,
        ("h_count",): 1,
        ("h_sum",): 0.5,
    }


def test_what_was_added_is_not_changed() -> None:
    family = counter("c", a=1)
    total = Sum()
    total.add([family])
    total.add([family])
    assert family == counter("c", a=1)


def test_a_family_is_a_metric_again() -> None:
    metric = metric_of(counter("c", a=1))
    assert (metric.name, metric.type, metric.documentation) == ("c", "counter", "How many")
    assert [(s.name, s.labels, s.value) for s in metric.samples] == [("c_total", {"kind": "a"}, 1)]
