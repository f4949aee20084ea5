"""Figures of every request, sent to databases elsewhere: InfluxDB, Akumuli, MongoDB.

Never in the request's way: a request leaves a note in a bounded queue, and what does not fit is
dropped and counted. What a note means (whose address that is, and where on earth) is found out when
a batch is made of it, in a thread.
"""

from parparchik.sinks.sinks import Sinks

__all__ = ["Sinks"]
