"""File routes: which key a URL asks for, who may have it, and the redirect that answers.

`Responder` is behind every plane: request in, question out, answers from that. The rest is pure.
"""

from parparchik.routes.authorize import CHALLENGE, Authenticator, presented_key
from parparchik.routes.respond import Responder
from parparchik.routes.target import Namespace, Namespaces, Target, check_key

__all__ = [
    "CHALLENGE",
    "Authenticator",
    "Namespace",
    "Namespaces",
    "Responder",
    "Target",
    "check_key",
    "presented_key",
]
