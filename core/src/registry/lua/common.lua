-- The parts that every script of the directory begins with. KEYS come in pairs: a stream's entry, its plain key.
-- The rules are those of rules.rs, word for word; the form of an entry is that of entry.rs.
local MOST, EPOCH_MAX, VALUE_MAX, NEAR = 8, 999999999999999, 16384, 5000

local function text(number) return string.format('%.0f', number) end

-- At most VALUE_MAX bytes of a key; '' if there is none, or if it is not a string.
local function read(key)
  local value = redis.pcall('GETRANGE', key, 0, VALUE_MAX - 1)
  if type(value) == 'table' then return '' end
  return value
end

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function number(digits)
  if #digits < 1 or #digits > 15 then return nil end
  return tonumber(digits)
end

-- nil if the text is not an entry.
local function parse(value)
  local entry
  for line in string.gmatch(value, '[^\n]+') do
    if not entry then
      local a, b, owner, url = string.match(line, '^1 (%d+) (%d+) (%x+) (.+)$')
      if not a or #owner ~= 16 or string.find(owner, '%u') then return nil end
      entry = { number = number(a), since = number(b), owner = owner, url = url, waiting = {} }
      if not entry.number or not entry.since then return nil end
    else
      local a, lease, url = string.match(line, '^(%d+) (%x+) (.+)$')
      if not a or #lease ~= 16 or string.find(lease, '%u') then return nil end
      local until_ms = number(a)
      if not until_ms or #entry.waiting == MOST then return nil end
      table.insert(entry.waiting, { until_ms = until_ms, lease = lease, url = url })
    end
  end
  return entry
end

local function write(key, entry, ms)
  local lines = { '1 ' .. text(entry.number) .. ' ' .. text(entry.since) .. ' ' .. entry.owner .. ' ' .. entry.url .. '\n' }
  for _, other in ipairs(entry.waiting) do
    table.insert(lines, text(other.until_ms) .. ' ' .. other.lease .. ' ' .. other.url .. '\n')
  end
  redis.call('SET', key, table.concat(lines), 'PX', ms)
end

local function next_number(now, floor, last)
  return math.min(math.max(now, floor + 1, last + 1), EPOCH_MAX)
end

local function is_url(value)
  return string.match(value, '^%a[%w+.-]*://.') ~= nil
end

-- Writes the plain key, unless somebody else's URL stands there.
local function write_plain(key, plain, url, keys, ms)
  if keys ~= '1' or (is_url(plain) and plain ~= url) then return end
  redis.call('SET', key, url, 'PX', ms)
end
