"""parparchik: the front door to S3."""

__version__ = "0.1.0"
