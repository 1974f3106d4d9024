"""Makes node keys known to a SuperLink that takes registered nodes only."""

from __future__ import annotations

from contextlib import suppress

import httpx

from fedforge_runtime.errors import RunFailedError
from fedforge_runtime.federation.superlink import flower
from fedforge_runtime.federation.superlink.address import LinkAddress
from fedforge_runtime.federation.superlink.certificates import CertificateFolder, public_key_bytes
from fedforge_runtime.federation.superlink.driver import control_client


def register_nodes(address: LinkAddress, certificates: CertificateFolder) -> None:
    """Register the public key of each site in the folder; a key that is known already stays as it is.

    Raises:
        RunFailedError: the SuperLink refuses one.
    """
    with control_client(address) as control:
        for site in certificates.nodes:
            key = public_key_bytes(certificates.node_public_key(site))
            try:
                control.RegisterNode(flower.RegisterNodeRequest(public_key=key, name=f"site-{site}"))
            except httpx.HTTPStatusError as error:
                described = None
                with suppress(ValueError):
                    described = flower.FlowerError.from_json(error.response.text)
                if described and described.code == flower.ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
                    continue
                reason = described.message if described else f"HTTP {error.response.status_code}"
                raise RunFailedError(f"the SuperLink at {address} does not register site {site}: {reason}") from error
