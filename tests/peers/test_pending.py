"""What waits for a peer: in order, never too much, and nothing lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from parparchik.content import ObjectName
from parparchik.peers.messages import MAX_CHANGES
from parparchik.peers.pending import BATCH_BYTES, Change, Pending


def names(*keys: str, bucket: str = "b") -> list[ObjectName]:
    return [ObjectName(bucket, key) for key in keys]


def one(key: str, bucket: str = "b") -> Change:
    return Change(bucket, key, prefix=False)


def below(prefix: str, bucket: str = "b") -> Change:
    return Change(bucket, prefix, prefix=True)


def test_what_waits_is_taken_in_order_and_once() -> None:
    pending = Pending(100)
    assert pending.note(names("y", "x"), [("b", "dir/")]) == 1
    assert pending.note(names("x", "z"), ()) == 2
    assert (len(pending), pending.confirmed) == (4, 0)
    assert pending.take() == (one("y"), one("x"), below("dir/"), one("z"))
    assert (len(pending), pending.confirmed) == (4, 0)
    assert pending.confirm() == 4
    assert (len(pending), pending.confirmed) == (0, 2)
    assert pending.take() == ()


def test_what_is_noted_while_a_request_is_under_way_goes_in_the_next() -> None:
    pending = Pending(100)
    pending.note(names("x"), ())
    pending.take()
    assert pending.note(names("x", "y"), ()) == 2
    pending.confirm()
    assert pending.confirmed == 1
    assert pending.take() == (one("x"), one("y")), "x has changed again since it was sent"
    pending.confirm()
    assert pending.confirmed == 2


def test_what_failed_goes_first_and_keeps_its_number() -> None:
    pending = Pending(100)
    pending.note(names("x"), ())
    pending.take()
    pending.note(names("y"), ())
    pending.note(names("x"), ())
    pending.give_back()
    assert pending.confirmed == 0, "nobody knows of x"
    assert pending.take() == (one("x"), one("y"))
    pending.confirm()
    assert pending.confirmed == 3


def test_too_many_are_all_of_their_bucket() -> None:
    pending = Pending(3)
    pending.note(names("x", bucket="a"), ())
    pending.note(names("x", "y"), ())
    assert pending.collapsed == 0
    pending.note(names("z"), ())
    assert pending.collapsed == 1
    assert pending.note(names("w"), [("b", "dir/")]) == 4
    assert len(pending) == 2
    assert pending.take() == (below(""), one("x", "a"))
    pending.confirm()
    assert pending.confirmed == 4


def test_all_of_a_bucket_takes_the_place_of_what_waits_of_it() -> None:
    pending = Pending(100)
    pending.note(names("x", "y"), [("b", "dir/")])
    pending.note(names("x", bucket="a"), ())
    pending.note((), [("b", "")])
    assert (len(pending), pending.collapsed) == (2, 0), "it was asked for"
    assert pending.take() == (below(""), one("x", "a"))


def test_more_buckets_than_may_wait() -> None:
    pending = Pending(1)
    for bucket in ("a", "b", "c"):
        pending.note(names("x", "y", bucket=bucket), ())
    assert sorted(pending.take()) == [below("", "a"), below("", "b"), below("", "c")]


def test_a_request_is_bounded() -> None:
    pending = Pending(10 * MAX_CHANGES)
    pending.note(names(*map(str, range(MAX_CHANGES + 1))), ())
    assert len(pending.take()) == MAX_CHANGES
    pending.confirm()
    assert pending.confirmed == 0, "one of them is left"
    assert len(pending.take()) == 1
    pending.confirm()
    long = "ж" * 512
    pending.note(names(*(f"{long}{n}" for n in range(MAX_CHANGES))), ())
    sent = pending.take()
    assert BATCH_BYTES - 2048 < sum(len(each.key.encode()) for each in sent) <= BATCH_BYTES


@dataclass
class Model:
    """A peer that knows by what it was told which changes it has heard of."""

    told: list[tuple[int, ObjectName]] = field(default_factory=list)
    heard: set[tuple[int, ObjectName]] = field(default_factory=set)

    def hear(self, batch: tuple[Change, ...], upto: int) -> None:
        for number, name in self.told:
            if number <= upto and any(
                each.bucket == name.bucket
                and (name.key.startswith(each.key) if each.prefix else name.key == each.key)
                for each in batch
            ):
                self.heard.add((number, name))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("note"), st.sampled_from("ab"), st.sampled_from(["x", "y", "d/z"])),
        st.tuples(st.just("below"), st.sampled_from("ab"), st.sampled_from(["", "d/"])),
        st.tuples(st.sampled_from(["send", "fail"]), st.just(""), st.just("")),
    )
)


@given(STEPS, st.integers(1, 4))
def test_what_is_said_to_be_confirmed_is(steps: list[tuple[str, str, str]], limit: int) -> None:
    """Requests take time: what is noted during one was not heard with it."""
    pending, model = Pending(limit), Model()
    under_way: tuple[tuple[Change, ...], int] | None = None

    def end(*, well: bool) -> None:
        nonlocal under_way
        if under_way is None:
            return
        if well:
            model.hear(*under_way)
            pending.confirm()
        else:
            pending.give_back()
        under_way = None

    def check() -> None:
        for number, name in model.told:
            assert number > pending.confirmed or (number, name) in model.heard
        assert len(pending) <= 2 * max(limit, 2)

    for what, bucket, key in steps:
        if what == "note":
            number = pending.note(names(key, bucket=bucket), ())
            model.told.append((number, ObjectName(bucket, key)))
        elif what == "below":
            number = pending.note((), [(bucket, key)])
            for each in ("x", "d/z"):
                if each.startswith(key):
                    model.told.append((number, ObjectName(bucket, each)))
        else:
            end(well=what == "send")
            check()
            under_way = pending.take(), pending.noted
        check()
    end(well=True)
    while pending:
        under_way = pending.take(), pending.noted
        end(well=True)
    assert pending.confirmed == pending.noted
    assert model.heard == set(model.told)
