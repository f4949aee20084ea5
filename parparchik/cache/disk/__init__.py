"""The disk tier of the cache: pieces of objects in files, the least recently used deleted first.

What is decided is decided on the event loop, at once and from memory: the index says which pieces
there are, and nothing that is not in it can be served. The disk follows by two ways. Bytes are
written by several threads, each to a file that nobody knows yet. Names are given and taken away by
one lane, in the order in which that was decided, so that no old file ever stands where a newer one
should.

    save -> room reserved -> written and synced in tmp/ -> named -> in the index
    forget -> out of the index -> its name taken away -> written down for good (`settle`)
    eviction -> out of the index -> its name taken away

A file says itself which piece of which generation of which object it is, and what its bytes hash
to. After a start everything found is looked into before it is used, and its bytes are hashed when
it is first opened: nothing that a crash may leave can be served.
"""

from parparchik.cache.disk.handles import IDLE_MAX
from parparchik.cache.disk.parts import DiskParts, check_directory, discard_directory, part_of
from parparchik.cache.disk.statistics import DROPPED, DiskStatistics, Dropped
from parparchik.cache.disk.store import DiskStore

__all__ = [
    "DROPPED",
    "IDLE_MAX",
    "DiskParts",
    "DiskStatistics",
    "DiskStore",
    "Dropped",
    "check_directory",
    "discard_directory",
    "part_of",
]
