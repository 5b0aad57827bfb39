-- Takes from several buckets, all or nothing. KEYS: the buckets. ARGV: now, then the cost for each
-- in microseconds; below zero it is given back, zero only looks.
-- Returns whether all fitted, then for each its wait before and its debt after.

local tats, waits, fits = {}, {}, true
for i, key in ipairs(KEYS) do
  local cost = tonumber(ARGV[i + 1])
  tats[i] = read(key)
  waits[i] = cost < 0 and 0 or wait_for(tats[i], cost)
  fits = fits and waits[i] == 0
end

local answer = {fits and 1 or 0}
for i, key in ipairs(KEYS) do
  local cost = tonumber(ARGV[i + 1])
  if fits and cost ~= 0 then
    tats[i] = after(tats[i], cost)
    write(key, tats[i])
  end
  answer[2 * i] = waits[i]
  answer[2 * i + 1] = debt(tats[i])
end
return answer
