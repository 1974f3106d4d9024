"""One place knows every path, and refuses names that would leave it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedforge_runtime.errors import ConfigError, StorageError
from fedforge_runtime.storage.home import Home, RunFolder, check_run_id


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True))
def test_a_plain_name_is_a_run_id_and_stays_below_the_runs(run_id: str) -> None:
    home = Home(Path("/home"))

    assert check_run_id(run_id) == run_id
    assert home.run(run_id).path.parent == home.runs
    assert home.run(run_id).run_id == run_id


@pytest.mark.parametrize(
    "run_id",
    ["", ".", "..", "../other", "a/b", "a\\b", "/absolute", ".hidden", "-option", "_x", "a b", "a\n", "a\0", "ä",
     "a" * 65],
)  # fmt: skip
def test_any_other_name_is_refused(run_id: str) -> None:
    with pytest.raises(ConfigError, match="is not a plain name") as refused:
        check_run_id(run_id)
    assert "1 to 64 letters" in refused.value.remedy


@given(st.text(max_size=70))
def test_a_run_id_never_leaves_the_folder_of_runs(text: str) -> None:
    home = Home(Path("/home"))
    try:
        folder = home.run(text)
    except ConfigError:
        return
    assert folder.path.resolve().parent == home.runs


def test_the_option_comes_before_the_variable_and_the_variable_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDFORGE_HOME", str(tmp_path / "variable"))
    assert Home.resolve(tmp_path / "option").root == tmp_path / "option"
    assert Home.resolve(None).root == tmp_path / "variable"

    monkeypatch.setenv("FEDFORGE_HOME", "")
    assert Home.resolve(None).root == tmp_path / ".fedforge"

    monkeypatch.delenv("FEDFORGE_HOME")
    assert Home.resolve(None).root == tmp_path / ".fedforge"
    assert Home.resolve(Path("relative")).root == tmp_path / "relative"


def test_the_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert Home.resolve(Path("~/fedforge")).root == tmp_path / "fedforge"


def test_a_home_that_can_be_written_is_accepted_and_not_made(tmp_path: Path) -> None:
    Home(tmp_path / "new" / "home").require_writable()

    assert list(tmp_path.iterdir()) == []


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="is not a writable folder") as refused:
        Home(tmp_path / "file" / "home").require_writable()
    assert "--home DIR" in refused.value.remedy


def test_a_read_only_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere

    with pytest.raises(StorageError, match="cannot be written"):
        Home(tmp_path).require_writable()


def test_a_run_exists_once_it_has_a_configuration(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert not folder.exists()

    folder.path.mkdir()
    assert not folder.exists()

    folder.config.write_text("")
    assert folder.exists()
