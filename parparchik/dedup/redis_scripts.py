"""What is done to the metadata in Redis, as Lua: each script looks and changes in one step, and all
of it or nothing is kept and replicated. Pure.

The keys, all in one slot of a cluster, in the order in which scripts are given them; `*` are sorted
sets of equal scores, which lie in the order of their bytes:

files       hash    path -> `version digest`
paths       *       every path
refs        *       `digest path`: who refers to a blob; nothing else says so
blobs       hash    digest -> `logical_bytes stored_bytes key`
digests     *       of all blobs
used        set     the keys of all blobs
orphans     sorted  digest by the time at which its last file went
claims      hash    token -> `digest key`
ends        sorted  token by the time at which the claim ends
holds       *       `d<digest> NUL token` and `k<key> NUL token` of every claim
garbage     *       keys to be deleted at S3
rested      sorted  keys that were deleted, by the time of that
tombstones  hash    path -> version
lost        sorted  digests of blobs that S3 is known not to have, by the time of that
lead        hash    owner, ends
sums        hash    logical_bytes (of all files), stored_bytes (of all blobs), and changes

Redis takes nothing back where a script ends with an error, so scripts look first and write last,
and `begin` before they write: what the server refuses, it refuses there.


Lua's numbers are doubles, and versions have 64 bits: they are stored as 20 digits (`version_text`),
which are compared as text. In Lua what is missing is false, never nil.
"""

from __future__ import annotations

import hashlib

from parparchik.dedup.bounds import OLDEST_S

NAMES = (
    *("files", "paths", "refs", "blobs", "digests", "used", "orphans", "claims", "ends", "holds"),
    *("garbage", "rested", "tombstones", "lost", "lead", "sums"),
)


def version_text(version_s: int) -> str:
    """In the order of the versions."""
    return f"{version_s - OLDEST_S:020}"


def version_of(text: str) -> int:
    return int(text) + OLDEST_S


class Script:
    """`sha` is what Redis calls it by, once it has been given the whole `source`."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, body: str) -> None:
        self.name = name
        self.source = _SHARED + body
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


_SHARED = (
    f"local {', '.join(NAMES)} = unpack(KEYS)"
    + r"""
local call = redis.call

-- Without memory Redis still lets a script remove, and stops it where it adds: this adds.
local function begin()
  call('HINCRBY', sums, 'changes', 1)
end

local function subtract(name, number)
  if number ~= '0' then
    call('HINCRBY', sums, name, '-' .. number)
  end
end

local function has_between(set, low, high)
  return #call('ZRANGEBYLEX', set, '[' .. low, '(' .. high, 'LIMIT', 0, 1) > 0
end

-- What keeps a new file from having this path: a folder of that name, or a file above it.
local function taken_by(path)
  if has_between(paths, path .. '/', path .. '0') then
    return 'folder'
  end
  for slash in string.gmatch(path, '()/') do
    if slash > 1 and call('HEXISTS', files, string.sub(path, 1, slash - 1)) == 1 then
      return 'file'
    end
  end
  return false
end

local function is_held(name)
  return has_between(holds, name .. '\0', name .. '\1')
end

local function is_referred(digest)
  return has_between(refs, digest .. ' ', digest .. '!')
end

-- To be deleted at S3, or deleted after `since`: a late DELETE might hit what is stored there.
local function is_waste(key, since)
  local deleted = call('ZSCORE', rested, key)
  return call('ZSCORE', garbage, key) or deleted and tonumber(deleted) > tonumber(since)
end

local function is_free(key, since)
  return call('SISMEMBER', used, key) == 0 and not is_held('k' .. key) and not is_waste(key, since)
end

local function key_of(blob)
  return (string.match(blob, '^%d+ %d+ (.*)$'))
end

-- Of the content: false where S3 has it not.
local function sound_blob(digest)
  return not call('ZSCORE', lost, digest) and call('HGET', blobs, digest)
end

-- Where the content is, or may be stored: false where neither of two keys is free.
local function key_for(blob, one, another, since)
  return blob and key_of(blob) or is_free(one, since) and one or is_free(another, since) and another
end

local function parts_of(file)
  return string.match(file, '^(%d+) (.*)$')
end

-- Garbage, unless somebody uses it.
local function discard(key)
  if call('SISMEMBER', used, key) == 0 and not is_held('k' .. key) then
    call('ZADD', garbage, 0, key)
  end
end

local function end_claim(token)
  local claim = call('HGET', claims, token)
  if not claim then
    return
  end
  local digest, key = string.match(claim, '^(%S+) (.*)$')
  call('HDEL', claims, token)
  call('ZREM', ends, token)
  call('ZREM', holds, 'd' .. digest .. '\0' .. token, 'k' .. key .. '\0' .. token)
  discard(key)
end

local function does_hold(token, now)
  local last = call('ZSCORE', ends, token)
  return last and tonumber(last) > tonumber(now)
end

-- A file at `path` lets go of the blob; without another one it is an orphan.
local function let_go(path, digest, now)
  call('ZREM', refs, digest .. ' ' .. path)
  local blob = call('HGET', blobs, digest)
  if not blob then -- other hands took it
    return
  end
  subtract('logical_bytes', (string.match(blob, '^%d+')))
  if not is_referred(digest) then
    call('ZADD', orphans, now, digest)
  end
end
"""
)
