"""`parparchik site`: s3-proxy's command line makes settings of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parparchik.cli import serve
from parparchik.config import Config, SiteConfig, StaticKeys
from parparchik.config.model import SinkConfig
from tests.cli.moto_buckets import Command

SECRET = "s3-proxy-secret-access-key"


class Served:
    """What the command would serve."""

    def __init__(self) -> None:
        self.config: Config | None = None
        self.environ: dict[str, str] = {}
        self.warnings: tuple[str, ...] = ()
        self.reread: Any = None

    async def serve(self, config: Config, environ: dict[str, str], **told: Any) -> None:
        self.config, self.environ = config, dict(environ)
        self.warnings, self.reread = tuple(told["warnings"]), told["reread"]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    taken = Served()
    monkeypatch.setattr(serve, "serve_requests", taken.serve)
    return taken


def run(
    command: Command, served: Served, line: str, environ: dict[str, str] | None = None
) -> Config:
    result = command(f"site {line}", environ)
    assert result.exit_code == 0, result.output
    assert served.config is not None
    return served.config


def test_the_command_line_of_s3_proxy_s_image(command: Command, served: Served) -> None:
    config = run(
        command,
        served,
        "--console true --dir /opt/spt/logs/ --ttl 300 --cache-dir /opt/spt/data --port 8000"
        f" --threads 8 --region eu-west-1 --bucket www --key AKIA --secret {SECRET}"
        " --auth-key a-long-bearer-token --mmdb-host mmdb --mmdb-port 8010 --akumuli-host tsdb"
        " --akumuli-metric-prefix web --akumuli-port 8283",
    )
    assert config.sites == (
        SiteConfig("www", ttl_s=300.0, negative_ttl_s=300.0, auth_key="a-long-bearer-token"),
    )
    assert config.buckets == ()
    (other,) = config.other_buckets
    assert (other.bucket.name, other.endpoint.region, other.mode) == ("www", "eu-west-1", "off")
    assert config.server.port == 8000
    assert config.cache.directory == Path("/opt/spt/data")
    assert (config.log.directory, config.log.console) == (Path("/opt/spt/logs/"), True)
    assert config.sinks.sinks == (SinkConfig("akumuli", "tcp://tsdb:8283", name="web"),)
    assert served.environ["AWS_ACCESS_KEY_ID"] == "AKIA"
    assert served.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
    told = " ".join(served.warnings)
    for name in ("--threads", "--mmdb-host", "--mmdb-port"):
        assert f"{name} is ignored: " in told
    assert "--secret can be seen by everybody on this machine: set AWS_SECRET_ACCESS_KEY" in told
    assert SECRET not in told + repr(config)
    assert served.reread().config == config


def test_its_short_options(command: Command, served: Served) -> None:
    config = run(
        command,
        served,
        "-c true -o /logs/ -t 60 -d /data -p 81 -n 4 -r eu-west-1 -b www -k AKIA"
        f" -s {SECRET} -a a-long-bearer-token -j true -l warn -f mongodb://db -g d -i c",
    )
    (site,) = config.sites
    assert (site.ttl_s, site.reject_query_strings) == (60.0, True)
    assert (config.server.port, config.log.level) == (81, "warning")
    assert config.sinks.sinks == (SinkConfig("mongodb", "mongodb://db", name="c", database="d"),)


def test_little_is_enough(command: Command, served: Served) -> None:
    config = run(command, served, "--bucket www")
    assert config.sites == (SiteConfig("www", ttl_s=300.0, negative_ttl_s=300.0),)
    assert config.server.port == 8000
    assert config.cache.directory is None
    assert config.sinks.sinks == ()
    assert served.warnings == ()


def test_a_flag_with_and_without_its_value(command: Command, served: Served) -> None:
    for line, expected in (
        ("--reject-query-strings --bucket www", True),
        ("--bucket www --reject-query-strings", True),
        ("--reject-query-strings false --bucket www", False),
    ):
        assert run(command, served, line).sites[0].reject_query_strings is expected


def test_secrets_come_from_the_environment_too(command: Command, served: Served) -> None:
    environ = {
        "S3_BUCKET": "www",
        "AWS_KEY": "AKIA",
        "AWS_SECRET": SECRET,
        "AUTH_KEY": "a-long-bearer-token",
        "AWS_SESSION_TOKEN": "somebody-elses",
        "AWS_PROFILE": "somebody-elses",
    }
    config = run(command, served, "--endpoint minio:9000", environ)
    assert config.sites[0].auth_key == "a-long-bearer-token"
    assert config.other_buckets[0].endpoint.url == "http://minio:9000"
    assert served.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
    assert "AWS_SESSION_TOKEN" not in served.environ
    assert "AWS_PROFILE" not in served.environ
    assert served.warnings == ()


def test_estrois_s_names_for_keys_are_known_here_too(command: Command, served: Served) -> None:
    environ = {"S3_ACCESS_KEY": "id", "S3_SECRET_KEY": SECRET}
    config = run(command, served, "--bucket www", environ)
    assert config.other_buckets[0].endpoint.keys == StaticKeys("id", SECRET)


@pytest.mark.parametrize(
    ("environ", "toml", "line", "port"),
    [
        ({}, "", "", 8000),
        ({"PARPARCHIK_PORT": "81"}, "", "", 81),
        ({"PARPARCHIK_PORT": "81"}, "", "--port 82", 82),
        ({}, "[server]\nport = 83\n", "", 83),
        ({}, "[log]\nlevel = 'error'\n", "", 8080),
    ],
)
def test_the_port(
    command: Command,
    served: Served,
    tmp_path: Path,
    environ: dict[str, str],
    toml: str,
    line: str,
    port: int,
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(toml)
    options = f"{line} --config {file}" if toml else line
    assert run(command, served, f"--bucket www {options}", environ).server.port == port


def test_all_that_a_site_may_be_told(command: Command, served: Served) -> None:
    config = run(
        command,
        served,
        "--bucket www --prefix built --index i.htm --error 404.html --spa app.html --ttl 1m"
        " --negative-ttl 5s --clean-urls --listing --precompressed --influx-url http://tsdb/write"
        " --workers 2 --host 127.0.0.1 --log-level critical",
    )
    assert config.sites == (
        SiteConfig(
            "www",
            prefix="built/",
            index="i.htm",
            error="404.html",
            spa="app.html",
            ttl_s=60.0,
            negative_ttl_s=5.0,
            clean_urls=True,
            listing=True,
            precompressed=True,
        ),
    )
    assert config.sinks.sinks == (SinkConfig("influx", "http://tsdb/write"),)
    assert (config.server.workers, config.server.host) == (2, "127.0.0.1")
    assert config.log.level == "error"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "Missing option '--bucket'"),
        ("--bucket www --ttl soon", "--ttl: expected seconds"),
        ("--bucket www --listing maybe", "--listing: expected true or false"),
        ("--bucket W.W", "--bucket: 'W.W' is no bucket name: AWS"),
        ("--bucket www --akumuli-host tsdb/x", "the sink of the command line: expected a"),
        (f"--bucket www --mongo-uri nothing:{SECRET}", "the sink of the command line: expected a"),
        (f"--bucket www --secret {SECRET}", "AWS_SECRET_ACCESS_KEY only one is set"),
    ],
)
def test_what_cannot_work_names_the_option(
    command: Command, served: Served, line: str, told: str
) -> None:
    result = command(f"site {line}")
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.output
    assert served.config is None
