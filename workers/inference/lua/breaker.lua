-- A circuit breaker in one hash. breaker.py holds the same steps in Python; a test holds the two
-- equal. Outcomes are digits: 1 failed, 2 slow, 3 both, 0 neither.
--   state    closed (or none), open, half_open
--   since    when it became that: results of calls that began before it say nothing
--   ring     the outcomes of the sliding window, newest last
--   results  the outcomes of the probes
--   until    when the next probe may be sent
--   next     when the next call that is told to wait is to come back
--   p:<id>   until when a probe takes up room, unless it ends before

local function rates(ring)
  local _, failed = string.gsub(ring, '[13]', '')
  local _, slow = string.gsub(ring, '[23]', '')
  return #ring, failed, slow
end

local function bad(ring, policy)
  local calls, failed, slow = rates(ring)
  return failed * 100 >= policy.failure_percent * calls
    or slow * 100 >= policy.slow_percent * calls
end

-- Looks whether a call may be sent. Returns the microseconds to wait (0: send it), and the state it
-- would be in then. A probe whose lease has ended makes room for another; what it still tells counts.
local function breaker_look(breaker, policy)
  local state = breaker.state or 'closed'
  local open_until = tonumber(breaker['until'] or 0)
  if state == 'closed' then return 0, state end
  if state == 'open' then
    if now >= open_until then return 0, 'half_open' end
    return math.max(tonumber(breaker.next or 0), open_until) - now, state
  end
  local busy = #(breaker.results or '')
  for field, lease in pairs(breaker) do
    if string.sub(field, 1, 2) == 'p:' and tonumber(lease) > now then busy = busy + 1 end
  end
  if busy < policy.probes then return 0, state end
  return math.max(tonumber(breaker.next or 0) - now, policy.recheck), state
end

local function breaker_become(key, breaker, state)
  for field in pairs(breaker) do
    if string.sub(field, 1, 2) == 'p:' then redis.call('HDEL', key, field) end
  end
  redis.call('HDEL', key, 'results')
  redis.call('HSET', key, 'state', state, 'since', whole(now))
  if state == 'closed' then redis.call('HDEL', key, 'ring', 'until', 'next') end
end

-- Records how a call ended; '' is no verdict. Returns the old state, the new one, and the rates
-- that decided, where it changed.
local function breaker_record(key, breaker, policy, lease, since, outcome)
  local state = breaker.state or 'closed'
  local ring, full
  if state == 'half_open' and breaker['p:' .. lease] then
    redis.call('HDEL', key, 'p:' .. lease)
    if outcome == '' then return {} end
    ring = (breaker.results or '') .. outcome
    full = #ring >= policy.probes
    redis.call('HSET', key, 'results', ring)
  elseif state == 'closed' and outcome ~= '' and (breaker.since or '0') == since then
    ring = string.sub((breaker.ring or '') .. outcome, -policy.size)
    full = #ring >= policy.minimum and bad(ring, policy)
    redis.call('HSET', key, 'ring', ring)
  else
    return {}
  end
  redis.call('PEXPIRE', key, policy.keep_ms)
  if not full then return {} end
  local to = bad(ring, policy) and 'open' or 'closed'
  breaker_become(key, breaker, to)
  if to == 'open' then
    redis.call('HSET', key, 'ring', ring, 'until', whole(now + policy.open))
  end
  return {state, to, rates(ring)}
end
