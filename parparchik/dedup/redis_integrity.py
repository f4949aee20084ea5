"""What no change of ours leaves behind, as Lua: how it is found, and how the references mend it.

`files` is the truth, and after it `blobs` and `claims`; all other keys say again what these say, so
that it can be looked up in another way, or is counted. Each key is scanned a page at a time, so
that Redis serves others meanwhile; each member is judged, and mended, in one step. What says which
files a blob has comes before what goes by that. Pure.
"""

from __future__ import annotations

from parparchik.dedup.redis_scripts import Script

SCANNED = (
    *("files", "paths", "refs", "blobs", "digests", "used", "orphans", "lost"),
    *("claims", "ends", "holds"),
)

# ARGV: what to scan, cursor, limit, when what is mended began to be so ('': nothing is mended).
# Returns the next cursor ('0': the end), and by turns what is wrong and of how many.
INSPECT = Script(
    "inspect",
    r"""
local name, cursor, limit, now = unpack(ARGV)
local found, began = {}, false

local function wrong(what, ...)
  found[what] = (found[what] or 0) + 1
  if now ~= '' and select('#', ...) > 0 then
    if not began then
      began = true
      begin()
    end
    call(...)
  end
end

-- The digest that a key is named after.
local function digest_of(key)
  return string.sub(string.gsub(key, '%-%x%x%x%x%x%x%x%x$', ''), -64)
end

local function key_is(digest, key)
  local blob = call('HGET', blobs, digest)
  return blob and key_of(blob) == key
end

local function needed(key)
  if call('ZSCORE', garbage, key) then
    wrong('needed', 'ZREM', garbage, key)
  end
end

local function has(set, member)
  if not call('ZSCORE', set, member) then
    wrong('index', 'ZADD', set, 0, member)
  end
end

local function of_blob(set)
  return function(digest)
    if call('HEXISTS', blobs, digest) == 0 then
      wrong('index', 'ZREM', set, digest)
    end
  end
end

local checks = {
  files = function(path, file)
    local _, digest = parts_of(file)
    if call('HEXISTS', blobs, digest) == 0 then
      wrong('unknown')
    end
    for slash in string.gmatch(path, '()/') do
      if slash > 1 and call('HEXISTS', files, string.sub(path, 1, slash - 1)) == 1 then
        wrong('below')
      end
    end
    has(paths, path)
    has(refs, digest .. ' ' .. path)
  end,
  paths = function(path)
    if call('HEXISTS', files, path) == 0 then
      wrong('index', 'ZREM', paths, path)
    end
  end,
  refs = function(ref)
    local digest, path = string.match(ref, '^(%S*) (.*)$')
    local file = path and call('HGET', files, path)
    if not file or select(2, parts_of(file)) ~= digest then
      wrong('index', 'ZREM', refs, ref)
    end
  end,
  blobs = function(digest, blob)
    local key, marked = key_of(blob), call('ZSCORE', orphans, digest)
    if marked and is_referred(digest) then
      wrong('marked', 'ZREM', orphans, digest)
    elseif not marked and not is_referred(digest) then
      wrong('unmarked', 'ZADD', orphans, now, digest)
    end
    has(digests, digest)
    if call('SISMEMBER', used, key) == 0 then
      wrong('index', 'SADD', used, key)
    end
    needed(key)
  end,
  digests = of_blob(digests),
  orphans = of_blob(orphans),
  lost = of_blob(lost),
  used = function(key)
    if not key_is(digest_of(key), key) then
      wrong('index', 'SREM', used, key)
    end
  end,
  claims = function(token, claim)
    local digest, key = string.match(claim, '^(%S+) (.*)$')
    if not call('ZSCORE', ends, token) then
      wrong('claims', 'ZADD', ends, now, token)
    end
    has(holds, 'd' .. digest .. '\0' .. token)
    has(holds, 'k' .. key .. '\0' .. token)
    needed(key)
  end,
  ends = function(token)
    if call('HEXISTS', claims, token) == 0 then
      wrong('claims', 'ZREM', ends, token)
    end
  end,
  holds = function(hold)
    local token = string.match(hold, '%z([^%z]*)$')
    if not token or call('HEXISTS', claims, token) == 0 then
      wrong('claims', 'ZREM', holds, hold)
    end
  end,
}

local keys = {files = files, paths = paths, refs = refs, blobs = blobs, digests = digests,
  used = used, orphans = orphans, lost = lost, claims = claims, ends = ends, holds = holds}
local scans = {files = 'HSCAN', blobs = 'HSCAN', claims = 'HSCAN', used = 'SSCAN'}
local scan = scans[name] or 'ZSCAN'
local page
cursor, page = unpack(call(scan, keys[name], cursor, 'COUNT', limit))
for at = 1, #page, scan == 'SSCAN' and 1 or 2 do
  checks[name](page[at], page[at + 1])
end
local answer = {cursor}
for what, count in pairs(found) do
  answer[#answer + 1] = what
  answer[#answer + 1] = count
end
return answer
""",
)

# Returns how many changes there have been.
CHANGES = Script("changes", "return call('HGET', sums, 'changes') or '0'\n")

# ARGV: after, limit. Returns how many files were looked at, the last of their references, and the
# sum of their sizes. A set in the order of its members has none twice, as scanning might.
SUM_FILES = Script(
    "sum_files",
    r"""
local page = call('ZRANGEBYLEX', refs, ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local sum = 0
for _, ref in ipairs(page) do
  local blob = call('HGET', blobs, string.match(ref, '^%S*'))
  sum = sum + (blob and string.match(blob, '^%d+') or 0)
end
return {#page, page[#page] or '', string.format('%.0f', sum)}
""",
)

# The same of all blobs, as they are stored.
SUM_BLOBS = Script(
    "sum_blobs",
    r"""
local page = call('ZRANGEBYLEX', digests, ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local sum = 0
for _, digest in ipairs(page) do
  local blob = call('HGET', blobs, digest)
  sum = sum + (blob and string.match(blob, '^%d+ (%d+)') or 0)
end
return {#page, page[#page] or '', string.format('%.0f', sum)}
""",
)

# ARGV: changes, logical_bytes, stored_bytes, whether to mend ('1' or ''). Returns how many of the
# two are wrong; false where there have been changes since they were counted.
COMPARE = Script(
    "compare",
    """
if (call('HGET', sums, 'changes') or '0') ~= ARGV[1] then
  return false
end
local wrong = 0
for at, name in ipairs({'logical_bytes', 'stored_bytes'}) do
  if (call('HGET', sums, name) or '0') ~= ARGV[at + 1] then
    wrong = wrong + 1
    if ARGV[4] == '1' then
      begin()
      call('HSET', sums, name, ARGV[at + 1])
    end
  end
end
return wrong
""",
)
