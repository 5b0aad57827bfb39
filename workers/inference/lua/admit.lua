-- Admits one call, all or nothing: breaker, the user's tokens, the provider's limits, in this order.
-- The first that refuses decides, and books the time of the call's retry.
-- KEYS: see limits.lua. Arguments:
--   now          replaces the clock of Redis
--   booked       whether the call was deferred before and retries at its booked time
--   user_cost    cost in the user's bucket; 0: no such bucket
--   user_rate    rate of that bucket, in millionths per minute
--   input_tokens, output_tokens
--   breaker      `ask`, `skip`, or `held_open` by an operator
--   policy       of the breaker: see BreakerPolicy.arguments()
--   lease        the call's id
--   fallback     whether the call comes from a model with an open breaker
--   model
--   farthest     the longest wait of a booking
--   least_apart  the least time between two bookings
-- Returns {'', since, trial?, then cost and debt of each limit (-1: unknown)}, or {reason, wait,
-- outage?, half opened?}. With the reason `probe` the caller sends a probe now and then retries.

local amounts = {1, args.input_tokens, args.output_tokens}
local policy, held_open = args.policy, args.breaker == 'held_open'
local farthest, least = args.farthest, args.least_apart

-- A bucket's pointer is the time at which all booked amounts have been taken and it is empty.
-- Returns the microseconds until the call may take, after all earlier bookings, and the new pointer.
-- A bucket that is more than half full admits every call: the booked calls did not use their share.
local function turn(tat, pointer, cost, share)
  if wait_for(tat, cost) == 0 and (args.booked or pointer <= now or debt(tat) * 2 <= MINUTE) then
    return 0
  end
  local empty = math.max(pointer, math.max(tat, now) - MINUTE)
  local wait = math.max(empty + math.min(cost, MINUTE) - slack(cost) - now, least)
  -- Reservations are bounds. Bookings are spaced by the share of its bound that a call usually uses.
  local expected = math.ceil(cost * tonumber(share or 1000000) / 1000000)
  return math.min(wait, farthest), math.min(empty + math.max(expected, least), now + farthest)
end

local limits = read_limits()

-- The breaker.
local way, since, breaker = 'call', '0', nil
if args.breaker ~= 'skip' then
  local wait
  local doubted = 0
  breaker = read_hash(breaker_key)
  since = breaker.since or '0'
  if args.fallback then doubted = first_of_others(read_hash(trips_key), args.model) end
  if held_open then
    -- The end is unknown, so a call retries after the open time.
    way, wait = 'wait', math.max(tonumber(breaker.held or 0) - now, policy.open)
  else
    way, wait = breaker_look(breaker, policy, doubted)
  end
  if way == 'wait' then
    wait = math.min(wait, farthest)
    -- Bookings made while an operator forces it open do not delay later calls.
    redis.call('HSET', breaker_key, held_open and 'held' or 'next', whole(now + wait + policy.spacing))
    redis.call('PEXPIRE', breaker_key, policy.keep_ms)
    -- A breaker that is forced open never prevents a fallback.
    return {'breaker', wait, held_open and 0 or redis.call('HEXISTS', trips_key, 'outage'), 0}
  end
  if way == 'probe' and tonumber(limits.block or 0) <= now then
    local opened = breaker.state == 'open' and 1 or 0
    if opened == 1 then breaker_become(breaker_key, breaker, 'half_open') end
    redis.call('HSET', breaker_key, 'p:' .. args.lease, whole(now + policy.lease))
    redis.call('PEXPIRE', breaker_key, policy.keep_ms)
    return {'probe', wait, redis.call('HEXISTS', trips_key, 'outage'), opened}
  end
end

-- The user's tokens.
local user_tat
if args.user_cost > 0 and way ~= 'probe' then
  local taken = read(bucket_key)
  user_tat = at_rate(rate_key, taken, args.user_rate)
  if user_tat < taken then
    -- The rate was raised. Bookings at the lower rate are dropped.
    redis.call('DEL', pointer_key)
    write(bucket_key, user_tat)
    note_rate(rate_key, user_tat, args.user_rate)
  end
  local wait, pointer = turn(user_tat, read(pointer_key), args.user_cost, limits.share0)
  if wait > 0 then
    write(pointer_key, pointer)
    return {'user_tokens', wait}
  end
end

-- The provider's limits: requests, input tokens, output tokens.
local costs, worst, pointers = {}, 0, {}
for i = 1, 3 do
  local limit = tonumber(limits['limit' .. i] or 0)
  if limit > 0 then
    costs[i] = math.ceil(amounts[i] * MINUTE / limit)
    local tat, pointer = tonumber(limits['tat' .. i] or 0), tonumber(limits['at' .. i] or 0)
    local wait, after_it = turn(tat, pointer, costs[i], limits['share' .. i])
    pointers[i] = after_it
    local doubted = tonumber(limits['doubt' .. i] or now + wait) - now
    -- The doubted limit may be restored before this wait ends. Retry before that, spread in time.
    if wait > doubted then
      local half = math.floor(doubted / 2)
      local told = redis.call('HINCRBY', limits_key, 'told' .. i, 1)
      wait = doubted - half + told * APART % (half + 1)
    end
    worst = math.max(worst, wait)
  end
end
local blocked = tonumber(limits.block or 0)
if blocked > now then
  local turns = math.max(tonumber(limits.at1 or 0), blocked)
  pointers[1] = math.min(turns + math.max(costs[1] or 0, least), now + farthest)
  worst = math.min(math.max(worst, turns - now), farthest)
end
-- Every bucket is full after a minute, and a learned limit may be wrong. A longer wait could exceed
-- a job's deadline, so it is cut and spread over the second half of a minute. A counter spreads it,
-- because bookings end at the farthest one and may be a divisor of half a minute apart.
if worst > MINUTE then
  local half = MINUTE / 2
  worst = half + redis.call('HINCRBY', limits_key, 'told', 1) * APART % (half + 1)
end
if worst > 0 then
  for i, pointer in pairs(pointers) do
    redis.call('HSET', limits_key, 'at' .. i, whole(pointer))
  end
  return {'provider_limit', worst}
end

-- Admitted.
if user_tat then
  local tat = after(user_tat, args.user_cost)
  write(bucket_key, tat)
  note_rate(rate_key, tat, args.user_rate)
end
local answer = {'', since, 0}
for i = 1, 3 do
  if costs[i] then
    local tat = after(tonumber(limits['tat' .. i] or 0), costs[i])
    redis.call('HSET', limits_key, 'tat' .. i, whole(tat))
    answer[2 + 2 * i], answer[3 + 2 * i] = costs[i], debt(tat)
  else
    answer[2 + 2 * i], answer[3 + 2 * i] = -1, -1
  end
end
if way == 'trial' then
  answer[2], answer[3] = '', 1
  redis.call('HSET', breaker_key, 't:' .. args.lease, whole(now + policy.lease))
end
return answer
