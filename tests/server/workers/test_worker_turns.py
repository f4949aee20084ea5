"""Who of the workers accepts."""

from __future__ import annotations

import os
import socket

import pytest

from parparchik.server.workers.turns import HOLD_BACK_S, SharedListener, Turns


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_one_with_fewer_connections_accepts() -> None:
    turns = Turns.create(2)
    one, other = turns.at(0), turns.at(1)
    assert one(0)
    assert other(0)
    os.close(turns.descriptor)


def test_the_fuller_one_holds_back_for_a_moment() -> None:
    turns, clock = Turns.create(2), Clock()
    full, empty = turns.at(0, clock), turns.at(1, clock)
    assert empty(0)
    assert not full(10)
    clock.now_s += HOLD_BACK_S / 2
    assert not full(10)
    assert empty(0)
    clock.now_s += HOLD_BACK_S
    assert full(10)  # nobody has come for it
    assert not full(11)
    os.close(turns.descriptor)


def test_equals_do_not_wait_for_each_other() -> None:
    turns, clock = Turns.create(3), Clock()
    for place in range(3):
        assert turns.at(place, clock)(7)
    assert turns.at(0, clock)(8)
    assert not turns.at(0, clock)(9)
    os.close(turns.descriptor)


def test_nobody_waits_for_one_that_is_not_there() -> None:
    turns, clock = Turns.create(2), Clock()
    one, other = turns.at(0, clock), turns.at(1, clock)
    assert one(1000)
    assert other(0)
    assert not one(1000)
    turns.leave(1)
    assert one(1000)
    os.close(turns.descriptor)


def test_another_mapping_of_the_same_memory() -> None:
    turns, clock = Turns.create(2), Clock()
    theirs = Turns(turns.descriptor, 2)
    assert theirs.at(1, clock)(0)
    assert not turns.at(0, clock)(9)
    os.close(turns.descriptor)


def test_a_listener_has_nothing_for_whom_it_is_not_the_turn() -> None:
    turns, clock = Turns.create(2), Clock()
    count = 9
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = SharedListener(os.dup(listening.fileno()), turns.at(0, clock), lambda: count)
        assert turns.at(1, clock)(0)
        with listener, socket.create_connection(listening.getsockname()) as client:
            with pytest.raises(BlockingIOError):
                listener.accept()
            count = 0
            accepted, address = listener.accept()
            assert address == client.getsockname()
            accepted.close()
            count = 9
            with socket.create_connection(listening.getsockname()):
                with pytest.raises(BlockingIOError):
                    listener.accept()
                listener.take_all()
                listener.accept()[0].close()
    os.close(turns.descriptor)
