"""What the cleaner does, as Lua: see `redis_scripts`. Pure."""

from __future__ import annotations

from parparchik.dedup.redis_scripts import Script

# ARGV: now, limit. How many claims have ended: as many as the limit, and there may be more.
EXPIRE = Script(
    "expire",
    """
begin()
local expired = call('ZRANGEBYSCORE', ends, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, token in ipairs(expired) do
  end_claim(token)
end
return #expired
""",
)

# ARGV: older than, limit. That a blob is marked an orphan is not enough: the references decide.
DISCARD_ORPHANS = Script(
    "discard_orphans",
    r"""
local limit, kept, count = tonumber(ARGV[2]), 0, 0
begin()
while count < limit do
  local found = call('ZRANGEBYSCORE', orphans, '-inf', '(' .. ARGV[1], 'LIMIT', kept, limit - count)
  if #found == 0 then
    break
  end
  for _, digest in ipairs(found) do
    if is_held('d' .. digest) then
      kept = kept + 1
    else
      call('ZREM', orphans, digest)
      local blob = not is_referred(digest) and call('HGET', blobs, digest)
      if blob then
        local stored_bytes, key = string.match(blob, '^%d+ (%d+) (.*)$')
        call('HDEL', blobs, digest)
        call('ZREM', digests, digest)
        call('ZREM', lost, digest)
        call('SREM', used, key)
        subtract('stored_bytes', stored_bytes)
        discard(key)
        count = count + 1
      end
    end
  end
end
return count
""",
)

GARBAGE = Script("garbage", "return call('ZRANGE', garbage, 0, ARGV[1] - 1)\n")

# ARGV: now, since when a key has rested enough, keys.
COLLECTED = Script(
    "collected",
    """
begin()
for at = 3, #ARGV do
  call('ZREM', garbage, ARGV[at])
  call('ZADD', rested, ARGV[1], ARGV[at])
end
call('ZREMRANGEBYSCORE', rested, '-inf', ARGV[2])
return 1
""",
)

UNKNOWN = Script(
    "unknown",
    """
local strange = {}
begin()
for _, key in ipairs(ARGV) do
  if call('SISMEMBER', used, key) == 0 and not is_held('k' .. key)
    and not call('ZSCORE', garbage, key) then
    call('ZADD', garbage, 0, key)
    strange[#strange + 1] = key
  end
end
return strange
""",
)

# ARGV: from, limit. Returns a digest and its blob, each.
BLOBS = Script(
    "blobs",
    """
local found = {}
for _, digest in ipairs(call('ZRANGEBYLEX', digests, ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
  found[#found + 1] = digest
  found[#found + 1] = call('HGET', blobs, digest)
end
return found
""",
)

# ARGV: digest, key, now.
MARK_LOST = Script(
    "mark_lost",
    """
local blob = call('HGET', blobs, ARGV[1])
if not blob or key_of(blob) ~= ARGV[2] or call('ZSCORE', lost, ARGV[1]) then
  return 0
end
begin()
call('ZADD', lost, ARGV[3], ARGV[1])
return 1
""",
)

# ARGV: digest, key, stored_bytes.
RESTATE = Script(
    "restate",
    """
local blob = call('HGET', blobs, ARGV[1])
if not blob or key_of(blob) ~= ARGV[2] then
  return 0
end
local logical_bytes, stored_bytes = string.match(blob, '^(%d+) (%d+)')
if stored_bytes == ARGV[3] then
  return 0
end
begin()
call('HSET', blobs, ARGV[1], logical_bytes .. ' ' .. ARGV[3] .. ' ' .. ARGV[2])
subtract('stored_bytes', stored_bytes)
call('HINCRBY', sums, 'stored_bytes', ARGV[3])
return 1
""",
)

# ARGV: digest, key.
MARK_SOUND = Script(
    "mark_sound",
    """
local blob = call('ZSCORE', lost, ARGV[1]) and call('HGET', blobs, ARGV[1])
if not blob or key_of(blob) ~= ARGV[2] then
  return 0
end
begin()
call('ZREM', lost, ARGV[1])
return 1
""",
)

# ARGV: owner, now, ends.
LEAD = Script(
    "lead",
    """
local owner, last = unpack(call('HMGET', lead, 'owner', 'ends'))
if owner and owner ~= ARGV[1] and tonumber(last) > tonumber(ARGV[2]) then
  return 0
end
begin()
call('HSET', lead, 'owner', ARGV[1], 'ends', ARGV[3])
return 1
""",
)

TOTALS = Script(
    "totals",
    """
local sum = call('HMGET', sums, 'logical_bytes', 'stored_bytes')
return {call('HLEN', files), call('HLEN', blobs), sum[1] or '0', sum[2] or '0',
  call('ZCARD', orphans), call('ZCARD', garbage), call('ZCARD', lost)}
""",
)

# Changes nothing, and writes.
TOUCH = Script(
    "touch",
    """
begin()
return 1
""",
)
