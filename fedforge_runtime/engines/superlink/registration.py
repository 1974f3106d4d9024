"""Which key is which site's: made known to a SuperLink that takes registered nodes only, and asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from fedforge_runtime.config import RunConfig, validate_run_config
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.superlink.app.driver import control_client, node_states
from fedforge_runtime.engines.superlink.certificates import CertificateFolder
from fedforge_runtime.engines.superlink.key_names import TAKEN_BACK, key_name, site_numbers, site_of
from fedforge_runtime.errors import ConfigError, RunFailedError
from fedforge_runtime.flower import protocol
from fedforge_runtime.wording import suggest

_ANEW = (
    "A SuperLink never takes a key twice: give that site a new one, or end the federation, remove "
    "federation/superlink.db of its home and start it again."
)


def register_nodes(address: LinkAddress, certificates: CertificateFolder) -> None:
    """Register the key of each site in the folder as that site's, and take back those of sites that are not in it.

    A key that is registered for its site already stays as it is, with the name that the site had then.

    Raises:
        ConfigError: the folder does not say which key is which site's.
        RunFailedError: the SuperLink refuses one, or has it as another site's.
    """
    wanted = {site.public_key_pem: site for site in certificates.sites}
    known = {bytes(info.public_key): info for info in node_states(address) if info.status != TAKEN_BACK}
    for key, site in wanted.items():
        bound = site_of(known[key].name) if key in known else site.site
        if bound != site.site:
            raise RunFailedError(
                f"the key of site {site.site} is registered at {address} as {known[key].name or 'nobody'}'s.",
                remedy=_ANEW,
            )
    with control_client(address) as control:
        for key in known.keys() - wanted.keys():
            if site_of(known[key].name) is not None:
                forgotten = protocol.UnregisterNodeRequest(node_id=known[key].node_id)
                _call(address, f"take back the key of {known[key].name}", control.UnregisterNode, forgotten)
        for key, site in wanted.items():
            if key not in known:
                request = protocol.RegisterNodeRequest(public_key=key, name=key_name(site))
                _call(address, f"register the key of {key_name(site)}", control.RegisterNode, request)


def number_sites(config: RunConfig, address: LinkAddress) -> RunConfig:
    """The same configuration with the numbers of sites that are named.

    Args:
        address: of the SuperLink that knows the names.

    Raises:
        ConfigError: there is no such site.
        RunFailedError: the SuperLink cannot be reached.
    """
    sites = config.federation.sites or ()
    if not any(isinstance(site, str) for site in sites):
        return config
    numbers = site_numbers(node_states(address))
    unknown = [site for site in sites if isinstance(site, str) and site not in numbers]
    if unknown:
        remedy = suggest(unknown[0], numbers) if numbers else "Its keys have no names: give the numbers of the sites."
        raise ConfigError(f"the federation at {address} has no site {unknown[0]!r}.", remedy=remedy)
    document = config.model_dump(mode="json")
    document["federation"]["sites"] = [numbers[site] if isinstance(site, str) else site for site in sites]
    return validate_run_config(document)


def _call(address: LinkAddress, what: str, method: Callable[[Any], object], request: Any) -> None:
    try:
        method(request)
    except httpx.HTTPStatusError as error:
        described = protocol.FlowerError.from_json(error.response.text)
        reason = described.message if described else f"HTTP {error.response.status_code}"
        in_use = described is not None and described.code == protocol.ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE
        raise RunFailedError(
            f"the SuperLink at {address} does not {what}: {reason.rstrip('.')}.", remedy=_ANEW if in_use else ""
        ) from error
