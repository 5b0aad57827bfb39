-- Asks all gates for one call, all or nothing: the breaker, the user's tokens, the provider's
-- limits, in this order; the first that says no decides and books the call's return.
-- KEYS: the user's bucket, its pointer, the model's limits, the model's breaker, the trips of all,
-- the rate of the user's bucket.
-- ARGV: now, booked, the user's cost in microseconds (0: no such bucket), input and output tokens,
-- whether the breaker is asked (2: a person holds it open), the lease's id, the breaker's first trials, lease, recheck, spacing,
-- the farthest booking, the least time between two bookings, whether the call comes from a model
-- whose breaker is open, the model, milliseconds an idle breaker is kept, the user's rate in
-- millionths a minute ('' without a user).
-- Returns {'', since, trial?, then for each limit cost and debt (-1: unknown)}; or {reason, wait,
-- outage?, half opened?}, where the reason `probe` means that the caller sends one now and then asks
-- again.

local booked = ARGV[2] == '1'
local user_cost = tonumber(ARGV[3])
local amounts = {1, tonumber(ARGV[4]), tonumber(ARGV[5])}
local policy = {first_trials = tonumber(ARGV[8]), recheck = tonumber(ARGV[10])}
local lease_us, spacing = tonumber(ARGV[9]), tonumber(ARGV[11])
local farthest, least = tonumber(ARGV[12]), tonumber(ARGV[13])

-- The pointer of a bucket is the moment at which all that was booked has been taken and it is empty.
-- Returns the microseconds until the call may take, behind those that were told a time before it,
-- and the pointer after it. A bucket that is more than half full lets all in: those that were
-- booked did not need what was kept for them.
local function turn(tat, pointer, cost, share)
  if wait_for(tat, cost) == 0 and (booked or pointer <= now or debt(tat) * 2 <= MINUTE) then
    return 0
  end
  local empty = math.max(pointer, math.max(tat, now) - MINUTE)
  local wait = math.max(empty + math.min(cost, MINUTE) - slack(cost) - now, least)
  -- Reservations are bounds. Bookings lie as close as calls have been found to use of theirs.
  local expected = math.ceil(cost * tonumber(share or 1000000) / 1000000)
  return math.min(wait, farthest), math.min(empty + math.max(expected, least), now + farthest)
end

local limits = read_limits()

-- The breaker.
local way, since, breaker = 'call', '0', nil
if ARGV[6] ~= '0' then
  local wait
  local doubted = 0
  breaker = read_hash(KEYS[4])
  since = breaker.since or '0'
  if ARGV[14] == '1' then doubted = first_of_others(read_hash(KEYS[5]), ARGV[15]) end
  if ARGV[6] == '2' then
    way, wait = 'wait', math.max(tonumber(breaker.held or 0) - now, policy.recheck)
  else
    way, wait = breaker_look(breaker, policy, doubted)
  end
  if way == 'wait' then
    wait = math.min(wait, farthest)
    -- Moments told while a person holds it open are not kept for calls after that.
    local held = ARGV[6] == '2'
    redis.call('HSET', KEYS[4], held and 'held' or 'next', whole(now + wait + spacing))
    redis.call('PEXPIRE', KEYS[4], ARGV[16])
    -- A held breaker does not keep the next model from being asked, whatever else fails.
    return {'breaker', wait, held and 0 or redis.call('HEXISTS', KEYS[5], 'outage'), 0}
  end
  if way == 'probe' and tonumber(limits.block or 0) <= now then
    local opened = breaker.state == 'open' and 1 or 0
    if opened == 1 then breaker_become(KEYS[4], breaker, 'half_open') end
    redis.call('HSET', KEYS[4], 'p:' .. ARGV[7], whole(now + lease_us))
    redis.call('PEXPIRE', KEYS[4], ARGV[16])
    return {'probe', wait, redis.call('HEXISTS', KEYS[5], 'outage'), opened}
  end
end

-- The user's tokens.
local user_tat
if user_cost > 0 and way ~= 'probe' then
  local taken = read(KEYS[1])
  user_tat = at_rate(KEYS[6], taken, ARGV[17])
  if user_tat < taken then
    -- What was booked was booked at the lower rate.
    redis.call('DEL', KEYS[2])
    write(KEYS[1], user_tat)
    note_rate(KEYS[6], user_tat, ARGV[17])
  end
  local wait, pointer = turn(user_tat, read(KEYS[2]), user_cost, limits.share0)
  if wait > 0 then
    write(KEYS[2], pointer)
    return {'user_tokens', wait}
  end
end

-- The provider's limits, in its own requests and tokens.
local costs, worst, pointers = {}, 0, {}
for i = 1, 3 do
  local limit = tonumber(limits['limit' .. i] or 0)
  if limit > 0 then
    costs[i] = math.ceil(amounts[i] * MINUTE / limit)
    local tat, pointer = tonumber(limits['tat' .. i] or 0), tonumber(limits['at' .. i] or 0)
    local wait, after_it = turn(tat, pointer, costs[i], limits['share' .. i])
    pointers[i] = after_it
    local doubted = tonumber(limits['doubt' .. i] or now + wait) - now
    -- It may be lifted before this wait is over: come back by then, each at a moment of its own.
    if wait > doubted then
      local half = math.floor(doubted / 2)
      local told = redis.call('HINCRBY', KEYS[3], 'told' .. i, 1)
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
-- A minute fills every bucket, and what was learned of a limit may be wrong. A longer wait could
-- outlast a job's deadline, so it is cut, and spread over the second half of a minute: by a counter,
-- since bookings end at the farthest one and may lie apart by a part of half a minute.
if worst > MINUTE then
  local half = MINUTE / 2
  worst = half + redis.call('HINCRBY', KEYS[3], 'told', 1) * APART % (half + 1)
end
if worst > 0 then
  for i, pointer in pairs(pointers) do
    redis.call('HSET', KEYS[3], 'at' .. i, whole(pointer))
  end
  return {'provider_limit', worst}
end

-- Nothing said no.
if user_tat then
  local tat = after(user_tat, user_cost)
  write(KEYS[1], tat)
  note_rate(KEYS[6], tat, ARGV[17])
end
local answer = {'', since, 0}
for i = 1, 3 do
  if costs[i] then
    local tat = after(tonumber(limits['tat' .. i] or 0), costs[i])
    redis.call('HSET', KEYS[3], 'tat' .. i, whole(tat))
    answer[2 + 2 * i], answer[3 + 2 * i] = costs[i], debt(tat)
  else
    answer[2 + 2 * i], answer[3 + 2 * i] = -1, -1
  end
end
if way == 'trial' then
  answer[2], answer[3] = '', 1
  redis.call('HSET', KEYS[4], 't:' .. ARGV[7], whole(now + lease_us))
end
return answer
