"""The scripts that run inside Redis, where comparing an epoch and writing is one step.

All keys of a call lie in one cluster slot. Epochs stay exact in Lua's doubles (`actors.clock.EpochSource`).

Whether a change goes to the stream is decided where it is written, by what Redis holds. The stream lies in another
slot, so what is decided is *owed* until it is there: kept beside the record, in the same step (`keys.owed`). Whoever
writes about the desktop next is told what is owed, or who cleans up, and appends it by a name that the stream's slot
remembers. So it is there once, and in order, whoever dies on the way.
"""

from hub.store.script import Script

REFUSED, SAME, TAKEN = 0, 1, 2
"""What `PUT` answers: a newer connection holds the record; renewed; the record is new or was an older connection's."""


# KEYS: record, desktops, known, ended, owed. ARGV[1] is the epoch, ARGV[2] the desktop id in PUT and DROP alike.
# What `known` holds says what the stream was told last: its value ends with an empty reason while that is `online`.
_FENCE = """
local epoch = tonumber(ARGV[1])
local held = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') or 0
local ended = tonumber(redis.call('GET', KEYS[4]) or '0') or 0

local function told_offline()
  local known = redis.call('HGET', KEYS[3], ARGV[2])
  return known and string.sub(known, -12) ~= '"reason":""}'
end

local function owed()
  return redis.call('HGET', KEYS[5], ARGV[2])
end

local function owe(state, at, reason)
  local now = redis.call('TIME')
  local stamp = now[1] .. string.format('%06d', now[2])
  local all = (owed() or '') .. table.concat({state, ARGV[1], stamp, at, reason}, ' ') .. '\\n'
  redis.call('HSET', KEYS[5], ARGV[2], all)
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
  return all
end
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
if held > epoch or ended >= epoch then return owed() or 0 end
local appeared = held == 0 and (ARGV[8] == '1' or told_offline())
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'desktop_id', ARGV[2], 'last_seen', ARGV[3], 'user_id', ARGV[9],
  'node_id', ARGV[10], 'connection_id', ARGV[11], 'name', ARGV[12], 'platform', ARGV[13], 'since', ARGV[14])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
local added = redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
if held ~= epoch or added == 1 then
  redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
"""
    + _TRIM
    + """
end
if appeared then return owe('online', ARGV[3], '') end
return owed() or (held == epoch and 1 or 2)
"""
)
"""Write or renew a record, unless a newer connection holds it or this one has ended.

A renewal, of which there are most, leaves out what only a connection's beginning changes.

An entry `online` is owed when there was no record, and the change was announced or the desktop had been told to be
away: then somebody cleaned up behind a node that lives.

ARGV: epoch, desktop id, last_seen, known entry, known TTL (ms), how many to keep, TTL (ms), `1` to announce, user,
node, connection, name, platform, since. Answers what is owed, or `REFUSED`, `SAME` or `TAKEN`.
"""

DROP = Script(
    _FENCE
    + """
local lost = ARGV[8] == 'lost'
if lost then
  if held ~= epoch then return 0 end
elseif held > epoch or ended > epoch then
  return owed() or 0
end
local left = held > 0 or (ended ~= epoch and not told_offline())
if not lost then redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[7]) end
redis.call('DEL', KEYS[1])
if ARGV[8] == 'forget' then
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('HDEL', KEYS[3], ARGV[2])
else
  redis.call('ZADD', KEYS[2], 'GT', ARGV[3], ARGV[2])
  redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
"""
    + _TRIM
    + """
end
if left then return owe('offline', ARGV[9], ARGV[10]) end
return owed() or 1
"""
)
"""End a connection: delete its record, or an older connection's, but never a newer one's.

For one TTL nothing of this epoch or an older one is written again, so that a write that was held up on its way (a
hung server works through what lies in its sockets) can't bring a dead connection back. Not so for a connection that
was `lost` with its node: only its own record is deleted, and the node may write it again, if it lives after all.

An entry `offline` is owed when a record is deleted, and when it had run out or was lost and nobody has been told.

ARGV: as `PUT` up to the TTL, then `forget` (the desktop is to be forgotten), `lost` or nothing, when it ended (ms), the
reason. Answers what is owed, 1, or 0 when nothing was touched; of one that was lost: what is owed, if it was ended.
"""

OWN = Script("""
if redis.call('PEXPIRETIME', KEYS[1]) > tonumber(ARGV[2]) then return 0 end
local previous = redis.pcall('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
return type(previous) == 'string' and previous ~= ARGV[1] and previous or 1
""")
"""Make a user the owner of a desktop, unless a newer connection has named one.

KEYS: owner. ARGV: user, when the key expires (ms since the epoch): so late that it never does, and the later the newer
the connection is. Redis keeps the expiry with the key anyway, so it serves as the fence, and the key stays the plain
string of the contract, alone in its slot.

Answers the user who owned it before, if that is another one; else 1, or 0 when a newer connection has named one.
"""

APPEND = Script("""
if redis.call('ZADD', KEYS[2], 'NX', ARGV[2], ARGV[1]) == 0 then return 0 end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if over > 0 then redis.call('ZPOPMIN', KEYS[2], over) end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
return 1
""")
"""Append an entry to the stream, unless it is among the last ones already.

KEYS: stream, told. ARGV: the entry's name, its stamp, how many entries to keep, and as many names to remember; then
the entry's fields and values. Answers 1, or 0 when it was there.
"""

STRIKE = Script("""
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
""")
"""Say that nothing is owed of a desktop any more, unless it is more by now. KEYS: owed. ARGV: desktop, what it was."""

ALL = (PUT, DROP, OWN, APPEND, STRIKE)
