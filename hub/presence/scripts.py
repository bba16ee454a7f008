"""The scripts that run inside Redis, where comparing an epoch and writing is one step.

All keys of a call lie in one cluster slot. Epochs stay exact in Lua's doubles (`actors.clock.EpochSource`).
"""

from hub.store.script import Script

REFUSED, SAME, TAKEN = 0, 1, 2
"""What `PUT` answers: a newer connection holds the record; renewed; the record is new or was an older connection's."""


# KEYS: record, desktops, known, ended. ARGV[1] is the epoch, ARGV[2] the desktop id in PUT and DROP alike.
_FENCE = """
local epoch = tonumber(ARGV[1])
local held = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0
local ended = tonumber(redis.call('GET', KEYS[4]) or '0') or 0
"""

_TRIM = """
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[6])
if over > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[2], over)
  for i = 1, #oldest, 2 do redis.call('HDEL', KEYS[3], oldest[i]) end
end
"""

PUT = Script(
    _FENCE
    + """
if held > epoch or ended >= epoch then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'desktop_id', ARGV[2], 'last_seen', ARGV[3], 'user_id', ARGV[8],
  'node_id', ARGV[9], 'connection_id', ARGV[10], 'name', ARGV[11], 'platform', ARGV[12], 'since', ARGV[13])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
local added = redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
if held == epoch and added == 0 then return 1 end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
"""
    + _TRIM
    + """
return held == epoch and 1 or 2
"""
)
"""Write or renew a record, unless a newer connection holds it or this one has ended.

A renewal, of which there are most, leaves out what only a connection's beginning changes.

ARGV: epoch, desktop id, last_seen, known entry, known TTL (ms), how many to keep, TTL (ms), user, node, connection,
name, platform, since. Answers `REFUSED`, `SAME` or `TAKEN`.
"""

DROP = Script(
    _FENCE
    + """
if held > epoch or ended > epoch then return 0 end
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[7])
redis.call('DEL', KEYS[1])
if ARGV[8] == '1' then
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('HDEL', KEYS[3], ARGV[2])
  return 1
end
redis.call('ZADD', KEYS[2], 'GT', ARGV[3], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
"""
    + _TRIM
    + """
return 1
"""
)
"""End a connection: delete its record, or an older connection's, but never a newer one's.

For one TTL nothing of this epoch or an older one is written again, so that a write that was held up on its way (a
hung server works through what lies in its sockets) can't bring a dead connection back.

ARGV: as `PUT` up to the TTL, then `1` to forget the desktop. Answers 1, or 0 when nothing was touched.
"""

OWN = Script("""
if redis.call('PEXPIRETIME', KEYS[1]) > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
return 1
""")
"""Make a user the owner of a desktop, unless a newer connection has named one.

KEYS: owner. ARGV: user, when the key expires (ms since the epoch): so late that it never does, and the later the newer
the connection is. Redis keeps the expiry with the key anyway, so it serves as the fence, and the key stays the plain
string of the contract, alone in its slot.
"""

ALL = (PUT, DROP, OWN)
