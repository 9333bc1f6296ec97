-- ARGV: the number above which the epoch is to be, time of entry.
local above, now = tonumber(ARGV[1]), clock()
local entry = parse(read(KEYS[1]))
if entry and entry.number <= above then
  entry.number = next_number(now, above, entry.number)
  write(KEYS[1], entry, ARGV[2])
end
return 1
