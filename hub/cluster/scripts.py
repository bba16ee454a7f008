"""The scripts that run inside Redis, where writing and reading, or judging by its clock, is one step."""

from hub.store.script import Script

ENTER = Script("""
local held = redis.call('HGET', KEYS[1], ARGV[1])
local version = held and tonumber(string.match(held, '^%d+')) or 0
if version <= tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return redis.call('HGETALL', KEYS[1])
""")
"""Write a node's share of a user, and read everybody's.

A write that was held up on its way must not undo a later one: links that break keep sending what they hold, for
minutes, and a hung server works through what lies in its sockets. So an older version is refused, and a share that
holds nobody is written, too, not taken out.

KEYS: here. ARGV: node id, share, its version, TTL (ms). Answers as HGETALL, the node's own share included: leaving that
out costs more here than in the reader.
"""

STRIKE = Script("""
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
""")
"""Take away the share of a node that isn't any more, unless it was written anew.

KEYS: here. ARGV: node id, share as it was read.
"""

BEAT = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node, lease, interval = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local silence = now - tonumber(redis.call('GET', KEYS[4]) or now)
redis.call('SET', KEYS[4], string.format('%.0f', now))
if silence > 2.5 * interval or silence < -interval then
  local leases = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for i = 1, #leases, 2 do
    redis.call('ZADD', KEYS[1], string.format('%.0f', leases[i + 1] + silence - interval), leases[i])
  end
end
local held = redis.call('ZSCORE', KEYS[1], node)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease), node)
redis.call('HSET', KEYS[2], node, ARGV[2])
redis.call('ZREM', KEYS[3], node)
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now))
for _, other in ipairs(expired) do
  redis.call('ZREM', KEYS[1], other)
  redis.call('ZADD', KEYS[3], 0, other)
end
local claimed = ''
if ARGV[6] ~= '' then
  redis.call('ZADD', KEYS[3], 'XX', string.format('%.0f', now), ARGV[6])
else
  local free = string.format('%.0f', now - tonumber(ARGV[5]))
  claimed = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', free, 'LIMIT', 0, 1)[1] or ''
  if claimed ~= '' then redis.call('ZADD', KEYS[3], string.format('%.0f', now), claimed) end
end
local live = redis.call('ZRANGE', KEYS[1], 0, -1)
return {held and 1 or 0, claimed, live, redis.call('HMGET', KEYS[2], unpack(live))}
""")
"""Renew a node's lease, and look at all others'.

If nobody has beaten for 2.5 intervals, Redis was away for everybody, or has failed over: all leases move on by that
time but for one interval, so that an outage declares nobody lost; likewise when its clock was set. Leases that ran out
make their nodes lost; of these the caller claims one at a time, unless somebody has a claim that is fresh.

KEYS: leases, about, lost, beat. ARGV: node id, about (JSON), lease (ms), interval of beats (ms), how long a claim
stays fresh (ms), the node that the caller cleans up after, empty: none. That claim is renewed.

Answers: whether the node had its lease (0 or 1), the claimed node or '', ids of live nodes, about of each.
"""

ALL = (ENTER, STRIKE, BEAT)
