"""The scripts that run inside Redis, where comparing an epoch and writing is one step.

The two keys of a call, stream and state, lie in one cluster slot. Epochs stay exact in Lua's doubles
(`actors.clock.EpochSource`). All scripts may be repeated, in the order in which they ran first. A key of a wrong type
makes them fail before they have written anything.
"""

from dataclasses import dataclass

from hub.journal.limits import JournalLimits
from hub.store.script import Script

PAGE_BYTES = 262_144
PAGE_ENTRIES = 128

STATE_TTL_S = 30 * 24 * 3600
"""A desktop that was silent for longer counts as new."""

MOST_POPPED = 64
"""Entries that one call takes out, so that none takes long; the next one goes on."""

_CHUNK = 32
"""Entries that are read at once."""

_RENEWALS = 16
"""The keys' expiry is set so often within their age, and so much later: a message that sets none costs 9 us less."""


# KEYS: stream, state. ARGV[1]: the epoch. What follows has found that no newer one has written.
# A state that was lost or damaged is made again from the stream.
_FENCE = """
local held = redis.call('HMGET', KEYS[2], 'epoch', 'end', 'bytes', 'oldest', 'until')
local current = string.match(held[1] or '', '^%d+$')
local newest = current
if not current then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  newest = last and string.match(last[1], '^%d+')
end
if newest and tonumber(newest) > tonumber(ARGV[1]) then
  if OPENS then
    local near = redis.call('XRANGE', KEYS[1], ARGV[1] .. '-0', '+', 'COUNT', 1)[1]
    local epoch, seq = string.match(near and near[1] or '', '^(%d+)-(%d+)$')
    if seq == '0' and epoch ~= ARGV[1] then redis.call('XDEL', KEYS[1], near[1]) end
  end
  return newest
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count = redis.call('XLEN', KEYS[1])
local bytes, oldest, lives_until = tonumber(held[3]) or 0, tonumber(held[4]) or 0, tonumber(held[5]) or 0
if count == 0 then bytes, oldest, lives_until = 0, now, 0 end

local function add(seq, field, value)
  local added = redis.pcall('XADD', KEYS[1], ARGV[1] .. '-' .. seq, field, value, 'w', now)
  if type(added) == 'string' then
    count = count + 1
    return true
  end
  if not string.find(added.err, 'equal or smaller', 1, true) then error(added.err) end
  return false
end

local function begin(after)
  add('0', 'a', after)
  redis.call('HDEL', KEYS[2], 'end', 'before')
end

local function trim()
  for _ = 1, MOST_POPPED do
    if count <= 1 or (count <= MESSAGES and bytes <= BYTES and oldest >= now - AGE_MS) then return end
    local front = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
    local fields = front[2]
    oldest = fields[3] == 'w' and tonumber(fields[4]) or 0
    if count <= MESSAGES and bytes <= BYTES and oldest >= now - AGE_MS then return end
    redis.call('XDEL', KEYS[1], front[1])
    count = count - 1
    if fields[1] == 'f' then bytes = math.max(0, bytes - #fields[2]) end
  end
end

local function keep()
  trim()
  if current == ARGV[1] and lives_until >= now + AGE_MS then
    redis.call('HSET', KEYS[2], 'bytes', bytes, 'oldest', oldest)
    return
  end
  redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'bytes', bytes, 'oldest', oldest, 'until', now + AGE_MS + SLACK_MS)
  redis.call('PEXPIRE', KEYS[2], STATE_MS + SLACK_MS)
  redis.call('PEXPIRE', KEYS[1], AGE_MS + SLACK_MS)
end
"""

_OPEN = """
if newest == ARGV[1] then return tonumber(redis.call('HGET', KEYS[2], 'before') or '') end
local after = ''
if ARGV[2] == '1' then
  if current then after = held[2] or '' elseif not newest then after = '0-0' end
end
begin(after)
keep()
if current then redis.call('HSET', KEYS[2], 'before', current) end
return current and tonumber(current)
"""

_APPEND = """
if current ~= ARGV[1] then begin('') end
if add(ARGV[2], 'f', ARGV[3]) then bytes = bytes + #ARGV[3] end
keep()
"""

_CLOSE = """
if current ~= ARGV[1] then
  begin('')
elseif held[2] and (tonumber(string.match(held[2], '^%d+-(%d+)$')) or 0) >= tonumber(ARGV[2]) then
  return
end
redis.call('HSET', KEYS[2], 'end', ARGV[1] .. '-' .. ARGV[2])
keep()
"""

_READ = """
local held = redis.call('HMGET', KEYS[2], 'epoch', 'end')
local head = held[2] or ''
if not held[1] then head = redis.call('XLEN', KEYS[1]) == 0 and not held[2] and '0-0' or '' end

local function body(entry)
  local wanted = string.sub(entry[1], -2) == '-0' and 'a' or 'f'
  return entry[2][1] == wanted and entry[2][2]
end

local function start(after, left)
  if left and redis.call('XLEN', KEYS[1]) <= left then return after end
  local stop = '+'
  while left do
    local chunk = redis.call('XREVRANGE', KEYS[1], stop, after, 'COUNT', CHUNK)
    for _, entry in ipairs(chunk) do
      if entry[2][1] == 'f' then
        if left <= 0 then return '(' .. entry[1] end
        left = left - 1
      end
    end
    if #chunk < CHUNK then return after end
    stop = '(' .. chunk[#chunk][1]
  end
  return after
end

local from = start('(' .. ARGV[1], tonumber(ARGV[2]))
local entries, bytes = {}, 0
while true do
  local chunk = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', CHUNK)
  for _, entry in ipairs(chunk) do
    local text = body(entry)
    if text then
      if #entries == PAGE_ENTRIES or (#entries > 0 and bytes + #text > PAGE_BYTES) then return {head, 1, entries} end
      bytes = bytes + #text
      entries[#entries + 1] = {entry[1], text}
    end
  end
  if #chunk < CHUNK then return {head, 0, entries} end
  from = '(' .. chunk[#chunk][1]
end
"""


@dataclass(frozen=True, slots=True)
class JournalScripts:
    """The scripts, with the limits written into them: that is less to send with each message.

    Those that write answer nothing, or the newer epoch that has written already, as a text; then they have changed
    nothing.
    Redis knows all of them or none (the limits stand in each): so what is asked in one batch stays in order when they
    have to be loaded (`hub.store.calls.Calls.run`).

    Attributes:
        open: Begin an epoch, unless it has begun. If a newer one has written, the opening behind this epoch goes: it
            names a predecessor that wasn't the one, since this one spoke in between. Answers the number of the epoch
            that wrote before, if any did. ARGV: epoch, `1` if nothing of this desktop was lost on the way here, so that
            the end of the connection before it can be trusted.
        append: Keep a message, unless one with its number or a greater one is there. An epoch that hasn't begun
            (Redis lost its data, or the opening was lost) begins here, and what was before it isn't known.
            ARGV: epoch, number, text.
        close: Note where an epoch ended; it begins as with `append`. ARGV: epoch, number.
        read: Read behind an offset. ARGV: offset, the newest how many (or empty). Answers the head (empty: nobody
            knows), `1` if there is more, and entries of id and `a` or `f`; damaged ones are left out.
    """

    open: Script
    append: Script
    close: Script
    read: Script


def scripts_for(limits: JournalLimits) -> JournalScripts:
    """Make the scripts for these limits."""
    age_ms = int(limits.age_s * 1000)
    numbers = (
        f"local MESSAGES, BYTES, MOST_POPPED = {limits.messages}, {limits.bytes}, {MOST_POPPED}\n"
        f"local AGE_MS, STATE_MS, SLACK_MS = {age_ms}, {max(age_ms, STATE_TTL_S * 1000)}, {age_ms // _RENEWALS}\n"
        f"local PAGE_BYTES, PAGE_ENTRIES, CHUNK = {PAGE_BYTES}, {PAGE_ENTRIES}, {_CHUNK}\n"
    )
    return JournalScripts(
        open=Script("local OPENS = true\n" + numbers + _FENCE + _OPEN),
        append=Script("local OPENS = false\n" + numbers + _FENCE + _APPEND),
        close=Script("local OPENS = false\n" + numbers + _FENCE + _CLOSE),
        read=Script(numbers + _READ),
    )
