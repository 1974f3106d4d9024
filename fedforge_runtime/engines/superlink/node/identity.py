"""A node's key pair: the one that an operator registered, or one of its own that it keeps over restarts."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedforge_runtime.engines.superlink.certificates import load_node_key
from fedforge_runtime.engines.superlink.node.fleet import NodeKeys
from fedforge_runtime.storage.artifacts import write_atomically


def node_identity(registered: Path | None, own: Path) -> NodeKeys:
    """Private and public key: of the file `registered`, else of `own`, which is made when absent.

    Raises:
        ConfigError: the file holds no such key, or others may read it.
    """
    if registered is None and not own.exists():
        content = ec.generate_private_key(ec.SECP384R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        write_atomically(own, content, private=True)
    return load_node_key(registered or own)
