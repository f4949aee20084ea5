"""`delete`, `delete_many` and `list_folder`."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
import trio

from parparchik.errors import BadTarget, Denied, NoBucket, Unavailable, UpstreamError
from parparchik.model import ListedObject, ObjectHead
from parparchik.s3 import S3Client
from tests.s3.fake_s3 import answer, error, open_objects
from tests.s3.scripted import Peer, ScriptedServer, Seen, replying, serve

ODD = ["a b", "a+b", "a%2Fb", "//a", "<&>\"'", "\t\r\n", "ü", "😀", "..", "a/../b"]


def keys_of(seen: Seen) -> list[str]:
    """What a batch asks to delete."""
    name = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    root = ET.fromstring(seen.body)
    assert root.tag == f"{name}Delete"
    assert root.findtext(f"{name}Quiet") == "true"
    return [each.findtext(f"{name}Key") or "" for each in root.findall(f"{name}Object")]


def failing(*failed: tuple[str, str]) -> bytes:
    errors = [
        f"<Error><Key>{escape(key)}</Key><Code>{code}</Code><Message>secret</Message></Error>"
        for key, code in failed
    ]
    return answer(200, {}, f"<DeleteResult>{''.join(errors)}</DeleteResult>".encode())


class TestOne:
    @pytest.mark.parametrize("status", [204, 200])
    async def test_deleted(self, nursery: trio.Nursery, s3: S3Client, status: int) -> None:
        server: ScriptedServer = await nursery.start(serve, replying(lambda _: answer(status)))
        await open_objects(s3, server).delete("a b/ü")
        [seen] = server.requests
        assert (seen.method, seen.target) == ("DELETE", "/files/a%20b/%C3%BC")

    async def test_nothing_was_there(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, 404, "NoSuchKey"))
        )
        await open_objects(s3, server).delete("k")

    @pytest.mark.parametrize(
        ("status", "code", "raised"),
        [
            (404, "NoSuchBucket", NoBucket),
            (404, "", UpstreamError),  # of somebody who is no S3
            (403, "AccessDenied", Denied),
            (503, "SlowDown", Unavailable),
        ],
    )
    async def test_errors(
        self, nursery: trio.Nursery, s3: S3Client, status: int, code: str, raised: type[Exception]
    ) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, status, code, {"Retry-After": "0"}))
        )
        with pytest.raises(raised):
            await open_objects(s3, server).delete("k")


class TestMany:
    async def test_one_request(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(serve, replying(lambda _: failing()))
        assert await open_objects(s3, server).delete_many(ODD) == {}
        [seen] = server.requests
        assert (seen.method, seen.target) == ("POST", "/files?delete=")
        assert keys_of(seen) == ODD
        md5 = base64.b64encode(hashlib.md5(seen.body).digest()).decode()
        assert seen.headers["content-md5"] == md5
        assert seen.headers["x-amz-content-sha256"] == hashlib.sha256(seen.body).hexdigest()

    async def test_some_fail(self, nursery: trio.Nursery, s3: S3Client) -> None:
        reply = failing(("a&b", "AccessDenied"), ("gone", "NoSuchKey"), ("ü", "InternalError"))
        server: ScriptedServer = await nursery.start(serve, replying(lambda _: reply))
        failed = await open_objects(s3, server).delete_many(["a&b", "gone", "ü", "fine"])
        assert failed == {"a&b": "AccessDenied", "ü": "InternalError"}

    async def test_nothing(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(serve, replying(lambda _: failing()))
        assert await open_objects(s3, server).delete_many([]) == {}
        assert server.requests == []

    async def test_too_many(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(serve, replying(lambda _: failing()))
        objects = open_objects(s3, server)
        with pytest.raises(ValueError, match="1001"):
            await objects.delete_many([str(number) for number in range(1001)])
        assert await objects.delete_many([str(number) for number in range(1000)]) == {}

    async def test_what_xml_cannot_say_goes_by_itself(
        self, nursery: trio.Nursery, s3: S3Client
    ) -> None:
        def reply(seen: Seen) -> bytes:
            return failing() if seen.method == "POST" else answer(204)

        server: ScriptedServer = await nursery.start(serve, replying(reply))
        await open_objects(s3, server).delete_many(["a", "b\x01", "\ufffe", "c"])
        assert keys_of(server.requests[0]) == ["a", "c"]
        singles = {unquote(seen.target) for seen in server.requests[1:]}
        assert singles == {"/files/b\x01", "/files/\ufffe"}

    async def test_a_server_without_batches(self, nursery: trio.Nursery, s3: S3Client) -> None:
        """One by one, a few at a time; each answers for itself."""
        open_now = most = 0

        async def script(peer: Peer) -> None:
            nonlocal open_now, most
            while seen := await peer.request():
                if seen.method == "POST":
                    await peer.send(error(seen, 501, "NotImplemented"))
                    continue
                open_now += 1
                most = max(most, open_now)
                await trio.sleep(0.01)
                open_now -= 1
                denied = seen.target.endswith("/7")
                await peer.send(error(seen, 403, "AccessDenied") if denied else answer(204))

        server: ScriptedServer = await nursery.start(serve, script)
        failed = await open_objects(s3, server).delete_many([str(n) for n in range(40)])
        assert list(failed) == ["7"]
        assert "s3:DeleteObject" in failed["7"]
        assert len(server.requests) == 41
        assert 1 < most <= 8

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html/>",
            b"<DeleteResult>",
            b"<DeleteResult><Error><Key>k</Key></Error></DeleteResult>",
            b"<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>",
            b"<DeleteResult><Error><Key>x</Key><Code>AccessDenied</Code></Error></DeleteResult>",
        ],
    )
    async def test_an_answer_that_is_none(
        self, nursery: trio.Nursery, s3: S3Client, body: bytes
    ) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {}, body))
        )
        with pytest.raises(UpstreamError):
            await open_objects(s3, server).delete_many(["k"])

    async def test_is_tried_again(self, nursery: trio.Nursery, s3: S3Client) -> None:
        def reply(_seen: Seen) -> bytes:
            return answer(503, {"Retry-After": "0"}) if len(server.requests) < 3 else failing()

        server: ScriptedServer = await nursery.start(serve, replying(reply))
        assert await open_objects(s3, server).delete_many(["k"]) == {}


FOLDER = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult><Prefix>a+b%2F</Prefix><CommonPrefixes><Prefix>a+b%2F%F0%9F%98%80%2F</Prefix>
</CommonPrefixes><CommonPrefixes><Prefix>a+b%2F%EF%BF%BD%2F</Prefix></CommonPrefixes>
<Contents><Key>a+b%2F%25</Key><Size>3</Size><LastModified>2026-05-05T10:00:00.000Z</LastModified>
<ETag>"0123"</ETag></Contents><EncodingType>url</EncodingType><Delimiter>%2F</Delimiter>
<IsTruncated>true</IsTruncated><NextContinuationToken>a+/=</NextContinuationToken>
</ListBucketResult>"""


class TestFolder:
    async def test_is_listed(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {}, FOLDER))
        )
        folder = await open_objects(s3, server).list_folder("a b/", token="t+/=", limit=7)
        head = ObjectHead(3, 1_777_975_200, '"0123"')
        assert list(folder.objects) == [ListedObject("a b/%", head)]
        assert list(folder.prefixes) == ["a b/\ufffd/", "a b/😀/"]  # by UTF-8, not by UTF-16
        assert folder.next_token == "a+/="
        [seen] = server.requests
        assert urlsplit(seen.target).path == "/files"
        assert dict(parse_qsl(urlsplit(seen.target).query)) == {
            "list-type": "2",
            "encoding-type": "url",
            "delimiter": "/",
            "prefix": "a b/",
            "max-keys": "7",
            "continuation-token": "t+/=",
        }

    async def test_of_everything(self, nursery: trio.Nursery, s3: S3Client) -> None:
        body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {}, body))
        )
        folder = await open_objects(s3, server).list_folder("")
        assert (list(folder.objects), list(folder.prefixes), folder.next_token) == ([], [], None)
        assert "prefix=" not in server.requests[0].target
        assert "max-keys=1000" in server.requests[0].target

    async def test_cut_short_is_no_folder(self, nursery: trio.Nursery, s3: S3Client) -> None:
        body = FOLDER.replace(b"</ListBucketResult>", b"")
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda _: answer(200, {}, body))
        )
        with pytest.raises(UpstreamError):
            await open_objects(s3, server).list_folder("")

    @pytest.mark.parametrize("code", ["InvalidArgument", "InvalidToken"])
    async def test_a_page_that_there_is_not(
        self, nursery: trio.Nursery, s3: S3Client, code: str
    ) -> None:
        """Who named it is at fault; without a page the same answer is S3's failure."""
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, 400, code))
        )
        objects = open_objects(s3, server)
        with pytest.raises(BadTarget):
            await objects.list_folder("", token="made up")
        with pytest.raises(UpstreamError):
            await objects.list_folder("")

    async def test_no_bucket(self, nursery: trio.Nursery, s3: S3Client) -> None:
        server: ScriptedServer = await nursery.start(
            serve, replying(lambda seen: error(seen, 404, "NoSuchBucket"))
        )
        with pytest.raises(NoBucket):
            await open_objects(s3, server).list_folder("")
