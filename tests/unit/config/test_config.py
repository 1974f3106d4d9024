"""A configuration is exactly what was asked for, or one error that names the key and the nearest right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedforge_runtime.config import (
    PHASES,
    PROFILES,
    RunConfig,
    RuntimeConfig,
    change_run_config,
    load_run_config,
    parse_named_argument,
    read_run_config,
    validate_run_config,
)
from fedforge_runtime.config.files import parse_yaml
from fedforge_runtime.errors import ConfigError

FLAGS = {"blood": "bloodmnist", "derma": "dermamnist", "path": "pathmnist"}


# Phase files


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_loads_in_every_profile(phase: str, profile: str) -> None:
    config = load_run_config(phase, profile=profile)

    assert config.phase == phase
    assert config.dataset.flag == FLAGS[phase]


@pytest.mark.parametrize("phase", PHASES)
def test_a_configuration_survives_its_own_file(phase: str, tmp_path: Path) -> None:
    config = load_run_config(phase, profile="tuned", assignments=["runtime.workers=1", "learning.warmup_ratio=0"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())

    assert read_run_config(path) == config
    assert load_run_config(phase, config_file=path) == config


def test_the_defaults_are_the_cpu_safe_profile() -> None:
    learning = load_run_config("blood").learning

    assert learning == load_run_config("blood", profile="cpu-safe").learning
    assert (learning.batch_size, learning.gradient_accumulation_steps, learning.epochs) == (8, 2, 1)
    assert (learning.learning_rate, learning.weight_decay, learning.warmup_ratio) == (5e-4, 0.01, 0.05)
    assert learning.max_gradient_norm == 1.0


# Precedence


def test_each_source_beats_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("learning: {learning_rate: 0.1}\n")
    tuned = load_run_config("blood", profile="tuned")

    rates = [
        load_run_config("blood").learning.learning_rate,
        tuned.learning.learning_rate,
        load_run_config("blood", profile="tuned", config_file=path).learning.learning_rate,
        load_run_config(
            "blood", profile="tuned", config_file=path, options={"learning.learning_rate": 0.2}
        ).learning.learning_rate,
        load_run_config(
            "blood",
            profile="tuned",
            config_file=path,
            options={"learning.learning_rate": 0.2},
            assignments=["learning.learning_rate=0.3"],
        ).learning.learning_rate,
    ]

    assert rates[0] != rates[1]
    assert rates[2:] == [0.1, 0.2, 0.3]


def test_keys_that_a_source_does_not_name_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("federation: {rounds: 3}\n")

    config = load_run_config("blood", config_file=path)

    assert config.federation.rounds == 3
    assert config.federation.model_copy(update={"rounds": 20}) == load_run_config("blood").federation


def test_an_option_that_was_not_given_changes_nothing() -> None:
    assert load_run_config("blood", options={"federation.rounds": None}) == load_run_config("blood")


def test_of_two_assignments_the_later_one_holds() -> None:
    assert load_run_config("blood", assignments=["seed=1", "seed=2"]).seed == 2


def test_parameters_of_another_strategy_are_replaced_and_not_mixed() -> None:
    change = {"federation.strategy": {"name": "fedadam", "parameters": {"eta": 0.1}}}
    document = load_run_config("blood", options=change).model_dump()

    config = change_run_config(document, {"federation.strategy": {"name": "krum", "parameters": {}}}, [])

    assert config.federation.strategy.name == "krum"
    assert config.federation.strategy.parameters == {}


def test_where_sites_bring_their_own_data_nothing_is_spread_over_them(tmp_path: Path) -> None:
    config = load_run_config(
        "blood", options={"partition.clients": 4}, assignments=["federation.site_data=own", "partition.minimum_rows=20"]
    )
    partition = config.partition
    assert (partition.name, partition.parameters, partition.preset) == ("none", {}, None)
    assert (partition.clients, partition.minimum_rows) == (4, 20)
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    assert read_run_config(file) == load_run_config("blood", config_file=file) == config


def test_a_file_replaces_parameters_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("partition: {name: pathological, parameters: {classes_per_client: 2}}\n")

    assert load_run_config("blood", config_file=path).partition.parameters == {"classes_per_client": 2}


# Numbers in YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-3", 0.005), ("5E-3", 0.005), ("1e3", 1000.0), ("-2.5e+1", -25.0), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0),
        ("7", 7), ("-7", -7), ("true", True), ("null", None), ("phantom", "phantom"), ("'5e-3'", "5e-3"),
        ("e3", "e3"), ("1e", "1e"), ("2026-11-24x", "2026-11-24x"),
    ],
)  # fmt: skip
def test_a_number_is_what_everybody_expects(text: str, value: Any) -> None:
    parsed = parse_yaml(text, origin="here")

    assert parsed == value
    assert type(parsed) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_every_number_that_python_writes_is_read(number: float) -> None:
    parsed = parse_yaml(repr(number), origin="here")

    assert parsed == number
    assert type(parsed) is type(number)


def test_an_assignment_of_5e_minus_3_is_a_number() -> None:
    assert load_run_config("blood", assignments=["learning.learning_rate=5e-3"]).learning.learning_rate == 0.005


# Strictness


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("federation.runds=3", "unknown key 'federation.runds'. Did you mean 'rounds'?"),
        ("lerning.epochs=3", "unknown key 'lerning'. Did you mean 'learning'?"),
        ("sed=3", "unknown key 'sed'. Did you mean 'seed'?"),
        ("federation.strategy.nam=krum", "unknown key 'federation.strategy.nam'. Did you mean 'name'?"),
        ("federation.rounds=0", "federation.rounds: input should be greater than or equal to 1, not 0"),
        ("federation.rounds=three", "federation.rounds: input should be a valid integer, not 'three'"),
        ("federation.rounds='3'", "federation.rounds: input should be a valid integer, not '3'"),
        ("federation.rounds=3.5", "federation.rounds: input should be a valid integer, not 3.5"),
        ("federation.rounds=true", "federation.rounds: input should be a valid integer, not True"),
        ("learning.learning_rate=.nan", "learning.learning_rate: input should be a finite number"),
        ("learning.learning_rate=.inf", "learning.learning_rate: input should be a finite number"),
        ("learning.standardise=1", "learning.standardise: input should be a valid boolean, not 1"),
        ("dataset.size=32", "dataset.size: input should be 28, 64, 128 or 224, not 32"),
        ("dataset.flag=retinamnist", "dataset.flag: input should be 'bloodmnist', 'dermamnist' or 'pathmnist'"),
        ("seed=-1", "seed: input should be greater than or equal to 0, not -1"),
        ("seed=2147483648", "seed: input should be less than 2147483648, not 2147483648"),
        ("version=2", "version: input should be 1, not 2"),
        ("federation.clients_per_round=11", "federation.clients_per_round is 11, but there are 10 clients"),
        ("federation.minimum_clients=11", "federation.minimum_clients is 11, but 10 take part"),
        ("seed.value=3", "seed.value: 'seed' is a value and has no keys below it"),
    ],
)
def test_a_wrong_assignment_is_refused_by_name(assignment: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_run_config("blood", assignments=[assignment])

    assert problem in str(refused.value)


def test_an_unknown_key_with_nothing_near_lists_what_is_known() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'dataset.zzz'\. Known: flag, size, source, limit"):
        load_run_config("blood", assignments=["dataset.zzz=1"])


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        load_run_config("blood", assignments=["federation.rounds=0", "seed=-1", "learning.epocs=1"])

    for part in ("federation.rounds", "seed", "learning.epocs"):
        assert part in str(refused.value)


@pytest.mark.parametrize("assignment", ["rounds", "=3", ""])
def test_an_assignment_without_key_or_value_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match="is not KEY=VALUE"):
        load_run_config("blood", assignments=[assignment])


def test_a_value_may_hold_an_equals_sign() -> None:
    assert load_run_config("blood", assignments=["backbone.name=a=b"]).backbone.name == "a=b"


@pytest.mark.parametrize(
    ("phase", "profile", "problem"),
    [
        ("blod", "cpu-safe", "unknown phase 'blod'. Did you mean 'blood'?"),
        ("xyz", "cpu-safe", "unknown phase 'xyz'. Known: blood, derma, path."),
        ("blood", "tunned", "unknown profile 'tunned'. Did you mean 'tuned'?"),
    ],
)
def test_an_unknown_phase_or_profile_is_refused_with_the_nearest(phase: str, profile: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_run_config(phase, profile=profile)

    assert str(refused.value) == problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"phase: derma\n", "is for phase 'derma', not 'blood'"),
        (b"- a list\n", "must be a mapping of keys to values"),
        (b"just text\n", "must be a mapping of keys to values"),
        (b"", "must be a mapping of keys to values"),
        (b"federation: [1\n", "is not valid YAML"),
        (b"\xff\xfe\x00", "cannot read the configuration"),
        (b"federation: {rounds: 3, ronds: 4}\n", "unknown key 'federation.ronds'. Did you mean 'rounds'?"),
        (b"federation: 3\n", "federation"),
    ],
)
def test_a_wrong_file_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as refused:
        load_run_config("blood", config_file=path)

    assert problem in str(refused.value)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_run_config("blood", config_file=tmp_path / name)


def test_a_file_cannot_make_objects(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("phase: !!python/object/apply:os.system ['true']\n")

    with pytest.raises(ConfigError, match="is not valid YAML"):
        load_run_config("blood", config_file=path)


def test_a_configuration_cannot_be_changed() -> None:
    config = load_run_config("blood")

    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_a_document_without_a_phase_is_refused() -> None:
    document = yaml.safe_load(load_run_config("blood").to_yaml())
    del document["phase"]

    with pytest.raises(ConfigError, match="phase: field required"):
        validate_run_config(document)


# Small parts


@given(cores=st.integers(1, 64), clients=st.integers(1, 64), workers=st.none() | st.integers(1, 64))
def test_workers_are_one_a_core_unless_said_otherwise_and_never_more_than_clients(
    cores: int, clients: int, workers: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedforge_runtime.config.sections.usable_cores", lambda: cores)

        assert RuntimeConfig(workers=workers).worker_count(clients) == min(workers or cores, clients)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("iid", ("iid", None)), ("dirichlet:0.5", ("dirichlet", "0.5")), ("a:b:c", ("a", "b:c")), ("a:", ("a", ""))],
)
def test_a_name_may_carry_an_argument(text: str, parts: tuple[str, str | None]) -> None:
    assert parse_named_argument(text) == parts


def test_every_key_has_a_default_or_is_in_every_phase_file() -> None:
    needed = {name for name, field in RunConfig.model_fields.items() if field.is_required()}

    assert needed == {"phase", "dataset"}


# Sites


@pytest.mark.parametrize(
    ("text", "sites"),
    [("2,3,4", (2, 3, 4)), ("[4, 2]", (2, 4)), ("7", (7,)), ("'0, 2'", (0, 2)), ("null", tuple(range(10)))],
)
def test_the_sites_of_a_run_are_those_it_names_else_all_of_its_clients(text: str, sites: tuple[int, ...]) -> None:
    config = load_run_config("blood", assignments=[f"federation.sites={text}", "federation.minimum_clients=1"])

    assert config.sites == sites
    assert read_back(config).sites == sites


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["federation.sites=2,2"], "names 2 twice"),
        (["federation.sites=berlin,berlin"], "names berlin twice"),
        (["federation.sites=-1,2"], "'-1' is no site; they are numbered from 0"),
        (["federation.sites=[-1, 2]"], "-1 is no site"),
        (["federation.sites=[]"], "names no site"),
        (["federation.sites=1,,2"], "names no site"),
        (["federation.sites=9,10"], "names site 10, but the partition has sites 0 to 9"),
        (["federation.sites=1,2", "federation.minimum_clients=3"], "minimum_clients is 3, but 2 take part"),
        (["federation.sites=1,2", "federation.clients_per_round=3"], "clients_per_round is 3, but there are 2 clients"),
    ],
)
def test_sites_that_cannot_be_are_refused(assignments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_run_config("blood", assignments=assignments)


def test_sites_with_data_of_their_own_may_have_any_numbers() -> None:
    config = load_run_config("blood", assignments=["federation.site_data=own", "federation.sites=20,31"])

    assert config.sites == (20, 31)


def test_a_name_is_no_number_before_a_superlink_was_asked() -> None:
    config = load_run_config("blood", assignments=["federation.sites=berlin,2"])

    with pytest.raises(ConfigError, match="which number the site 'berlin' has") as refused:
        _ = config.sites
    assert "--superlink" in refused.value.remedy


def read_back(config: RunConfig) -> RunConfig:
    return RunConfig.model_validate(yaml.safe_load(config.to_yaml()))
