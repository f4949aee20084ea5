-- SigV4 and HEADs for the Lua contestants, as fast as LuaJIT and OpenSSL allow: SHA-256 is called
-- without the layers of EVP, the two halves of each HMAC key are hashed once a day, whatever all
-- URLs of a second share is made once a second. As parparchik does, they may keep a signed HEAD and
-- a presigned URL for three minutes, which is a twentieth of the hour that the URL is good for.

local ffi = require "ffi"
local C = ffi.C

ffi.cdef [[
typedef struct {
    uint32_t h[8]; uint32_t low, high; uint32_t data[16]; unsigned int used, size;
} peer_sha256;
int SHA256_Init(peer_sha256 *state);
int SHA256_Update(peer_sha256 *state, const void *data, size_t size);
int SHA256_Final(unsigned char *digest, peer_sha256 *state);
unsigned char *ngx_hex_dump(unsigned char *to, const unsigned char *from, size_t size);
]]

local STATE_SIZE = ffi.sizeof("peer_sha256")
local KEPT_S = 180
local state = ffi.new("peer_sha256")
local digest = ffi.new("unsigned char[32]")
local hex = ffi.new("unsigned char[64]")

local function hexadecimal()
    C.ngx_hex_dump(hex, digest, 32)
    return ffi.string(hex, 64)
end

local function sha256(text)
    C.SHA256_Init(state)
    C.SHA256_Update(state, text, #text)
    C.SHA256_Final(digest, state)
    return hexadecimal()
end

-- An HMAC key as the two states that are left after hashing it, inner and outer.
local function hmac_key(key)
    assert(#key <= 64)
    local inner, outer = ffi.new("peer_sha256"), ffi.new("peer_sha256")
    local pad = ffi.new("unsigned char[64]")
    for _, half in ipairs { { inner, 0x36 }, { outer, 0x5c } } do
        for i = 0, 63 do pad[i] = bit.bxor(i < #key and key:byte(i + 1) or 0, half[2]) end
        C.SHA256_Init(half[1])
        C.SHA256_Update(half[1], pad, 64)
    end
    return { inner = inner, outer = outer }
end

local function hmac(key, text)  -- into `digest`
    ffi.copy(state, key.inner, STATE_SIZE)
    C.SHA256_Update(state, text, #text)
    C.SHA256_Final(digest, state)
    ffi.copy(state, key.outer, STATE_SIZE)
    C.SHA256_Update(state, digest, 32)
    C.SHA256_Final(digest, state)
end

local S3 = {}
S3.__index = S3

local function new(options)
    options.authority = options.host .. ":" .. options.port
    options.origin = "http://" .. options.authority
    options.second, options.day = 0, ""
    options.heads, options.queries, options.urls, options.keep_until_s = {}, {}, {}, 0
    return setmetatable(options, S3)
end

function S3:derive(day)
    local key = "AWS4" .. self.secret_access_key
    for _, part in ipairs { day, self.region, "s3", "aws4_request" } do
        hmac(hmac_key(key), part)
        key = ffi.string(digest, 32)
    end
    self.key, self.day = hmac_key(key), day
end

-- What all signatures of this second have in common.
function S3:frame()
    local second = ngx.time()
    if second == self.second then return end
    self.second = second
    local stamp = os.date("!%Y%m%dT%H%M%SZ", second)
    local day = stamp:sub(1, 8)
    if day ~= self.day then self:derive(day) end
    self.stamp = stamp
    self.scope = day .. "/" .. self.region .. "/s3/aws4_request"
    self.preamble = "AWS4-HMAC-SHA256\n" .. stamp .. "\n" .. self.scope .. "\n"
    self.query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" .. self.access_key_id
        .. "%2F" .. self.scope:gsub("/", "%%2F") .. "&X-Amz-Date=" .. stamp
        .. "&X-Amz-Expires=" .. self.expires_s .. "&X-Amz-SignedHeaders=host"
    self.tail = "\n" .. self.query .. "\nhost:" .. self.authority .. "\n\nhost\nUNSIGNED-PAYLOAD"
end

function S3:signature(canonical)
    hmac(self.key, self.preamble .. sha256(canonical))
    return hexadecimal()
end

function S3:presigned_query(method, path)
    self:frame()
    return self.query .. "&X-Amz-Signature="
        .. self:signature(method .. "\n" .. path .. self.tail)
end

function S3:presign(method, path)
    return self.origin .. path .. "?" .. self:presigned_query(method, path)
end

function S3:forget_the_old()
    local now_s = ngx.time()
    if now_s >= self.keep_until_s then
        self.heads, self.queries, self.urls = {}, {}, {}
        self.keep_until_s = now_s + KEPT_S
    end
end

-- A URL to GET from, made at most three minutes ago.
function S3:url(path)
    self:forget_the_old()
    local url = self.urls[path]
    if not url then
        url = self:presign("GET", path)
        self.urls[path] = url
    end
    return url
end

function S3:head_query(path)
    self:forget_the_old()
    local query = self.queries[path]
    if not query then
        query = self:presigned_query("HEAD", path)
        self.queries[path] = query
    end
    return query
end

-- The bytes of a HEAD that is signed in its headers.
function S3:head_request(path)
    self:forget_the_old()
    local request = self.heads[path]
    if request then return request end
    self:frame()
    local empty = sha256("")
    local names = "host;x-amz-content-sha256;x-amz-date"
    local signature = self:signature(table.concat({
        "HEAD", path, "", "host:" .. self.authority, "x-amz-content-sha256:" .. empty,
        "x-amz-date:" .. self.stamp, "", names, empty,
    }, "\n"))
    request = table.concat({
        "HEAD " .. path .. " HTTP/1.1", "Host: " .. self.authority,
        "x-amz-content-sha256: " .. empty, "x-amz-date: " .. self.stamp,
        "Authorization: AWS4-HMAC-SHA256 Credential=" .. self.access_key_id .. "/" .. self.scope
            .. ",SignedHeaders=" .. names .. ",Signature=" .. signature, "", "",
    }, "\r\n")
    self.heads[path] = request
    return request
end

-- The status of a HEAD; 502 when S3 does not answer.
function S3:head(path)
    local socket = ngx.socket.tcp()
    socket:settimeout(5000)
    local options = self.pool
    if not options then
        options = { pool_size = 64, pool = "s3" }
        self.pool = options
    end
    if not socket:connect(self.host, self.port, options) then return 502 end
    if not socket:send(self:head_request(path)) then return 502 end
    local line = socket:receive("*l")
    if not line then return 502 end
    local reusable = true
    while true do
        local header = socket:receive("*l")
        if not header then return 502 end
        if header == "" then break end
        if header:byte(1) == 67 and header:lower() == "connection: close" then reusable = false end
    end
    if reusable then socket:setkeepalive(60000, 64) else socket:close() end
    return tonumber(line:sub(10, 12))
end

return { new = new }
