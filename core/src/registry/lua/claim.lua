-- ARGV: owner, whether plain keys are written, times of entry, plain key and waiting; then for each stream its URL,
-- the floor of its epoch, and the owner that was found dead, or ''.
local by, keys, entry_ms, plain_ms, waiting_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local now, answers = clock(), {}

local function claim(ekey, pkey, url, floor, dead)
  local entry, plain = parse(read(ekey)), read(pkey)
  local function reign(since, number, waiting)
    write(ekey, { number = number, since = since, owner = by, url = url, waiting = waiting }, entry_ms)
    write_plain(pkey, plain, url, keys, plain_ms)
    return { 'owner', text(number) }
  end
  if not entry then
    if is_url(plain) and plain ~= url then return { 'foreign', plain } end
    return reign(now, next_number(now, floor, 0), {})
  end
  local waiting, own = {}, nil
  for _, other in ipairs(entry.waiting) do
    if other.until_ms > now then
      table.insert(waiting, other)
      if other.lease == by then own = #waiting end
    end
  end
  if entry.owner == by then
    local number = entry.number
    if floor > number then number = next_number(now, floor, 0) end
    return reign(entry.since, number, waiting)
  end
  if entry.owner == dead then
    if own then table.remove(waiting, own) end
    if plain == entry.url then plain = '' end
    return reign(now, next_number(now, floor, entry.number), waiting)
  end
  local place = { until_ms = now + waiting_ms, lease = by, url = url }
  if own then waiting[own] = place elseif #waiting < MOST then table.insert(waiting, place) end
  entry.waiting = waiting
  write(ekey, entry, entry_ms)
  return { 'waiting', text(entry.number), entry.owner, entry.url }
end

for i = 1, #KEYS / 2 do
  local at = 5 + (i - 1) * 3
  answers[i] = claim(KEYS[2 * i - 1], KEYS[2 * i], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3])
end
return answers
