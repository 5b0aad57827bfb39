-- Asks all gates for one call, all or nothing: the breaker, the user's tokens, the provider's
-- limits, in this order; the first that says no decides and books the call's return.
-- KEYS: the user's bucket, its pointer, the model's limits, the model's breaker.
-- ARGV: now, booked, the user's cost in microseconds (0: no such bucket), input and output tokens,
-- whether the breaker is asked, the probe's id, the breaker's probes, lease, recheck, spacing, the
-- farthest booking, the least time between two bookings.
-- Returns {'', since, probe?, half opened?, then for each limit cost and debt (-1: unknown)},
-- or {reason, wait}.

local booked = ARGV[2] == '1'
local user_cost = tonumber(ARGV[3])
local amounts = {1, tonumber(ARGV[4]), tonumber(ARGV[5])}
local policy = {probes = tonumber(ARGV[8]), recheck = tonumber(ARGV[10])}
local lease_us, spacing = tonumber(ARGV[9]), tonumber(ARGV[11])
local farthest, least = tonumber(ARGV[12]), tonumber(ARGV[13])

-- Microseconds until the call may take, behind those that were told a time before it. A bucket that
-- is more than half full lets all in: those that were booked did not need what was kept for them.
local function turn(tat, pointer, cost)
  local wait = wait_for(tat, cost)
  if wait == 0 and (booked or pointer <= now or debt(tat) * 2 <= MINUTE) then return 0 end
  return math.min(math.max(pointer - now, wait), farthest)
end

local limits = read_hash(KEYS[3])

-- Reservations are bounds. The next booking comes after what a call has been found to use of its.
local function moved(wait, cost, share)
  return now + wait + math.max(math.ceil(cost * tonumber(share or 1000000) / 1000000), least)
end

-- The breaker.
local state, dead, since, breaker = 'closed', {}, '0', nil
if ARGV[6] == '1' then
  local wait
  breaker = read_hash(KEYS[4])
  wait, state, dead = breaker_look(breaker, policy)
  since = breaker.since or '0'
  if wait > 0 then
    wait = math.min(wait, farthest)
    redis.call('HSET', KEYS[4], 'next', whole(now + wait + spacing))
    return {'breaker', wait}
  end
end

-- The user's tokens.
local user_tat
if user_cost > 0 then
  user_tat = read(KEYS[1])
  local wait = turn(user_tat, read(KEYS[2]), user_cost)
  if wait > 0 then
    write(KEYS[2], moved(wait, user_cost, limits.share0))
    return {'user_tokens', wait}
  end
end

-- The provider's limits, in its own requests and tokens.
local costs, worst, refused = {}, 0, {}
for i = 1, 3 do
  local limit = tonumber(limits['limit' .. i] or 0)
  if limit > 0 then
    costs[i] = math.ceil(amounts[i] * MINUTE / limit)
    local tat, pointer = tonumber(limits['tat' .. i] or 0), tonumber(limits['at' .. i] or 0)
    local wait = turn(tat, pointer, costs[i])
    if wait > 0 then refused[i] = wait end
    worst = math.max(worst, wait)
  end
end
local blocked = tonumber(limits.block or 0) - now
if blocked > 0 then
  refused[1] = math.max(tonumber(limits.at1 or 0) - now, blocked, refused[1] or 0)
  worst = math.max(worst, refused[1])
end
if worst > 0 then
  for i, wait in pairs(refused) do
    redis.call('HSET', KEYS[3], 'at' .. i, whole(moved(wait, costs[i] or 0, limits['share' .. i])))
  end
  return {'provider_limit', worst}
end

-- Nothing said no.
if user_tat then write(KEYS[1], after(user_tat, user_cost)) end
local answer = {'', since, 0, 0}
for i = 1, 3 do
  if costs[i] then
    local tat = after(tonumber(limits['tat' .. i] or 0), costs[i])
    redis.call('HSET', KEYS[3], 'tat' .. i, whole(tat))
    answer[3 + 2 * i], answer[4 + 2 * i] = costs[i], debt(tat)
  else
    answer[3 + 2 * i], answer[4 + 2 * i] = -1, -1
  end
end
if state == 'half_open' then
  answer[3] = 1
  if breaker.state == 'open' then
    breaker_become(KEYS[4], breaker, 'half_open')
    answer[4] = 1
  end
  for _, field in ipairs(dead) do redis.call('HDEL', KEYS[4], field) end
  redis.call('HSET', KEYS[4], 'p:' .. ARGV[7], whole(now + lease_us))
end
return answer
