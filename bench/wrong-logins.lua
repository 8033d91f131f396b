-- Every request brings another wrong password: of one account (-- one) or each of another name (-- many).
local encode = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  local parts = {}
  for at = 1, #text, 3 do
    local a, b, c = text:byte(at, at + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for place = 0, 3 do
      local index = math.floor(bits / 64 ^ (3 - place)) % 64
      parts[#parts + 1] = (place <= 1 or (place == 2 and b) or (place == 3 and c)) and encode:sub(index + 1, index + 1) or "="
    end
  end
  return table.concat(parts)
end

local many = false
local count = 0

function init(args)
  many = args[1] == "many"
  math.randomseed(os.time() + tonumber(tostring({}):match("0x(%x+)"), 16) % 100000)
end

function request()
  count = count + 1
  local name = many and ("guest" .. math.random(1, 1000000)) or "alice"
  local headers = { Authorization = "Basic " .. base64(name .. ":wrong password " .. math.random(1, 1000000000) .. count) }
  return wrk.format("GET", "/v2/", headers)
end
