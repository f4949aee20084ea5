"""A bucket as a website: paths to keys, and what stands in where there is no such key.

What may answer a path is a list of steps that depends on the settings and the request alone
(`steps`); the first that is not absent is the answer. What S3 could not tell is never an absence,
so it ends the list too, as an error. How an object becomes an answer is the delivery's concern.
"""

from parparchik.site.site import Site

__all__ = ["Site"]
