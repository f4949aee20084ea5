-- The same as s3.lua as it is commonly written: keys derived, requests signed and headers parsed
-- into a table each time, with OpenSSL's HMAC. Shown beside the others; the goal is held against
-- the best of them.

local ffi = require "ffi"

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *kind, const void *key, int key_size, const unsigned char *data,
                    size_t size, unsigned char *digest, unsigned int *digest_size);
unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *digest);
]]

local digest = ffi.new("unsigned char[32]")

local function sha256(text)
    ffi.C.SHA256(text, #text, digest)
    return ffi.string(digest, 32)
end

local function hmac(key, text)
    ffi.C.HMAC(ffi.C.EVP_sha256(), key, #key, text, #text, digest, nil)
    return ffi.string(digest, 32)
end

local function hex(bytes)
    return (bytes:gsub(".", function(byte) return string.format("%02x", byte:byte()) end))
end

local function encode(text)
    return (text:gsub("[^%w%-%._~]", function(byte)
        return string.format("%%%02X", byte:byte())
    end))
end

local function sign(options, stamp, canonical)
    local day = stamp:sub(1, 8)
    local scope = table.concat({ day, options.region, "s3", "aws4_request" }, "/")
    local key = "AWS4" .. options.secret_access_key
    for part in scope:gmatch("[^/]+") do key = hmac(key, part) end
    local text = table.concat({ "AWS4-HMAC-SHA256", stamp, scope, hex(sha256(canonical)) }, "\n")
    return hex(hmac(key, text)), scope
end

local function presign(options, method, path)
    local stamp = os.date("!%Y%m%dT%H%M%SZ")
    local scope = table.concat({ stamp:sub(1, 8), options.region, "s3", "aws4_request" }, "/")
    local pairs_of_query = {
        { "X-Amz-Algorithm", "AWS4-HMAC-SHA256" },
        { "X-Amz-Credential", options.access_key_id .. "/" .. scope },
        { "X-Amz-Date", stamp },
        { "X-Amz-Expires", tostring(options.expires_s) },
        { "X-Amz-SignedHeaders", "host" },
    }
    local parts = {}
    for _, pair in ipairs(pairs_of_query) do
        parts[#parts + 1] = encode(pair[1]) .. "=" .. encode(pair[2])
    end
    local query = table.concat(parts, "&")
    local host = options.host .. ":" .. options.port
    local signature = sign(options, stamp, table.concat({
        method, path, query, "host:" .. host, "", "host", "UNSIGNED-PAYLOAD",
    }, "\n"))
    return "http://" .. host .. path .. "?" .. query .. "&X-Amz-Signature=" .. signature
end

local function head(options, path)
    local stamp = os.date("!%Y%m%dT%H%M%SZ")
    local host = options.host .. ":" .. options.port
    local empty = hex(sha256(""))
    local names = "host;x-amz-content-sha256;x-amz-date"
    local signature, scope = sign(options, stamp, table.concat({
        "HEAD", path, "", "host:" .. host, "x-amz-content-sha256:" .. empty,
        "x-amz-date:" .. stamp, "", names, empty,
    }, "\n"))
    local socket = ngx.socket.tcp()
    socket:settimeout(5000)
    if not socket:connect(options.host, options.port) then return 502 end
    socket:send(table.concat({
        "HEAD " .. path .. " HTTP/1.1", "Host: " .. host, "x-amz-content-sha256: " .. empty,
        "x-amz-date: " .. stamp, "Authorization: AWS4-HMAC-SHA256 Credential="
            .. options.access_key_id .. "/" .. scope .. ",SignedHeaders=" .. names
            .. ",Signature=" .. signature, "", "",
    }, "\r\n"))
    local line = socket:receive("*l")
    if not line then return 502 end
    local headers = {}
    while true do
        local header = socket:receive("*l")
        if not header then return 502 end
        if header == "" then break end
        local name, value = header:match("^([^:]+):%s*(.*)$")
        headers[name:lower()] = value
    end
    if headers["connection"] == "close" then socket:close() else socket:setkeepalive(60000, 64) end
    return tonumber(line:match("^HTTP/%d%.%d (%d+)"))
end

return { presign = presign, head = head }
