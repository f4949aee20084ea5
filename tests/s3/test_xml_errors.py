"""Error bodies and STS answers: what is read of them, and what garbage does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.errors import UpstreamError
from parparchik.s3.sigv4 import Credentials
from parparchik.s3.xml import S3ErrorBody, parse_assume_role, parse_error

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_REDIRECT = (
    _DECLARATION + b"<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting "
    b"to access must be addressed using the specified endpoint.</Message>"
    b"<Endpoint>bucket.s3-eu-west-1.amazonaws.com</Endpoint><Bucket>bucket</Bucket>"
    b"<RequestId>0123</RequestId></Error>"
)
_STS = (
    b'<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    b"<AssumeRoleWithWebIdentityResult><Audience>sts.amazonaws.com</Audience>"
    b"<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>"
    b"<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId>"
    b"<SecretAccessKey>sEcReT/+=</SecretAccessKey><SessionToken>tOkEn</SessionToken>"
    b"<Expiration>2026-05-05T10:00:00Z</Expiration></Credentials>"
    b"</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            _REDIRECT,
            S3ErrorBody(
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified "
                "endpoint.",
                endpoint="bucket.s3-eu-west-1.amazonaws.com",
            ),
        ),
        (
            b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong;\n  expecting "
            b"'eu-west-1'</Message><Region>eu-west-1</Region></Error>",
            S3ErrorBody(
                "AuthorizationHeaderMalformed",
                "wrong; expecting 'eu-west-1'",
                region="eu-west-1",
            ),
        ),
        (
            _DECLARATION + b"<Error><Code>NoSuchKey</Code><Message></Message></Error>",
            S3ErrorBody("NoSuchKey"),
        ),
        (
            b'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            b"<Type>Sender</Type><Code>ExpiredTokenException</Code><Message>Token expired"
            b"</Message></Error><RequestId>1</RequestId></ErrorResponse>",
            S3ErrorBody("ExpiredTokenException", "Token expired"),
        ),
    ],
)
def test_error_bodies(body: bytes, expected: S3ErrorBody) -> None:
    assert parse_error(body) == expected


def test_a_signature_that_s3_echoes_is_not_kept() -> None:
    body = (
        b"<Error><Code>SignatureDoesNotMatch</Code><Message>No match.</Message>"
        b"<AWSAccessKeyId>AKID</AWSAccessKeyId><SignatureProvided>f00d</SignatureProvided>"
        b"<StringToSign>AWS4-HMAC-SHA256</StringToSign></Error>"
    )
    assert "f00d" not in repr(parse_error(body))


def test_a_message_without_end_is_cut() -> None:
    error = parse_error(b"<Error><Code>C</Code><Message>" + b"x" * 100_000 + b"</Message></Error>")
    assert error is not None
    assert error.message == "x" * len(error.message)
    assert 100 < len(error.message) < 1000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Bad Gateway",
        b"<html><head><title>502 Bad Gateway</title></head></html>",
        b"<!DOCTYPE html><html><body>502</body></html>",
        b'<!DOCTYPE Error [<!ENTITY e "x">]><Error><Code>&e;</Code></Error>',
        b'{"Code": "NoSuchKey"}',
        b"<Error></Error>",
        b"<Error><Code> </Code></Error>",
        b"<Error><Code>NoSuchKey</Code>",
        b"<Errors><Error><Code>NoSuchKey</Code></Error></Errors>",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_error_body(body: bytes) -> None:
    assert parse_error(body) is None


@given(st.binary(max_size=100), st.integers(0, len(_REDIRECT)), st.integers(0, len(_REDIRECT)))
def test_garbage_raises_nothing(garbage: bytes, start: int, end: int) -> None:
    error = parse_error(_REDIRECT[:start] + garbage + _REDIRECT[end:])
    assert error is None or error.code


def test_the_credentials_of_sts() -> None:
    assert parse_assume_role(_STS) == Credentials(
        "ASIAEXAMPLE", "sEcReT/+=", "tOkEn", expires_at_s=1_777_975_200
    )


def test_an_answer_of_sts_cut_short() -> None:
    for length in range(len(_STS)):
        with pytest.raises(UpstreamError) as refused:
            parse_assume_role(_STS[:length])
        assert "sEcReT" not in str(refused.value)


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        (b"AccessKeyId", b"Other", "AccessKeyId"),
        (b"SecretAccessKey", b"Other", "SecretAccessKey"),
        (b"SessionToken", b"Other", "SessionToken"),
        (b"tOkEn", b"", "SessionToken"),
        (b"Expiration", b"Other", "Expiration"),
        (b"2026-05-05T10:00:00Z", b"tomorrow", "Expiration"),
        (b"AssumeRoleWithWebIdentityResponse", b"GetCallerIdentityResponse", "GetCallerIdentity"),
        (b"<AssumeRoleWithWebIdentityResponse", b"<!DOCTYPE a><A", "refused"),
    ],
)
def test_what_is_no_answer_of_sts(was: bytes, becomes: bytes, complaint: str) -> None:
    with pytest.raises(UpstreamError, match=complaint) as refused:
        parse_assume_role(_STS.replace(was, becomes))
    assert "sEcReT" not in str(refused.value)
