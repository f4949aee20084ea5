"""From a request and the object that answers it to the answer, for every mode alike.

A mode says which object answers (`Serving`); what the object is comes from the cache; what the
client gets of it is settled here: nothing new, a range, several, a coding, or all of it.
"""

from parparchik.delivery.compressors import COMPRESSORS
from parparchik.delivery.deliverer import Deliverer
from parparchik.delivery.headers import media_type
from parparchik.delivery.question import ObjectQuestion
from parparchik.delivery.relay import CachedRelay
from parparchik.delivery.types import Delivery, Serving
from parparchik.delivery.wishes import Wishes, read_wishes

__all__ = [
    "COMPRESSORS",
    "CachedRelay",
    "Deliverer",
    "Delivery",
    "ObjectQuestion",
    "Serving",
    "Wishes",
    "media_type",
    "read_wishes",
]
