-- What there is of each stream, as it stands there.
local answers = {}
for i = 1, #KEYS / 2 do
  answers[i] = { read(KEYS[2 * i - 1]), read(KEYS[2 * i]) }
end
return answers
