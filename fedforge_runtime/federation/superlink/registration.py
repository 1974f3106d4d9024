"""Which key is which site's: made known to a SuperLink that takes registered nodes only, and asked of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx

from fedforge_runtime.config import RunConfig, suggest, validate_run_config
from fedforge_runtime.errors import ConfigError, RunFailedError
from fedforge_runtime.federation.superlink import flower
from fedforge_runtime.federation.superlink.address import LinkAddress
from fedforge_runtime.federation.superlink.certificates import CertificateFolder
from fedforge_runtime.federation.superlink.driver import control_client, node_states
from fedforge_runtime.federation.superlink.key_names import key_name, names_a_site, site_numbers


def register_nodes(address: LinkAddress, certificates: CertificateFolder) -> None:
    """Register the key of each site in the folder as that site's, and forget keys of sites that are no longer there.

    A key that is registered already for its site stays as it is, so that its node keeps its id.

    Raises:
        ConfigError: the folder does not say which key is which site's.
        RunFailedError: the SuperLink refuses one.
    """
    wanted = {site.public_key_pem: key_name(site) for site in certificates.sites}
    with control_client(address) as control:
        known = {bytes(info.public_key): info for info in node_states(address)}
        for key, info in known.items():
            if names_a_site(info.name) and wanted.get(key) != info.name:
                forgotten = flower.UnregisterNodeRequest(node_id=info.node_id)
                _call(address, f"forget the key of {info.name}", control.UnregisterNode, forgotten)
        for key, name in wanted.items():
            if key not in known or known[key].name != name:
                request = flower.RegisterNodeRequest(public_key=key, name=name)
                _call(address, f"register {name}", control.RegisterNode, request)


def number_sites(config: RunConfig, address: LinkAddress | None) -> RunConfig:
    """The same configuration with the numbers of sites that are named.

    Args:
        address: of the SuperLink that knows the names; `None` where the run has none to ask.

    Raises:
        ConfigError: there is no such site, or nobody to ask.
        RunFailedError: the SuperLink cannot be reached.
    """
    sites = config.federation.sites or ()
    if address is None or not any(isinstance(site, str) for site in sites):
        return config
    numbers = site_numbers(node_states(address))
    unknown = [site for site in sites if isinstance(site, str) and site not in numbers]
    if unknown:
        remedy = suggest(unknown[0], numbers) if numbers else "Its keys have no names: give the numbers of the sites."
        raise ConfigError(f"the federation at {address} has no site {unknown[0]!r}.", remedy=remedy)
    document = config.model_dump(mode="json")
    document["federation"]["sites"] = [numbers[site] if isinstance(site, str) else site for site in sites]
    return validate_run_config(document)


def _call(address: LinkAddress, what: str, method: Any, request: Any) -> None:
    try:
        method(request)
    except httpx.HTTPStatusError as error:
        described = None
        with suppress(ValueError):
            described = flower.FlowerError.from_json(error.response.text)
        reason = described.message if described else f"HTTP {error.response.status_code}"
        raise RunFailedError(f"the SuperLink at {address} does not {what}: {reason}") from error
