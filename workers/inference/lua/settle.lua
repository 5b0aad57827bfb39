-- Records the end of a call in all buckets and the breaker, in one step.
-- KEYS: see limits.lua. Arguments:
--   now         replaces the clock of Redis
--   returned    cost given back to the user's bucket; negative: more is taken
--   user_share  the used part of the bound of the user's tokens, in millionths
--   block       time for which the model is blocked
--   refused     whether the provider refused the call because of a limit
--   limits      for each of the three: limit and remaining (the provider's), back (cost given back to
--               the bucket), debt (of the bucket right after the take), share (see user_share)
--   lease       the call's id
--   since       `since` from the admission
--   outcome     '' is no verdict; absent: the breaker was skipped
--   policy      of the breaker: see BreakerPolicy.arguments()
--   model
-- Returns the result of breaker_record.

local WINDOW = 2000000
local SMOOTH = 0.1

local limits = read_limits()
local news = {}

local function learn_share(number, share)
  if not share then return end
  local known = tonumber(limits['share' .. number] or 1000000)
  news['share' .. number] = whole(known + SMOOTH * (share - known))
end

-- The least surplus of our bucket over the provider's, in microseconds. The provider's number is
-- rounded down, and our bucket already excludes calls that the provider has not received yet.
local function surplus(limit, remaining, then_debt, now_debt)
  return MINUTE - math.max(then_debt, now_debt) - math.floor((remaining + 1) * MINUTE / limit)
end

-- A lower limit applies immediately, but only for a time, because one answer may be wrong.
local function doubt(i, limit)
  local known = tonumber(limits['limit' .. i] or limit)
  if limits['doubt' .. i] then
    settle_doubt(limits, i)
  elseif limit < known then
    news['was' .. i], news['doubt' .. i] = whole(known), whole(now + DOUBT)
  end
end

-- Our own accounting decides. Other clients with the same key cause a surplus that persists.
local function learn(i, limit, remaining, back, level)
  doubt(i, limit)
  local scale = raise(limits, i, limit)
  local tat = tonumber(limits['tat' .. i] or 0)
  if not limits['limit' .. i] then
    tat = now + MINUTE - math.floor(math.min(remaining, limit) * MINUTE / limit)
  elseif args.refused then
    tat = math.max(tat, now) + math.max(surplus(limit, remaining, 0, debt(tat)), 0)
  else
    local then_debt = level and math.ceil((level - back) * scale) or 0
    local found = surplus(limit, remaining, then_debt, debt(tat))
    local least = math.min(found, tonumber(limits['least' .. i] or found))
    local begun = tonumber(limits['begun' .. i] or now)
    if now - begun >= WINDOW then
      if least > 0 then tat = math.max(tat, now) + least end
      redis.call('HDEL', limits_key, 'least' .. i, 'begun' .. i)
    else
      news['least' .. i], news['begun' .. i] = whole(least), whole(begun)
    end
  end
  limits['tat' .. i] = whole(tat)
  news['tat' .. i] = whole(tat)
  news['limit' .. i] = whole(limit)
end

if args.returned ~= 0 then
  local tat = read(bucket_key)
  -- A full or lost bucket gets nothing back.
  if tat > now or args.returned < 0 then write(bucket_key, after(tat, -args.returned)) end
end

learn_share(0, args.user_share)
local heard = args.block > 0
for i = 1, 3 do
  local told = args.limits[i]
  if limits['tat' .. i] and told.back ~= 0 then
    limits['tat' .. i] = whole(after(tonumber(limits['tat' .. i]), -told.back))
    news['tat' .. i] = limits['tat' .. i]
  end
  if told.limit then
    heard = true
    learn(i, told.limit, told.remaining, told.back, told.debt)
  end
  learn_share(i, told.share)
end
if args.block > 0 then news.block = whole(math.max(now + args.block, tonumber(limits.block or 0))) end

-- Without a known limit nothing is stored: a refund must not recreate an expired hash.
if heard or next(limits) then
  for field, value in pairs(news) do redis.call('HSET', limits_key, field, value) end
end
if heard then redis.call('PEXPIRE', limits_key, args.policy.keep_ms) end

if not args.outcome then return {} end
return breaker_record(breaker_key, trips_key, read_hash(breaker_key), args.policy, args.lease,
  args.since, args.outcome)
