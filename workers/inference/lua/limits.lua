-- What admit.lua and settle.lua share: their keys, and the provider's limits.
-- KEYS: the user's bucket, its pointer, the model's limits, the model's breaker, the trips of all,
-- the rate of the user's bucket.

local bucket_key, pointer_key, limits_key, breaker_key, trips_key, rate_key = unpack(KEYS)

-- A limit that one answer lowers is doubted for this long: `doubt` is the end, `was` the limit before.
-- A second answer settles it, whatever it says. LONGEST_BLOCK_US in gate.py is the same.
local DOUBT = 20000000

-- Between those who are told to come back before its end, and those whose wait is cut.
local APART = 277777

-- A limit that was raised: the same amounts take less time to refill, and what was booked was booked
-- at the lower one.
local function raise(limits, i, limit)
  local known = tonumber(limits['limit' .. i] or limit)
  if known >= limit then return 1 end
  local tat = tonumber(limits['tat' .. i] or 0)
  if tat > now then
    limits['tat' .. i] = whole(now + math.ceil((tat - now) * (known / limit)))
  end
  redis.call('HDEL', limits_key, 'at' .. i, 'least' .. i, 'begun' .. i)
  limits['at' .. i], limits['least' .. i], limits['begun' .. i] = nil, nil, nil
  return known / limit
end

local function settle_doubt(limits, i)
  redis.call('HDEL', limits_key, 'was' .. i, 'doubt' .. i, 'told' .. i)
  limits['was' .. i], limits['doubt' .. i] = nil, nil
end

-- A limit that no second answer has confirmed in time is what it was.
local function read_limits()
  local limits = read_hash(limits_key)
  for i = 1, 3 do
    if limits['doubt' .. i] and tonumber(limits['doubt' .. i]) <= now then
      local was = limits['was' .. i]
      raise(limits, i, tonumber(was))
      limits['limit' .. i] = was
      redis.call('HSET', limits_key, 'limit' .. i, was, 'tat' .. i, limits['tat' .. i] or '0')
      settle_doubt(limits, i)
    end
  end
  return limits
end
