"""Where the keys for signing come from, and how they stay valid.

A *source* is one place that AWS's tools look at: the environment, a profile, a web identity token,
a container's endpoint, the instance's metadata service. A *store* holds what the first source that
is set up has answered, hands it out without waiting, and renews it in the background. Nothing here
reads the process's environment: it is handed in.
"""

from parparchik.s3.credentials.store import CredentialStatus, CredentialStore
from parparchik.s3.credentials.stores import CredentialStores

__all__ = ["CredentialStatus", "CredentialStore", "CredentialStores"]
