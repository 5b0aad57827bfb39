-- Tells all gates how a call ended, in one step.
-- KEYS: as in admit.lua. ARGV: now, what the user's bucket gets back in microseconds, the
-- microseconds the model is blocked, whether the provider refused for a limit; the lease's id, the
-- `since` of the admission, the outcome ('' is no verdict, '-' no breaker), the breaker's size,
-- minimum, failure and slow percent, open time, trials; the share of its bound the user's tokens
-- came to in millionths; then for each of the three limits its limit, what the provider says remains, what the bucket gets back, its debt right after the
-- take, and the share ('' is unknown); then the breaker's first trials, longest open time, most
-- flaps, time of health, time within which failures belong together, and the model.
-- Returns what breaker_record does.

local WINDOW = 2000000
local KEEP_MS = 3600000
local SMOOTH = 0.1

local returned, block, refused = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local limits = read_limits()
local news = {}

local function learn_share(number, share)
  if share == '' then return end
  local known = tonumber(limits['share' .. number] or 1000000)
  news['share' .. number] = whole(known + SMOOTH * (tonumber(share) - known))
end

-- How much more our bucket holds than the provider's, in microseconds, and surely so: what it says
-- is rounded down, and what it has not seen yet we have taken already.
local function surplus(limit, remaining, then_debt, now_debt)
  return MINUTE - math.max(then_debt, now_debt) - math.floor((remaining + 1) * MINUTE / limit)
end

-- One answer may be wrong: a lower limit holds at once, and for a while only.
local function doubt(i, limit)
  local known = tonumber(limits['limit' .. i] or limit)
  if limits['doubt' .. i] then
    settle_doubt(limits, i)
  elseif limit < known then
    news['was' .. i], news['doubt' .. i] = whole(known), whole(now + DOUBT)
  end
end

-- Our own accounting leads. Others who use the same key show as a surplus that stays.
local function learn(i, limit, remaining, back, level)
  doubt(i, limit)
  local scale = raise(limits, i, limit)
  local tat = tonumber(limits['tat' .. i] or 0)
  if not limits['limit' .. i] then
    tat = now + MINUTE - math.floor(math.min(remaining, limit) * MINUTE / limit)
  elseif refused then
    tat = math.max(tat, now) + math.max(surplus(limit, remaining, 0, debt(tat)), 0)
  else
    local then_debt = level == '' and 0 or math.ceil((tonumber(level) - back) * scale)
    local found = surplus(limit, remaining, then_debt, debt(tat))
    local least = math.min(found, tonumber(limits['least' .. i] or found))
    local begun = tonumber(limits['begun' .. i] or now)
    if now - begun >= WINDOW then
      if least > 0 then tat = math.max(tat, now) + least end
      redis.call('HDEL', KEYS[3], 'least' .. i, 'begun' .. i)
    else
      news['least' .. i], news['begun' .. i] = whole(least), whole(begun)
    end
  end
  limits['tat' .. i] = whole(tat)
  news['tat' .. i] = whole(tat)
  news['limit' .. i] = whole(limit)
end

if returned ~= 0 then
  local tat = read(KEYS[1])
  -- A bucket that is full, or was lost, gets nothing back.
  if tat > now or returned < 0 then write(KEYS[1], after(tat, -returned)) end
end

learn_share(0, ARGV[14])
local heard = block > 0
for i = 1, 3 do
  local at = 10 + 5 * i
  local limit, remaining, level = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 3]
  local back = tonumber(ARGV[at + 2])
  if limits['tat' .. i] and back ~= 0 then
    limits['tat' .. i] = whole(after(tonumber(limits['tat' .. i]), -back))
    news['tat' .. i] = limits['tat' .. i]
  end
  if limit and remaining and limit > 0 then
    heard = true
    learn(i, limit, remaining, back, level)
  end
  learn_share(i, ARGV[at + 4])
end
if block > 0 then news.block = whole(math.max(now + block, tonumber(limits.block or 0))) end

-- Without a limit there is nothing to keep: a refund must not bring back what has expired.
if heard or next(limits) then
  for field, value in pairs(news) do redis.call('HSET', KEYS[3], field, value) end
end
if heard then redis.call('PEXPIRE', KEYS[3], KEEP_MS) end

if ARGV[7] == '-' then return {} end
local policy = {
  size = tonumber(ARGV[8]), minimum = tonumber(ARGV[9]), failure_percent = tonumber(ARGV[10]),
  slow_percent = tonumber(ARGV[11]), open = tonumber(ARGV[12]), trials = tonumber(ARGV[13]),
  first_trials = tonumber(ARGV[30]), longest = tonumber(ARGV[31]), most_flaps = tonumber(ARGV[32]),
  healthy = tonumber(ARGV[33]), together = tonumber(ARGV[34]), model = ARGV[35], keep_ms = KEEP_MS,
}
return breaker_record(
  KEYS[4], KEYS[5], read_hash(KEYS[4]), policy, ARGV[5], ARGV[6], ARGV[7])
