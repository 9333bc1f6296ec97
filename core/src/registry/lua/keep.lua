-- ARGV: owner, whether plain keys are written, times of entry and plain key; then for each stream its URL.
local by, keys, entry_ms, plain_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local answers = {}
for i = 1, #KEYS / 2 do
  local entry = parse(read(KEYS[2 * i - 1]))
  if entry and entry.owner == by then
    redis.call('PEXPIRE', KEYS[2 * i - 1], entry_ms)
    if keys == '1' then write_plain(KEYS[2 * i], read(KEYS[2 * i]), ARGV[4 + i], keys, plain_ms) end
    answers[i] = text(entry.number)
  else
    answers[i] = false
  end
end
return answers
