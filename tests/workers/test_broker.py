"""URLs of brokers: what is accepted, what Celery is given, and that nothing secret is shown."""

import pytest
from heterosis.core.errors import BrokerError, ConfigurationError
from heterosis.workers.broker import broker_of, check_reachable, parse_broker
from heterosis.workers.celery_app import make_app
from heterosis.workers.celery_publisher import Publisher
from hypothesis import given
from hypothesis import strategies as st


def _connection(url):
    """What Celery makes of it: the arguments of the Redis client's connection."""
    broker = parse_broker(url)
    connection = make_app(broker).connection_for_read()
    channel_type = connection.transport.Channel
    channel = object.__new__(channel_type)
    channel.connection = connection.transport
    return connection, channel._connparams()


def test_celery_connects_as_the_url_says():
    connection, arguments = _connection("redis://me:p%2Fw@somewhere:7000/3")
    assert (connection.hostname, connection.port) == ("somewhere", 7000)
    assert (arguments["username"], arguments["password"], arguments["db"]) == ("me", "p/w", 3)


def test_a_socket_is_a_path():
    _, arguments = _connection("redis+socket://:p%2Fw@/run/heterosis/valkey.sock?virtual_host=2")
    assert arguments["path"] == "/run/heterosis/valkey.sock"
    assert (arguments["password"], arguments["db"]) == ("p/w", 2)


def test_options_of_tls_are_passed_through():
    url = "rediss://me:pw@somewhere:6380/0?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem"
    _, arguments = _connection(url)
    assert arguments["ssl_ca_certs"] == "/ca.pem"
    assert (arguments["ssl_certfile"], arguments["ssl_keyfile"]) == ("/c.pem", "/k.pem")
    assert "SSL" in arguments["connection_class"].__name__


def test_certificates_are_checked_unless_somebody_says_otherwise():
    assert parse_broker("rediss://somewhere").tls == {"ssl_cert_reqs": "required"}
    assert parse_broker("rediss://somewhere?ssl_cert_reqs=CERT_NONE").tls["ssl_cert_reqs"] == "none"
    assert parse_broker("redis://somewhere").tls is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://somewhere", "no broker of kind 'amqp'"),
        ("redi://somewhere", "Did you mean 'redis'"),
        ("somewhere:6379", "write redis://HOST"),
        ("redis://somewhere:port", "cannot be read"),
        ("redis://", "names no server"),
        ("redis+socket://", "names no server"),
        ("redis://somewhere?ssl_cert_reqs=none", "write rediss://"),
        ("rediss://somewhere?ssl_cert_reqs=maybe", "no way to check a certificate"),
        ("rediss://somewhere?ssl_ca_cert=x", "Did you mean 'ssl_ca_certs'"),
        ("redis://somewhere?credential_provider=os.system", "unknown option 'credential_provider'"),
    ],
)
def test_what_cannot_be_used_is_refused(url, reason):
    with pytest.raises(ConfigurationError, match=reason):
        parse_broker(url)


@pytest.mark.parametrize("form", ["redis://{}@h:1/0", "rediss://{}@h:1/0?ssl_cert_reqs=none", "redis+socket://{}@/s"])
@given(password=st.text("abcdefgh%2F+:/@ ", min_size=6).map(lambda text: "".join(text.split()) + "secret!"))
def test_no_password_is_ever_shown(form, password):
    from urllib.parse import quote

    url = form.format(f"user:{quote(password, safe='')}")
    broker = parse_broker(url)
    assert quote(password, safe="") in broker.url
    for shown in (broker.where, repr(broker), str(broker)):
        assert "secret!" not in shown
        assert quote("secret!") not in shown


def test_a_url_that_cannot_be_read_is_not_shown_either():
    with pytest.raises(ConfigurationError) as raised:
        parse_broker("redis://me:hunter2@somewhere:notaport")
    assert "hunter2" not in f"{raised.value!r} {raised.value.__cause__!r}"


def test_the_environment_names_the_broker_and_nobody_is_an_error(monkeypatch):
    monkeypatch.setenv("HETEROSIS_BROKER", "redis://from-the-environment")
    assert broker_of(None).where == "redis://from-the-environment"
    assert broker_of("redis://named").where == "redis://named"
    monkeypatch.delenv("HETEROSIS_BROKER")
    with pytest.raises(ConfigurationError, match="set HETEROSIS_BROKER"):
        broker_of(None)


@pytest.mark.server
def test_a_broker_that_is_down_is_an_error_that_says_what_to_do(valkey):
    broker = parse_broker(valkey.url)
    check_reachable(broker)
    publisher = Publisher(broker)
    publisher.publish([("a", "any")])
    valkey.kill()
    with pytest.raises(BrokerError, match="start it"):
        check_reachable(broker)
    for _ in range(2):
        with pytest.raises(BrokerError, match="Nothing is lost"):
            publisher.publish([("b", "any")])
    valkey.start()
    publisher.publish([("c", "any")])
    publisher.close()


@pytest.mark.server
def test_a_broker_that_hangs_does_not_hold_the_publisher_up(valkey):
    import time

    publisher = Publisher(parse_broker(valkey.url))
    publisher.publish([("a", "any")])
    valkey.freeze()
    for _ in range(2):
        begun = time.monotonic()
        with pytest.raises(BrokerError):
            publisher.publish([("b", "any")])
        assert time.monotonic() - begun < 30  # without timeouts it would never end
    valkey.thaw()
    publisher.publish([("c", "any")])
    publisher.close()


@pytest.mark.server
def test_a_wrong_password_is_an_error_of_the_url(valkey):
    import redis

    redis.Redis(port=valkey.port).config_set("requirepass", "right")
    where = valkey.url.removeprefix("redis://")
    check_reachable(parse_broker(f"redis://:right@{where}"))
    for url in (f"redis://:wrong@{where}", valkey.url):
        with pytest.raises(ConfigurationError, match="refuses the user or the password"):
            check_reachable(parse_broker(url))
