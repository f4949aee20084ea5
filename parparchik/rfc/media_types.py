"""The media type of a file by its name, where nobody has said it (RFC 9110 section 8.3).

The table is our own and not the host's, nor this Python version's, so that every host gives the
same answer. Types as registered with IANA (RFC 9239 for JavaScript), or as browsers know them.
"""

from __future__ import annotations

from functools import lru_cache

# Extensions of a type, in lower case. Text has its charset: what no header says of it, browsers
# guess. JSON, XML and the like have none, as their own rules say what they are in.
_TABLE = {
    "text/html; charset=utf-8": "html htm shtml",
    "text/css; charset=utf-8": "css",
    "text/javascript; charset=utf-8": "js mjs cjs",
    "text/plain; charset=utf-8": (
        "txt text log conf ini diff patch c h cc cpp hpp py rb go rs java tsx jsx sh"
    ),
    "text/markdown; charset=utf-8": "md markdown",
    "text/csv; charset=utf-8": "csv",
    "text/tab-separated-values; charset=utf-8": "tsv",
    "text/calendar; charset=utf-8": "ics ifb",
    "text/vcard; charset=utf-8": "vcf",
    "text/vtt; charset=utf-8": "vtt",
    "text/x-rst; charset=utf-8": "rst",
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/geo+json": "geojson",
    "application/x-ndjson": "ndjson jsonl",
    "application/manifest+json": "webmanifest",
    "application/xml": "xml xsl xsd",
    "application/xhtml+xml": "xhtml xht",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
    "application/gpx+xml": "gpx",
    "application/vnd.google-earth.kml+xml": "kml",
    "application/vnd.google-earth.kmz": "kmz",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "application/sql": "sql",
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "application/postscript": "ps eps ai",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/gzip": "gz tgz",
    "application/zip": "zip",
    "application/zstd": "zst",
    "application/x-bzip2": "bz2 tbz2",
    "application/x-xz": "xz txz",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/x-tar": "tar",
    "application/java-archive": "jar war",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.debian.binary-package": "deb",
    "application/x-rpm": "rpm",
    "application/x-apple-diskimage": "dmg",
    "application/x-iso9660-image": "iso",
    "application/x-bittorrent": "torrent",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/dash+xml": "mpd",
    "application/vnd.ms-fontobject": "eot",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/collection": "ttc",
    "image/avif": "avif",
    "image/apng": "apng",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tif tiff",
    "image/vnd.microsoft.icon": "ico cur",
    "image/webp": "webp",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "oga ogg opus",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "video/matroska": "mkv",
    "video/mp2t": "ts m2ts",
    "video/mp4": "mp4 m4v m4s",
    "video/mpeg": "mpeg mpg",
    "video/ogg": "ogv",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/x-msvideo": "avi",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/stl": "stl",
}
_BY_EXTENSION = {
    extension: media_type
    for media_type, extensions in _TABLE.items()
    for extension in extensions.split()
}

# What gets smaller by a content coding; beside these all of text/ and all that is +json, +xml,
# +text or +yaml. Images, sound, films, archives and WOFF are compressed by themselves.
_COMPRESSIBLE = frozenset(
    {
        *("application/json", "application/x-ndjson", "application/xml", "application/yaml"),
        *("application/toml", "application/sql", "application/wasm", "application/rtf"),
        *("application/javascript", "application/x-javascript", "application/ecmascript"),
        *("application/x-yaml", "application/x-sh", "application/graphql", "application/x-tex"),
        *("application/vnd.apple.mpegurl", "application/x-mpegurl", "application/postscript"),
        *("application/vnd.ms-fontobject", "application/x-font-ttf", "font/ttf", "font/otf"),
        *("font/collection", "image/bmp", "image/vnd.microsoft.icon", "image/x-icon"),
        *("model/stl", "application/x-www-form-urlencoded"),
    }
)
_COMPRESSIBLE_SUFFIXES = ("+json", "+xml", "+text", "+yaml")
# Compressing gathers what is to be sent bit by bit.
_NEVER = frozenset({"text/event-stream"})


def guess_media_type(name: str) -> str:
    """By what follows the last dot of the last segment of a path, upper case or lower; '' where
    that says nothing. A file whose name begins with its only dot has no extension."""
    stem, dot, extension = name[name.rfind("/") + 1 :].rpartition(".")
    return _BY_EXTENSION.get(extension.lower(), "") if dot and stem else ""


@lru_cache(maxsize=256)
def is_compressible(media_type: str) -> bool:
    """Whether a content coding is worth its while for a Content-Type, parameters and all."""
    essence = media_type.partition(";")[0].strip(" \t").lower()
    return essence not in _NEVER and (
        essence.startswith("text/")
        or essence in _COMPRESSIBLE
        or essence.endswith(_COMPRESSIBLE_SUFFIXES)
    )
