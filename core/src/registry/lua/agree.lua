-- KEYS: for each stream, where its time zero is. ARGV: how long that counts; then for each stream the moment asked for,
-- and '1' if what is there is kept in any case.
local answers = {}
for i = 1, #KEYS do
  local asked, keeps = ARGV[2 * i], ARGV[2 * i + 1] == '1'
  local known = string.match(read(KEYS[i]), '^%-?%d+$')
  if known and #string.gsub(known, '-', '') > 15 then known = nil end
  if known and (keeps or math.abs(tonumber(known) - tonumber(asked)) <= NEAR) then
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
    answers[i] = known
  else
    redis.call('SET', KEYS[i], asked, 'PX', ARGV[1])
    answers[i] = asked
  end
end
return answers
