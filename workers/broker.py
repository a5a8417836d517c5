"""Where the broker is: its URL, checked and shown without secrets, and whether it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..core.errors import BrokerError, ConfigurationError, did_you_mean

FORMS = "redis://HOST:PORT/0, rediss://HOST:PORT/0 (TLS) or redis+socket:///PATH"
BROKER_VARIABLE = "HETEROSIS_BROKER"

NO_WAITING: Mapping[str, Any] = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""How a connection is made by those who have better things to do than to wait for a broker that is down."""

_TLS_OPTIONS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_CERTIFICATE_CHECKS = ("required", "optional", "none")
# What else a URL may ask of the transport (a provider of credentials, named by its class) would import code.
_OPTIONS: Mapping[str, tuple[str, ...]] = {"redis": (), "rediss": _TLS_OPTIONS, "redis+socket": ("virtual_host",)}


@dataclass(frozen=True)
class Broker:
    """A Redis-protocol server.

    Attributes:
        url: as Celery takes it, with the password; never to be shown.
        tls: options of the TLS connection, or None without TLS.
        where: the URL as it may be shown.
    """

    url: str
    tls: Mapping[str, Any] | None
    where: str

    def __repr__(self) -> str:
        return f"Broker({self.where!r})"


def parse_broker(given: str) -> Broker:
    """Reads the URL of a broker.

    Args:
        given: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`; `rediss://...` for TLS, which checks the server's
            certificate unless `?ssl_cert_reqs=none` and knows `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` (paths) and
            `ssl_check_hostname`; or `redis+socket://[USER:PASSWORD@]/PATH[?virtual_host=DATABASE]`.

    Raises:
        ConfigurationError: it cannot be used as written.
    """
    try:
        parts = urlsplit(given)
        port, query = parts.port, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:  # whose text would show the URL, password and all
        raise ConfigurationError(f"the broker's URL cannot be read; write {FORMS}") from None
    if parts.scheme not in _OPTIONS:
        raise ConfigurationError(
            f"no broker of kind {parts.scheme!r} can be used; write {FORMS}. {did_you_mean(parts.scheme, _OPTIONS)}"
        )
    for name in query:
        if name in _TLS_OPTIONS and parts.scheme != "rediss":
            raise ConfigurationError(f"the broker's URL has {name}, but {parts.scheme}:// is not TLS; write rediss://")
        if name not in _OPTIONS[parts.scheme]:
            raise ConfigurationError(
                f"unknown option {name!r} in the broker's URL. {did_you_mean(name, _OPTIONS[parts.scheme])}"
            )
    named = parts.path if parts.scheme == "redis+socket" else parts.hostname
    if not (named or "").strip("/"):
        raise ConfigurationError(f"the broker's URL names no server; write {FORMS}")
    secret = _credentials(parts.username, parts.password)
    address = f"{_host(parts.hostname)}{f':{port}' if port else ''}{parts.path}"
    if parts.scheme == "redis+socket" and parts.query:
        address += f"?{parts.query}"
    hidden = _credentials(parts.username, parts.password and "***")
    return Broker(
        url=f"{parts.scheme}://{secret}{address}",
        tls=_tls(query) if parts.scheme == "rediss" else None,
        where=f"{parts.scheme}://{hidden}{address}",
    )


def broker_of(given: str | None) -> Broker:
    """The broker that was named, or else that of the environment.

    Raises:
        ConfigurationError: there is none, it cannot be used, or Celery is not installed.
    """
    require_celery()
    named = given or os.environ.get(BROKER_VARIABLE)
    if not named:
        raise ConfigurationError(
            f"no broker is named: set {BROKER_VARIABLE} to its URL ({FORMS}). `heterosis up` starts one on this machine"
        )
    return parse_broker(named)


def require_celery() -> None:
    """Raises ConfigurationError, which says what to install, where Celery or its client of Redis is missing."""
    missing = [name for name in ("celery", "redis") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"a broker needs {missing[0]}, which is missing: pip install 'heterosis[celery]'")


def check_reachable(broker: Broker) -> None:
    """Asks the broker whether it is there.

    Raises:
        BrokerError: it does not answer; with what to do.
        ConfigurationError: it refuses the user or the password, or Celery is not installed.
    """
    require_celery()
    import redis
    from kombu import Connection
    from kombu.exceptions import OperationalError

    options = {"socket_connect_timeout": 5, "socket_timeout": 5}
    connection = Connection(broker.url, ssl=broker.tls or False, transport_options=options)
    try:
        connection.ensure_connection(**NO_WAITING)
    except (OperationalError, redis.exceptions.RedisError, OSError) as error:
        if isinstance(error.__cause__, redis.exceptions.AuthenticationError):
            raise ConfigurationError(
                f"the broker {broker.where} refuses the user or the password ({error}); correct the URL in "
                f"{BROKER_VARIABLE}"
            ) from error
        raise BrokerError(
            f"the broker {broker.where} does not answer ({error}); start it, or correct the URL in {BROKER_VARIABLE}. "
            "`heterosis up` starts one on this machine"
        ) from error
    finally:
        connection.release()


def _credentials(user: str | None, password: str | None) -> str:
    """`USER:PASSWORD@`, from the parts of a URL as they stand there."""
    if not user and not password:
        return ""
    return f"{user or ''}{f':{password}' if password else ''}@"


def _host(name: str | None) -> str:
    return f"[{name}]" if name and ":" in name else name or ""


def _tls(query: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = dict(query)
    # Celery would not check the certificate if nobody asked it to.
    checks = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if checks not in _CERTIFICATE_CHECKS:
        raise ConfigurationError(
            f"ssl_cert_reqs={options['ssl_cert_reqs']!r} in the broker's URL is no way to check a certificate. "
            f"{did_you_mean(checks, _CERTIFICATE_CHECKS)}"
        )
    options["ssl_cert_reqs"] = checks
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() != "false"
    elif checks == "none":
        options["ssl_check_hostname"] = False  # there is no name to compare without a certificate that is checked
    return options
