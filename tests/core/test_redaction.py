"""Secrets in any text: canaries go in and do not come out."""

import pytest
from heterosis.core.redaction import redacted, without_secrets

CANARY = "kanarienvogel"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"redis://:{CANARY}@host:6379/0", "redis://:***@host:6379/0"),
        (f"cannot reach rediss://worker:{CANARY}@host, try again", "cannot reach rediss://worker:***@host, try again"),
        (f"postgresql://me:{CANARY}/x@y@host/db", "postgresql://me:***@host/db"),
        (f"postgresql+psycopg://me@host/db?sslpassword={CANARY}&sslmode=require", None),
        (f"connection to host failed: password={CANARY} user=me", "connection to host failed: password=*** user=me"),
        (f"{{'password': '{CANARY}', 'user': 'me'}}", "{'password': '***', 'user': 'me'}"),
        (f"GET /v1?token={CANARY}&page=2", "GET /v1?token=***&page=2"),
        (f"Authorization: Bearer {CANARY}", "Authorization: Bearer ***"),
        ("hf_kanarienvogelkanarienvogel was refused", "*** was refused"),
        (f"a redis://:{CANARY}@one\nb redis://:{CANARY}@two", "a redis://:***@one\nb redis://:***@two"),
    ],
)
def test_a_canary_does_not_come_out(text, shown):
    found = without_secrets(text)
    assert "kanarienvogel" not in found
    if shown is not None:
        assert found == shown


@pytest.mark.parametrize(
    "text",
    [
        "redis://host:6379/0",
        "postgresql://me@host/studies",
        "token: 17 of 20, key=value, max tokens=12",
        "the user gave no password: set PGPASSWORD",
        "hf_transfer is not installed",
        "https://example.org/a:b and someone@example.org",
    ],
)
def test_what_is_no_secret_stays(text):
    assert without_secrets(text) == text


def test_the_environments_secrets_are_known_by_themselves(monkeypatch):
    monkeypatch.setenv("HETEROSIS_BROKER", f"redis://:{CANARY}%21@host/0")
    monkeypatch.setenv("HF_TOKEN", "wellensittich")
    said = f"the server said: {CANARY}! is not {CANARY}%21, nor wellensittich"
    assert without_secrets(said) == "the server said: *** is not ***, nor ***"


def test_values_within_values():
    given = {"url": f"redis://:{CANARY}@host", "more": [{"a": (f"password={CANARY}", 3, None, 0.5)}]}
    assert redacted(given) == {"url": "redis://:***@host", "more": [{"a": ["password=***", 3, None, 0.5]}]}
