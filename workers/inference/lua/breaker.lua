-- A circuit breaker in one hash. breaker.py has the same steps in Python; a test compares the two.
-- Outcomes are digits: 1 failed, 2 slow, 3 both, 0 neither.
--   state    closed (or none), open, half_open
--   since    time of the last state change; results of calls that began before it do not count
--   ring     outcomes of the sliding window, newest last
--   trying   half open with an answered probe: trial calls are admitted
--   results  outcomes of the trial calls
--   until    time from which the next probe may be sent
--   next     retry time of the next deferred call
--   held     same as `next`, for calls while an operator forces it open
--   flaps    trips in a row that were soon after closing
--   wary     trial calls failed since the last closing: only one trial call runs at first
--   proved   time of the last answered probe
--   trusted  time of the last successful trial calls
--   p:<id>   end of a probe's lease
--   t:<id>   end of a trial call's lease
--   a:<id>   a trial call whose answer has begun
-- Another hash has the state shared by all models of the provider; breaker_trips.py has the same.
--   f:<model>  time when its breaker opened, if it has not closed since
--   l:<model>  time of its last trip or failed probe
--   outage     two models failed within a minute of each other

local function rates(ring)
  local _, failed = string.gsub(ring, '[13]', '')
  local _, slow = string.gsub(ring, '[23]', '')
  return #ring, failed, slow
end

local function bad(ring, policy)
  local calls, failed, slow = rates(ring)
  local _, in_a_row = rates(string.sub(ring, -policy.minimum))
  return failed * 100 >= policy.failure_percent * calls
    or in_a_row == policy.minimum
    or slow * 100 >= policy.slow_percent * calls
end

local function answered(results)
  local _, count = string.gsub(results, '[02]', '')
  return count
end

-- Trial calls that are admitted before any of them is answered.
local function first_trials(breaker, policy)
  return breaker.wary and 1 or policy.first_trials
end

local function live(breaker, prefix)
  local count = 0
  for field, lease in pairs(breaker) do
    if string.sub(field, 1, 2) == prefix and tonumber(lease) > now then count = count + 1 end
  end
  return count
end

-- Time of the latest trip of another model; 0: all others are closed.
local function first_of_others(trips, model)
  local latest = 0
  for field, at in pairs(trips) do
    if string.sub(field, 1, 2) == 'f:' and string.sub(field, 3) ~= model then
      latest = math.max(latest, tonumber(at))
    end
  end
  return latest
end

-- Returns what a call may do (`call`, `trial`, send a `probe` first, or `wait`) and the microseconds
-- to wait. A call that falls back from a breaker that opened at `doubted` runs as usual only if
-- trial calls of this model succeeded since.
local function breaker_look(breaker, policy, doubted)
  local state = breaker.state or 'closed'
  local booked = tonumber(breaker.next or 0) - now
  if state == 'open' then
    local open_for = tonumber(breaker['until'] or 0) - now
    if open_for <= 0 then return 'probe', policy.recheck end
    return 'wait', math.max(booked, open_for)
  end
  local tried, proved = false, breaker.trying
  if state == 'closed' then
    tried = tonumber(breaker.trusted or 0) >= doubted
    proved = tonumber(breaker.proved or 0) >= doubted
  end
  if tried then return 'call', 0 end
  if proved then
    local results = breaker.results or ''
    local begun = 0
    for field in pairs(breaker) do
      if string.sub(field, 1, 2) == 'a:' then begun = begun + 1 end
    end
    local room = first_trials(breaker, policy) + 2 * (answered(results) + begun)
    if live(breaker, 't:') + #results < room then return 'trial', 0 end
  elseif live(breaker, 'p:') == 0 then
    return 'probe', policy.recheck
  end
  return 'wait', math.max(booked, policy.recheck)
end

local function breaker_become(key, breaker, state)
  for field in pairs(breaker) do
    if string.find(field, '^[pta]:') then redis.call('HDEL', key, field) end
  end
  redis.call('HDEL', key, 'results', 'trying')
  redis.call('HSET', key, 'state', state, 'since', whole(now))
  if state == 'closed' then redis.call('HDEL', key, 'ring', 'until', 'next') end
end

local function breaker_open(key, trips_key, breaker, policy, ring, open)
  breaker_become(key, breaker, 'open')
  redis.call('HSET', key, 'ring', ring, 'until', whole(now + open))
  redis.call('HSETNX', trips_key, 'f:' .. args.model, whole(now))
  redis.call('HSET', trips_key, 'l:' .. args.model, whole(now))
  for field, at in pairs(read_hash(trips_key)) do
    if string.sub(field, 1, 2) == 'l:' and string.sub(field, 3) ~= args.model
      and now - tonumber(at) <= policy.together then
      redis.call('HSET', trips_key, 'outage', '1')
    end
  end
  redis.call('PEXPIRE', trips_key, policy.keep_ms)
end

local function breaker_probed(key, trips_key, breaker, policy, outcome)
  local state = breaker.state or 'closed'
  if outcome == '' then return {} end
  redis.call('PEXPIRE', key, policy.keep_ms)
  if answered(outcome) == 1 then
    redis.call('HSET', key, 'proved', whole(now))
    redis.call('HDEL', key, 'results')
    if state == 'half_open' then redis.call('HSET', key, 'trying', '1') end
    return {}
  end
  local ring = state == 'half_open' and breaker.ring or outcome
  breaker_open(key, trips_key, breaker, policy, ring, policy.open)
  return {state, 'open', rates(outcome)}
end

local function breaker_decided(key, trips_key, breaker, policy, ring)
  local state = breaker.state or 'closed'
  if not bad(ring, policy) then
    breaker_become(key, breaker, 'closed')
    redis.call('HSET', key, 'trusted', whole(now))
    redis.call('HDEL', key, 'wary')
    redis.call('HDEL', trips_key, 'f:' .. args.model, 'l:' .. args.model, 'outage')
    return {state, 'closed', rates(ring)}
  end
  if state == 'half_open' then
    redis.call('HSET', key, 'wary', '1')
    breaker_open(key, trips_key, breaker, policy, ring, policy.open)
    return {state, 'open', rates(ring)}
  end
  local since, flaps = tonumber(breaker.since or 0), 0
  if since > 0 and now - since < policy.healthy then
    flaps = tonumber(breaker.flaps or 0) + 1
  end
  redis.call('HSET', key, 'flaps', whole(flaps))
  local open = math.min(policy.open * 2 ^ math.min(flaps, policy.most_flaps), policy.longest)
  breaker_open(key, trips_key, breaker, policy, ring, open)
  return {state, 'open', rates(ring)}
end

-- Records the end of a call; outcome '' is no verdict. If the state changed, returns the old state,
-- the new one, and the counts that caused the change.
local function breaker_record(key, trips_key, breaker, policy, lease, since, outcome)
  if breaker['p:' .. lease] then
    redis.call('HDEL', key, 'p:' .. lease)
    breaker['p:' .. lease] = nil
    return breaker_probed(key, trips_key, breaker, policy, outcome)
  end
  local ring, full, trial
  if breaker['t:' .. lease] then
    trial = true
    redis.call('HDEL', key, 't:' .. lease, 'a:' .. lease)
    if outcome == '' then return {} end
    ring = (breaker.results or '') .. outcome
    full = #ring >= math.min(policy.trials, first_trials(breaker, policy) + 2 * answered(ring))
    redis.call('HSET', key, 'results', ring)
  elseif (breaker.state or 'closed') == 'closed' and outcome ~= ''
    and (breaker.since or '0') == since then
    ring = string.sub((breaker.ring or '') .. outcome, -policy.size)
    full = #ring >= policy.minimum and bad(ring, policy)
    redis.call('HSET', key, 'ring', ring)
  else
    return {}
  end
  redis.call('PEXPIRE', key, policy.keep_ms)
  if not full then return {} end
  if trial and (breaker.state or 'closed') == 'closed' and not bad(ring, policy) then
    redis.call('HSET', key, 'trusted', whole(now))
    redis.call('HDEL', key, 'results')
    return {}
  end
  return breaker_decided(key, trips_key, breaker, policy, ring)
end
