-- ARGV: owner, whether plain keys are written, times of entry and plain key; then for each stream its URL.
local by, keys, entry_ms, plain_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = clock()

local function release(ekey, pkey, url)
  local entry = parse(read(ekey))
  if not entry then return end
  local waiting = {}
  if entry.owner ~= by then
    for _, other in ipairs(entry.waiting) do
      if other.lease ~= by then table.insert(waiting, other) end
    end
    if #waiting < #entry.waiting then
      entry.waiting = waiting
      write(ekey, entry, entry_ms)
    end
    return
  end
  for _, other in ipairs(entry.waiting) do
    if other.until_ms > now and other.lease ~= by then table.insert(waiting, other) end
  end
  local plain = read(pkey)
  if plain == url then
    redis.call('DEL', pkey)
    plain = ''
  end
  local heir = table.remove(waiting, 1)
  if not heir then
    redis.call('DEL', ekey)
    return
  end
  local number = next_number(now, 0, entry.number)
  write(ekey, { number = number, since = now, owner = heir.lease, url = heir.url, waiting = waiting }, entry_ms)
  write_plain(pkey, plain, heir.url, keys, plain_ms)
end

for i = 1, #KEYS / 2 do
  release(KEYS[2 * i - 1], KEYS[2 * i], ARGV[4 + i])
end
return 1
