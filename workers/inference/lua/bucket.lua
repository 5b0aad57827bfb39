-- Token buckets as GCRA: a bucket is one number, the microsecond at which it is full again ("tat",
-- theoretical arrival time). It holds the amount of one minute at its rate, so a cost is a time and
-- the rate may change at any time. Every number stays below 2^53 and is exact.
-- token_bucket.py has the same algorithm in Python; a test compares the two.

local MINUTE = 60000000
-- If the caller passes its own clock, keys must not expire early by the real one.
local MARGIN_MS = 600000

-- The script's arguments by name; unknown ones are absent. Times are microseconds.
local args = cjson.decode(ARGV[1])

local injected = args.now ~= nil
local now = args.now
if not injected then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function whole(number)
  return string.format('%.0f', number)
end

local function expiry_ms(until_us)
  return whole(math.ceil((until_us - now) / 1000) + 1 + (injected and MARGIN_MS or 0))
end

local function debt(tat)
  return math.max(tat - now, 0)
end

-- The most that a bucket loses by rounding costs up, until it is empty. Less than one cost, so it
-- never admits one too many.
local function slack(cost)
  if cost <= 0 or cost >= MINUTE then return 0 end
  return math.min(math.floor(MINUTE / cost), cost - 1)
end

-- Microseconds until `cost` fits; 0 if it does. A cost above the capacity needs a full bucket.
local function wait_for(tat, cost)
  return math.max(debt(tat) + math.min(cost, MINUTE) - MINUTE - slack(cost), 0)
end

-- The tat after a cost. A negative cost is given back.
local function after(tat, cost)
  if cost < 0 then return tat + cost end
  return math.max(tat, now) + cost
end

local function read(key)
  return tonumber(redis.call('GET', key) or 0)
end

local function write(key, tat)
  if tat <= now then
    redis.call('DEL', key)
  else
    redis.call('SET', key, whole(tat), 'PX', expiry_ms(tat))
  end
end

-- The tat of a bucket at this rate. A debt is a time, so it shrinks if the rate is higher than when
-- it was taken. A lower rate leaves it unchanged: an empty bucket stays empty.
-- `rate_key` has the rate of the last take, in millionths per minute. No `rate` (nil): no change.
local function at_rate(rate_key, tat, rate)
  if not rate or tat <= now then return tat end
  local known = tonumber(redis.call('GET', rate_key) or rate)
  if known >= rate then return tat end
  return now + math.ceil((tat - now) * (known / rate))
end

local function note_rate(rate_key, tat, rate)
  if not rate then return end
  if tat <= now then
    redis.call('DEL', rate_key)
  else
    redis.call('SET', rate_key, whole(rate), 'PX', expiry_ms(tat))
  end
end

local function read_hash(key)
  local found, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end
