"""Mounts and bodies for tests of the planes: what they answer with is made for each request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import trio

from parparchik.model import Answer, Block, FileBlock, Question, Request, Unfinished, Upload

Reads = Block | trio.Event | Exception


@dataclass
class Blocks:
    """Content of these blocks; an Event is waited for, an exception raised."""

    blocks: Sequence[Reads]
    closed: trio.Event = field(default_factory=trio.Event)
    reads: int = 0

    async def read(self) -> Block | None:
        await trio.lowlevel.checkpoint()
        assert not self.closed.is_set()
        while self.reads < len(self.blocks):
            block = self.blocks[self.reads]
            self.reads += 1
            if isinstance(block, Exception):
                raise block
            if not isinstance(block, trio.Event):
                return block
            await block.wait()
        return None

    def close(self) -> None:
        self.closed.set()

    def answer(self, length: int | None = None, *, status: int = 200) -> Answer:
        if length is None:
            length = sum(
                block.size_bytes if isinstance(block, FileBlock) else len(block)
                for block in self.blocks
                if isinstance(block, bytes | memoryview | FileBlock)
            )
        return Answer(status, ((b"x", b"y"),), kind="site", content=self, length=length)


class ReadyBlocks(Blocks):
    """The same at hand, but for what is behind an Event that has not happened."""

    def read_nowait(self) -> Block | None:
        assert not self.closed.is_set()
        while self.reads < len(self.blocks):
            block = self.blocks[self.reads]
            if isinstance(block, trio.Event) and not block.is_set():
                raise BlockingIOError
            self.reads += 1
            if isinstance(block, Exception):
                raise block
            if not isinstance(block, trio.Event):
                return block
        return None


@dataclass
class Asked:
    """A question that is answered anew each time; `soon` False: not from memory."""

    make: Callable[[], Answer]
    soon: bool = True

    def answer_nowait(self) -> Answer | None:
        return self.make() if self.soon else None

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        return False

    async def answer(self) -> Answer:
        await trio.lowlevel.checkpoint()
        return self.make()


Act = Callable[[Request, Upload], Awaitable[Answer]]


@dataclass
class FakeMount:
    """`answers` by target; an exception is raised. `acts` does what is neither GET nor HEAD."""

    answers: dict[bytes, Callable[[], Answer] | Exception] = field(default_factory=dict)
    acts: Act | None = None
    methods: tuple[str, ...] = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
    asked: list[Request] = field(default_factory=list)

    def ask(self, request: Request) -> Question:
        self.asked.append(request)
        answer = self.answers.get(request.target)
        if isinstance(answer, Exception):
            raise answer
        return Asked(answer or (lambda: Answer(200, (), b"at " + request.target, "mount")))

    async def act(self, request: Request, upload: Upload) -> Answer:
        if request.method not in self.methods:
            return Answer(405, ((b"allow", ", ".join(self.methods).encode()),))
        self.asked.append(request)
        assert self.acts is not None
        return await self.acts(request, upload)


async def until_closed(contents: Sequence[Blocks]) -> None:
    with trio.fail_after(20):
        for content in contents:
            await content.closed.wait()
