-- Token buckets as GCRA: all of a bucket is one number, the microsecond at which it is full again
-- ("tat", the theoretical arrival time). It holds a minute's worth, whatever the rate, so a cost is
-- a time as well and a rate may change at any moment. Every number stays below 2^53: exact.
-- token_bucket.py holds the same arithmetic in Python; a test holds the two equal.

local MINUTE = 60000000
-- With a clock of the caller's own the real one must not end a key under it.
local MARGIN_MS = 600000

-- The script's arguments by name; what is unknown is absent. Times are microseconds.
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

-- What rounding each cost up has taken from a bucket by the time it is empty, at most; never so much
-- that one more fits.
local function slack(cost)
  if cost <= 0 or cost >= MINUTE then return 0 end
  return math.min(math.floor(MINUTE / cost), cost - 1)
end

-- Microseconds until `cost` fits, 0 if it does. What is larger than the bucket needs a full one.
local function wait_for(tat, cost)
  return math.max(debt(tat) + math.min(cost, MINUTE) - MINUTE - slack(cost), 0)
end

-- The tat after a cost; after a negative one, which gives back, it is at best full.
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

-- The tat of a bucket at this rate. A debt is a time, so at a higher rate than the one it was taken at
-- the same amount takes less of it to refill. A lower rate leaves it: what is empty stays empty.
-- `rate_key` holds the rate of the last take, in millionths a minute; nil is no rate.
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
