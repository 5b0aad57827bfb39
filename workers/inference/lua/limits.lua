-- Shared by admit.lua and settle.lua: their keys, and the provider's limits.
-- KEYS: the user's bucket, its pointer, the model's limits, the model's breaker, the trips of all
-- models, the rate of the user's bucket.

local bucket_key, pointer_key, limits_key, breaker_key, trips_key, rate_key = unpack(KEYS)

-- Time for which a limit lowered by one answer is doubted: `doubt` is its end, `was` the old limit.
-- Any second answer ends the doubt. LONGEST_BLOCK_US in rate_gate.py has the same value.
local DOUBT = 20000000

-- Time between two retries before the end of a doubt, or after a cut wait.
local APART = 277777

-- Applies a raised limit: debts shrink, because the same amounts take less time to refill. Bookings
-- at the lower limit are dropped.
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

-- Restores each limit that no second answer has confirmed in time.
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
