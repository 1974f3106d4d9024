"""Who gets into a federation: Flower's own SuperLink and SuperNodes with our certificates and keys, for real.

Flower's own nodes end with exit code 1 whatever the reason, and give the reason in their log, with a code of theirs.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from fedforge_runtime.clock import monotonic
from fedforge_runtime.engines.address import free_port
from fedforge_runtime.engines.superlink.certificates import CertificateFolder, make_certificates
from fedforge_runtime.processes.lifeline import TiedProcess
from tests.support.patience import PATIENCE_SECONDS

REGISTERED, UNREGISTERED = 0, 1
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class SecuredLink:
    """A running SuperLink that takes registered nodes only, over TLS, and the nodes that try to get in."""

    certificates: CertificateFolder
    port: int
    control: ControlHttpClient
    node_id: int
    """What the SuperLink calls the registered key."""
    nodes: dict[str, TiedProcess]
    folder: Path

    def known_nodes(self) -> dict[int, str]:
        """Status of every node that the SuperLink knows, by id."""
        return {node.node_id: node.status for node in self.control.ListNodes(ListNodesRequest()).nodes_info}

    def refusal(self, name: str) -> tuple[int, str]:
        """Exit code and log of a node that ended by itself."""
        code = self.nodes[name].wait(PATIENCE_SECONDS)
        return code, (self.folder / f"{name}.log").read_text()


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredLink]:
    folder = tmp_path_factory.mktemp("link")
    certificates = make_certificates(folder / "certificates", hosts=[], nodes=2)
    stranger = make_certificates(folder / "stranger", hosts=[], nodes=0)
    port = free_port()
    trusting, registered_key = ["--root-certificates", str(certificates.ca)], key_option(certificates, REGISTERED)
    attempts = {
        "registered": [*trusting, *registered_key],
        "unregistered": [*trusting, *key_option(certificates, UNREGISTERED)],
        "keyless": trusting,
        "wrong-authority": ["--root-certificates", str(stranger.ca), *registered_key],
        "plain-text": ["--insecure", "--max-retries", "0"],
        "plain-text-with-key": ["--insecure", *registered_key],
    }
    with ExitStack() as stack:

        def start(name: str, *command: str) -> TiedProcess:
            environment = {
                "FLWR_HOME": str(folder / f"{name}-home"),
                "FLWR_TELEMETRY_ENABLED": "0",
                "FLWR_DISABLE_UPDATE_CHECK": "1",
                "NO_COLOR": "1",
            }
            process = TiedProcess(command, environment=environment, log=folder / f"{name}.log")
            stack.callback(process.end)
            return process

        superlink = start(
            "superlink",
            *["flower-superlink", "--host", "127.0.0.1", "--port", str(port), "--isolation", "process"],
            *["--ssl-ca-certfile", str(certificates.ca), "--ssl-certfile", str(certificates.server_certificate)],
            *["--ssl-keyfile", str(certificates.server_key), "--enable-supernode-auth"],
            *["--database", str(folder / "superlink.db"), "--disable-runtime-dependency-installation"],
        )
        wait_until_healthy(superlink, port, certificates)
        control = stack.enter_context(control_client(port, certificates))
        request = RegisterNodeRequest(public_key=certificates.sites[REGISTERED].public_key_pem)
        node_id = control.RegisterNode(request).node_id
        nodes = {
            name: start(
                name,
                *["flower-supernode", "--superlink", f"127.0.0.1:{port}", "--isolation", "process"],
                *["--host", "127.0.0.1", "--port", str(free_port()), *options],
            )
            for name, options in attempts.items()
        }
        yield SecuredLink(certificates, port, control, node_id, nodes, folder)


def key_option(certificates: CertificateFolder, site: int) -> list[str]:
    return ["--auth-supernode-private-key", str(certificates.node_key(site))]


def control_client(port: int, certificates: CertificateFolder) -> Any:
    return ControlHttpClient.from_server_address(
        server_address=f"127.0.0.1:{port}",
        insecure=False,
        root_certificates=str(certificates.ca),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="fedforge")],
    )


def wait_until_healthy(superlink: TiedProcess, port: int, certificates: CertificateFolder) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    deadline = monotonic() + PATIENCE_SECONDS
    with httpx.Client(verify=context, timeout=PATIENCE_SECONDS) as client:
        while True:
            assert superlink.poll() is None, "the SuperLink ended"
            try:
                assert client.get(f"https://127.0.0.1:{port}/health").is_success
                return
            except httpx.TransportError:
                assert monotonic() < deadline, "the SuperLink is not there in time"
                time.sleep(POLL_SECONDS)


def test_a_node_with_a_registered_key_is_let_in(link: SecuredLink) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while link.known_nodes()[link.node_id] != "online":
        assert link.nodes["registered"].poll() is None, "the node ended"
        assert monotonic() < deadline, "the node is not online in time"
        time.sleep(POLL_SECONDS)


def test_a_node_with_an_unregistered_key_is_refused(link: SecuredLink) -> None:
    code, log = link.refusal("unregistered")

    assert code == 1
    assert "Exit Code: 305" in log
    assert "[code: 2004] Failed to activate SuperNode." in log


def test_a_node_without_a_key_cannot_introduce_itself(link: SecuredLink) -> None:
    code, log = link.refusal("keyless")

    assert code == 1
    assert "Exit Code: 305" in log
    assert "[code: 2001] SuperNode authentication is enabled." in log


def test_a_node_that_trusts_another_authority_turns_away(link: SecuredLink) -> None:
    code, log = link.refusal("wrong-authority")

    assert code == 1
    assert "Exit Code: 305" in log
    assert "certificate verify failed: unable to get local issuer certificate" in log


def test_plain_text_gets_no_answer(link: SecuredLink) -> None:
    code, log = link.refusal("plain-text")

    assert code == 1
    assert "Exit Code: 305" in log
    assert "Server disconnected without sending a response." in log or "Connection reset by peer" in log


def test_a_node_does_not_use_its_key_in_plain_text(link: SecuredLink) -> None:
    code, log = link.refusal("plain-text-with-key")

    assert code == 1
    assert "Exit Code: 303" in log


def test_nobody_but_the_registered_node_is_ever_known(link: SecuredLink) -> None:
    for name in set(link.nodes) - {"registered"}:
        link.refusal(name)

    assert set(link.known_nodes()) == {link.node_id}


def test_a_public_key_is_registered_once(link: SecuredLink) -> None:
    request = RegisterNodeRequest(public_key=link.certificates.sites[REGISTERED].public_key_pem)

    with pytest.raises(httpx.HTTPStatusError) as raised:
        link.control.RegisterNode(request)

    assert raised.value.response.status_code == httpx.codes.PRECONDITION_FAILED
    assert set(link.known_nodes()) == {link.node_id}
