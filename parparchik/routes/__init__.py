"""File routes: which key a URL asks for, who may have it, and the redirect that answers.

`Responder` is behind every plane: request in, question out, answers from that. The rest is pure.
"""

from parparchik.routes.answers import failure, problem, too_many_requests
from parparchik.routes.authorize import CHALLENGE, Authenticator, presented_key
from parparchik.routes.respond import Lookup, Relay, Responder
from parparchik.routes.settled import Settled
from parparchik.routes.target import (
    Namespace,
    Namespaces,
    Target,
    check_key,
    decode_segment,
    normalise,
    path_of,
)

__all__ = [
    "CHALLENGE",
    "Authenticator",
    "Lookup",
    "Namespace",
    "Namespaces",
    "Relay",
    "Responder",
    "Settled",
    "Target",
    "check_key",
    "decode_segment",
    "failure",
    "normalise",
    "path_of",
    "presented_key",
    "problem",
    "too_many_requests",
]
