-- Records that the answer of a trial call has begun, which admits more trial calls.
-- KEYS: the model's breaker. Arguments: lease.

local lease = cjson.decode(ARGV[1]).lease
if redis.call('HEXISTS', KEYS[1], 't:' .. lease) == 1 then
  redis.call('HSET', KEYS[1], 'a:' .. lease, '1')
end
return {}
