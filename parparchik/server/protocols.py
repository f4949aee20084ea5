"""What a connection speaks: decided by TLS (ALPN), or by how it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hypercorn.config import Config
from hypercorn.events import Event, RawData, Updated
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError
from hypercorn.typing import AppWrapper, ConnectionState, TaskGroup

from parparchik.server.context import Addresses, Context
from parparchik.server.http1 import H11
from parparchik.server.http2 import H2


class Protocol:
    """`spoken` may change from HTTP/1.1 to HTTP/2, and never back."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: Context,
        task_group: TaskGroup,
        *,
        addresses: Addresses,
        send: Callable[[Event], Awaitable[None]],
        alpn: str | None,
    ) -> None:
        state = ConnectionState({})
        self._send = send
        self._arguments = (
            *(app, config, context, task_group, state, addresses.is_tls),
            *(addresses.client, addresses.server, send),
        )
        self.spoken: H11 | H2 = H2(*self._arguments) if alpn == "h2" else H11(*self._arguments)

    async def initiate(self) -> None:
        await self.spoken.initiate()

    async def handle(self, event: Event) -> None:
        switch: H2ProtocolAssumedError | H2CProtocolRequiredError
        try:
            await self.spoken.handle(event)
        except (H2ProtocolAssumedError, H2CProtocolRequiredError) as asked:
            switch = asked
        else:
            return
        self.spoken = H2(*self._arguments)
        if isinstance(switch, H2CProtocolRequiredError):
            await self.spoken.initiate(switch.headers, switch.settings)
        else:
            await self.spoken.initiate()
        if switch.data:
            await self.spoken.handle(RawData(switch.data))
        # HTTP/1.1 has begun a request, and so ended the idle time that runs again.
        await self._send(Updated(idle=self.spoken.idle))
