-- Takes from several buckets, all or nothing. KEYS: the buckets, then the rate key of each.
-- Arguments: now; rate of all, in millionths per minute; costs, one per bucket, in microseconds.
-- A negative cost is given back, zero only reads the bucket.
-- Returns whether all fitted, then for each bucket its wait before and its debt after the take.

local count, rate, costs = #KEYS / 2, args.rate, args.costs
local tats, waits, fits = {}, {}, true
for i = 1, count do
  local cost, taken = costs[i], read(KEYS[i])
  tats[i] = at_rate(KEYS[count + i], taken, rate)
  if tats[i] < taken then
    write(KEYS[i], tats[i])
    note_rate(KEYS[count + i], tats[i], rate)
  end
  waits[i] = cost < 0 and 0 or wait_for(tats[i], cost)
  fits = fits and waits[i] == 0
end

local answer = {fits and 1 or 0}
for i = 1, count do
  local cost = costs[i]
  if fits and cost ~= 0 then
    tats[i] = after(tats[i], cost)
    write(KEYS[i], tats[i])
    note_rate(KEYS[count + i], tats[i], rate)
  end
  answer[2 * i] = waits[i]
  answer[2 * i + 1] = debt(tats[i])
end
return answer
