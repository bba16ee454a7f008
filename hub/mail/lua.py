"""What the scripts of a mailbox share, as Lua text.

Other programs may have damaged what lies there. What isn't whole is read as if it weren't there, and no number and no
entry's id is used before it was looked at: an error in a script would count as an outage of Redis.
"""

from actors.limits import ROUNDING
from hub.mail.limits import MailLimits

PAGE_LETTERS = 128
PAGE_BYTES = 256 * 1024
SCANNED = 256
"""So many entries does one call look at."""
AT_ONCE = 16
"""So many entries are copied out of the stream at a time."""
FORGOTTEN = 8
"""So many receipts does one call forget; each call remembers at most one more."""
LONGER_MS = 24 * 3600 * 1000
"""So long do keys outlive their content, so that a hub that was away can still tell senders what expired."""
SLOWEST_US = 24 * 3600 * 1_000_000
"""No user waits longer for the next letter."""
MOST_KEPT = 1000
"""Receipts kept for one device."""


def constants(limits: MailLimits) -> str:
    """Return the limits as Lua's names; as text of the script they cost no argument with every call."""
    lives_ms = max(limits.age_ms, limits.remembered_ms) + LONGER_MS
    return f"""
local MESSAGES, BYTES, AGE = {limits.messages}, {limits.bytes}, {limits.age_ms}
local REMEMBERED_MS, REMEMBERED = {limits.remembered_ms}, {limits.remembered_messages}
local LIVES, FORGOTTEN, SCANNED, AT_ONCE = {lives_ms}, {FORGOTTEN}, {SCANNED}, {AT_ONCE}
local PAGE_LETTERS, PAGE_BYTES, MOST_KEPT = {PAGE_LETTERS}, {PAGE_BYTES}, {MOST_KEPT}
"""


NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function whole(number) return string.format('%.0f', number) end
"""

ADD = """
-- A stream that holds the greatest id takes no more; by this name that is nobody's outage (`Calls.run`).
local function add(...)
  local id = redis.pcall('XADD', ...)
  if type(id) == 'string' then return id end
  if string.find(id.err, 'exhausted', 1, true) then return nil, {err = 'WRONGTYPE the stream takes no more'} end
  return nil, id
end
"""

RECEIPTS = """
local mailbox, receipts, remembered = KEYS[1], KEYS[2], KEYS[3]
local RANK = {stored = 1, delivered = 2, expired = 3, acknowledged = 4}

local function place(id)
  local ms, seq = string.match(id or '', '^(%d+)%-(%d+)$')
  if ms and #ms < 20 and #seq < 20 then return tonumber(ms), tonumber(seq) end
end

local function later(id, other)
  local ms, seq = place(id)
  local other_ms, other_seq = place(other)
  if not ms or not other_ms then return ms ~= nil end
  return ms > other_ms or ms == other_ms and seq > other_seq
end

local function parsed(text)
  local status, entry, size, print, device = string.match(text or '', '^(%a+)|([%d-]*)|(%d+)|([^|]*)|([^|]*)$')
  if not RANK[status or ''] or entry ~= '' and not place(entry) then return nil end
  return {status = status, entry = entry, size = tonumber(size), print = print, device = device}
end

local function receipt(key) return parsed(redis.call('HGET', receipts, key)) end

local function packed(r) return table.concat({r.status, r.entry, whole(r.size), r.print, r.device}, '|') end
local function write(key, r) redis.call('HSET', receipts, key, packed(r)) end

-- An empty mailbox holds no bytes: so a count that was lost or damaged comes right again.
local function weighed(count, bytes)
  bytes = bytes or ''
  return count > 0 and #bytes < 16 and tonumber(string.match(bytes, '^%d+$') or 0) or 0
end

local function take_out(entry, size)
  if redis.call('XDEL', mailbox, entry) == 0 then return end
  local bytes = weighed(redis.call('XLEN', mailbox), redis.call('HGET', receipts, 'bytes'))
  redis.call('HSET', receipts, 'bytes', whole(math.max(0, bytes - size)))
end

local function leave(r)
  if r.entry ~= '' then take_out(r.entry, r.size) end
  r.entry, r.size = '', 0
end

local function still_there(key)
  local r = receipt(key)
  return r and r.entry ~= '' and #redis.call('XRANGE', mailbox, r.entry, r.entry) > 0
end

-- Forgets the oldest beyond the bounds. What is still in the mailbox counts as come just now.
local function forget()
  for _ = 1, FORGOTTEN do
    local oldest = redis.call('ZRANGE', remembered, 0, 0, 'WITHSCORES')
    if not oldest[1] then return end
    local young = tonumber(oldest[2]) >= now - REMEMBERED_MS
    if young and redis.call('ZCARD', remembered) <= REMEMBERED then return end
    if still_there(oldest[1]) then
      redis.call('ZADD', remembered, whole(now), oldest[1])
    else
      redis.call('ZREM', remembered, oldest[1])
      redis.call('HDEL', receipts, oldest[1])
    end
  end
end

local function tidy()
  forget()
  for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], LIVES) end
end

local function remember(key, r)
  redis.call('ZADD', remembered, 'NX', whole(now), key)
  write(key, r)
  tidy()
end
"""


def pacing(limits: MailLimits) -> str:
    """Return `too_fast`: takes one letter from the allowance that `KEYS[4]`, if it is given, stands for.

    The same reckoning as `actors.limits.Pace`, in microseconds of Redis' clock. If that went back, what stands there is
    further ahead than can be: then the allowance counts as used up just now.
    """
    if limits.rate is None:
        return "local function too_fast() end"
    interval = min(1_000_000 / limits.rate, SLOWEST_US)
    return f"""
local INTERVAL, DEPTH = {interval!r}, {interval * (limits.burst - 1 + ROUNDING)!r}
-- The milliseconds to wait, for one too many.
local function too_fast()
  if not KEYS[4] then return end
  local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local whole_at = tonumber(string.match(redis.call('GET', KEYS[4]) or '', '^%d+$') or 0)
  if whole_at > micros + DEPTH + INTERVAL then whole_at = micros + DEPTH end
  whole_at = math.max(micros, whole_at)
  local excess = whole_at - micros - DEPTH
  if excess > 0 then return math.floor(excess / 1000) + 1 end
  whole_at = whole_at + INTERVAL
  redis.call('SET', KEYS[4], whole(whole_at), 'PX', whole(math.min(LIVES, math.ceil((whole_at - micros) / 1000))))
end
"""


SORTING = """
local expired = {}

local function runs_out(id, valid_until)
  local aged, asked = place(id) + AGE, tonumber(valid_until)
  return asked and asked < aged and asked or aged
end

local function fresh(status, id, size, fields)
  return {status = status, entry = id, size = size, print = fields.p or '', device = fields.d or ''}
end

local function expire(id, fields)
  local r = fresh('expired', '', 0, fields)
  take_out(id, #fields.f)
  redis.call('ZADD', remembered, whole(now), fields.k)
  remember(fields.k, r)
  expired[#expired + 1] = fields.k
  expired[#expired + 1] = r.device
end

-- The fields of an entry that is to be handed over. What is damaged, over, or not the one that the receipt speaks of
-- is taken out; a letter whose receipt was lost gets one again.
local function sort(id, flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  if not (fields.f and place(id) and string.match(fields.k or '', '^[mx]:')) then return take_out(id, 0) end
  local r = receipt(fields.k)
  if r and r.entry ~= id then return take_out(id, #fields.f) end
  if now > runs_out(id, fields.v) then return expire(id, fields) end
  if not r then remember(fields.k, fresh('stored', id, #fields.f, fields)) end
  return fields
end

-- Calls `keep(entry, fields)` for what is to be handed over behind `after`, until it answers false or `most` were
-- looked at. Returns how far that went, and whether there may be more.
local function walk(after, most, keep)
  while most > 0 do
    local entries = redis.call('XRANGE', mailbox, '(' .. after, '+', 'COUNT', AT_ONCE)
    for _, entry in ipairs(entries) do
      local fields = sort(entry[1], entry[2])
      if fields and not keep(entry, fields) then return after, true end
      after = entry[1]
    end
    if #entries < AT_ONCE then return after, false end
    most = most - #entries
  end
  return after, true
end
"""
