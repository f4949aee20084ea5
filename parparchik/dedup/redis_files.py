"""What clients do to files, as Lua: see `redis_scripts`. Pure."""

from __future__ import annotations

from parparchik.dedup.redis_scripts import Script

GET = Script(
    "get",
    """
local file = call('HGET', files, ARGV[1])
if not file then
  return false
end
local version, digest = parts_of(file)
return {file, call('HGET', blobs, digest)}
""",
)

# ARGV: from, to, limit, until. Returns how many paths were looked at, the last of them, and for
# each file path, `version digest`, and blob.
LIST = Script(
    "list",
    """
local page = call('ZRANGEBYLEX', paths, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
if #page == 0 then
  return {0, ''}
end
local rows = call('HMGET', files, unpack(page))
local found = {#page, page[#page]}
for at, path in ipairs(page) do
  local version, digest = parts_of(rows[at])
  if version <= ARGV[4] then
    found[#found + 1] = path
    found[#found + 1] = rows[at]
    found[#found + 1] = call('HGET', blobs, digest)
  end
end
return found
""",
)

# ARGV: path, digest, key, another key, rested. Returns what it came to ('both': both keys are
# taken), the key, the blob, and the version that is stored.
LOOK = Script(
    "look",
    """
local path, digest = ARGV[1], ARGV[2]
local old = call('HGET', files, path)
local taken = not old and taken_by(path)
if taken then
  return {taken}
end
local blob = sound_blob(digest)
local key = key_for(blob, ARGV[3], ARGV[4], ARGV[5])
if not key then
  return {'both'}
end
return {'seen', key, blob, old and (parts_of(old))}
""",
)

# ARGV: digest, key, another key, token, ends, rested. False: both keys are taken.
CLAIM = Script(
    "claim",
    r"""
local digest, token = ARGV[1], ARGV[4]
local blob = sound_blob(digest)
local key = key_for(blob, ARGV[2], ARGV[3], ARGV[6])
if not key then
  return false
end
begin()
call('HSET', claims, token, digest .. ' ' .. key)
call('ZADD', ends, ARGV[5], token)
call('ZADD', holds, 0, 'd' .. digest .. '\0' .. token, 0, 'k' .. key .. '\0' .. token)
return {key, blob}
""",
)

# ARGV: token, now, ends.
RENEW = Script(
    "renew",
    """
if not does_hold(ARGV[1], ARGV[2]) then
  return 0
end
begin()
call('ZADD', ends, ARGV[3], ARGV[1])
return 1
""",
)

RELEASE = Script("release", "begin()\nend_claim(ARGV[1])\nreturn 1\n")

# ARGV: path, version, digest, key, logical_bytes, stored_bytes, token ('': there is no claim), now,
# imported ('1' or ''), rested. Returns what came of it and the version that is stored. Whose clock
# is behind may see a key rest that is in use again.
PUT = Script(
    "put",
    r"""
local path, version, digest, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local token, now, imported = ARGV[7], ARGV[8], ARGV[9] == '1'
if token == '' then
  if call('ZSCORE', garbage, key)
    or is_waste(key, ARGV[10]) and call('SISMEMBER', used, key) == 0 then
    return {'waste'}
  end
elseif not does_hold(token, now) or call('HGET', claims, token) ~= digest .. ' ' .. key then
  return {'lost'}
end
local function finish()
  if token == '' then
    discard(key)
  else
    end_claim(token)
  end
end
local old = call('HGET', files, path)
local old_version, old_digest
if old then
  old_version, old_digest = parts_of(old)
else
  local taken = taken_by(path)
  if taken then
    return {taken}
  end
end
local dead = imported and call('HGET', tombstones, path)
local is_due = not (old and (old_version > version or imported and old_version == version)
  or dead and dead >= version)
local blob = call('HGET', blobs, digest)
local old_key = is_due and blob and call('ZSCORE', lost, digest) and key_of(blob)
if old_key == key then
  return {'gone'}
end
begin()
if not is_due then
  finish()
  return {'kept', old_version or false}
end
if old_key then
  call('SREM', used, old_key)
  call('ZREM', lost, digest)
  subtract('stored_bytes', (string.match(blob, '^%d+ (%d+)')))
  discard(old_key)
end
if not blob or old_key then
  blob = ARGV[5] .. ' ' .. ARGV[6] .. ' ' .. key
  call('HSET', blobs, digest, blob)
  call('ZADD', digests, 0, digest)
  call('SADD', used, key)
  call('HINCRBY', sums, 'stored_bytes', ARGV[6])
end
call('ZREM', orphans, digest)
if old then
  let_go(path, old_digest, now)
  if old_digest == digest then
    call('ZREM', orphans, digest)
  end
end
call('HSET', files, path, version .. ' ' .. digest)
call('ZADD', paths, 0, path)
call('ZADD', refs, 0, digest .. ' ' .. path)
call('HINCRBY', sums, 'logical_bytes', (string.match(blob, '^%d+')))
finish()
return {'done', version}
""",
)

# ARGV: path, version, with a tombstone ('1' or ''), now.
DELETE = Script(
    "delete",
    """
local path, version = ARGV[1], ARGV[2]
local old = call('HGET', files, path)
local old_version, old_digest
if old then
  old_version, old_digest = parts_of(old)
  if old_version > version then
    return {'kept', old_version}
  end
end
begin()
if ARGV[3] == '1' then
  local dead = call('HGET', tombstones, path)
  if not dead or dead < version then
    call('HSET', tombstones, path, version)
  end
end
if not old then
  return {'kept', false}
end
call('HDEL', files, path)
call('ZREM', paths, path)
let_go(path, old_digest, ARGV[4])
return {'done', false}
""",
)

TOMBSTONE = Script(
    "tombstone",
    """
return call('HEXISTS', files, ARGV[1]) == 0 and call('HGET', tombstones, ARGV[1])
""",
)

# ARGV: path, version.
BURY = Script(
    "bury",
    """
local dead = call('HGET', tombstones, ARGV[1])
if dead and dead >= ARGV[2] then
  return 0
end
begin()
call('HSET', tombstones, ARGV[1], ARGV[2])
return 1
""",
)

# ARGV: cursor, limit. Returns the next cursor ('0': the end), and paths and versions by turns.
TOMBSTONES = Script(
    "tombstones",
    """
local cursor, page = unpack(call('HSCAN', tombstones, ARGV[1], 'COUNT', ARGV[2]))
return {cursor, page}
""",
)

# ARGV: from, to.
HAS_BELOW = Script(
    "has_below",
    """
return #call('ZRANGEBYLEX', paths, ARGV[1], ARGV[2], 'LIMIT', 0, 1)
""",
)
