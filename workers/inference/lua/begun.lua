-- The answer of a trial call has begun: there is room for more of them.
-- KEYS: as in admit.lua. ARGV: now, the lease's id.

if redis.call('HEXISTS', KEYS[4], 't:' .. ARGV[2]) == 1 then
  redis.call('HSET', KEYS[4], 'a:' .. ARGV[2], '1')
end
return {}
