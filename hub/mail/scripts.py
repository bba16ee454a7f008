"""The scripts that run inside Redis, where comparing and writing is one step.

All keys of a call lie in one cluster slot. The time is that of Redis, so all nodes agree on what is over. A letter is
over behind its `valid_until`, and when it is older than the mailbox' age.
"""

from dataclasses import dataclass

from hub.mail import lua
from hub.mail.limits import MailLimits
from hub.store.script import Script

_STORE = """
local key, print, device, kind, valid_until, text = unpack(ARGV)
local held = redis.call('HMGET', receipts, key, 'bytes', 'last')
local known, previous = parsed(held[1]), held[3]
if known then
  if known.print ~= print then return {'other'} end
  return {'known', known.status}
end
local wait = too_fast()
if wait then return {'fast', wait} end
local r = {status = 'stored', entry = '', size = #text, print = print, device = device}
if now > (tonumber(valid_until) or now) then
  r.status, r.size = 'expired', 0
  remember(key, r)
  return {'expired'}
end
-- What is over in a full mailbox is left to the sweep: looking for it here would let a flood of refused letters keep
-- Redis from everybody else.
local count = redis.call('XLEN', mailbox)
local bytes = weighed(count, held[2]) + #text
if bytes > BYTES or count >= MESSAGES then return {'full'} end
if not place(previous) then
  local newest = redis.call('XREVRANGE', mailbox, '+', '-', 'COUNT', 1)[1]
  previous = newest and newest[1] or '0-0'
end
redis.call('ZADD', remembered, 'NX', whole(now), key)
local entry, failed =
  add(mailbox, '*', 'k', key, 'f', text, 't', kind, 'd', device, 'p', print, 'v', valid_until)
if failed then return failed end
r.entry = entry
redis.call('HSET', receipts, key, packed(r), 'last', entry, 'bytes', whole(bytes))
tidy()
return {'stored', entry, previous}
"""

_READ = """
local after, last = ARGV[1], redis.call('HGET', receipts, 'last')
local newest = redis.call('XREVRANGE', mailbox, '+', '-', 'COUNT', 1)[1]
if newest and later(newest[1], last) then last = newest[1] end
if not place(last) then last = '0-0' end
-- Redis has lost what was read up to there: all that it has came later, whatever its number.
if later(after, last) or not place(after) then after = '0-0' end
local page, size = {}, 0
local reached, more = walk(after, SCANNED, function(entry, fields)
  size = size + #fields.f
  if #page > 0 and (#page == PAGE_LETTERS or size > PAGE_BYTES) then return false end
  page[#page + 1] = entry
  return true
end)
return {more and 1 or 0, more and reached or last, page, expired}
"""

_SETTLE = """
local key, status, done, print, device = unpack(ARGV)
local r = receipt(key)
if not r then return remember(key, {status = status, entry = '', size = 0, print = print, device = device}) end
if RANK[status] > RANK[r.status] then r.status = status end
if done == '1' then leave(r) end
write(key, r)
"""

_ACKNOWLEDGE = """
local r = receipt(ARGV[1])
if not r or r.status == 'acknowledged' then return false end
r.status = 'acknowledged'
leave(r)
write(ARGV[1], r)
return r.device
"""

_EXPIRE = """
local soonest
local reached, more = walk(ARGV[1], SCANNED, function(entry, fields)
  local over = runs_out(entry[1], fields.v)
  if not soonest or over < soonest then soonest = over end
  return true
end)
return {more and reached or '', soonest and whole(soonest) or '', expired}
"""

_DUE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. whole(now), 'LIMIT', 0, tonumber(ARGV[1]))
local mailboxes = {}
for _, member in ipairs(due) do
  redis.call('ZREM', KEYS[1], member)
  local name = string.match(member, '^[%w._:@-]+ [%w._:@-]+')
  if name then
    redis.call('ZADD', KEYS[1], whole(now + tonumber(ARGV[2])), name .. ' leased')
    mailboxes[#mailboxes + 1] = name
  end
end
return mailboxes
"""

_KEEP = """
local entry, failed = add(KEYS[1], 'MAXLEN', MOST_KEPT, '*',
  'desktop', ARGV[1], 'message_id', ARGV[2], 'status', ARGV[3], 'latest', ARGV[4])
if failed then return failed end
redis.call('PEXPIRE', KEYS[1], REMEMBERED_MS)
"""


@dataclass(frozen=True, slots=True)
class MailScripts:
    """The scripts for one set of limits. Those of a mailbox take the keys mailbox, receipts, remembered.

    Attributes:
        store: Put a letter in. A fourth key, `keys.pace`: it counts against the user's limit. ARGV: key, fingerprint,
            device, type, valid_until, text. Answers `{'stored', entry, previous}`, `{'full'}`, `{'known', status}`,
            `{'other'}`, `{'expired'}` or `{'fast', ms}`.
        read: Read a page. ARGV: behind which entry. Answers `{more, reached, entries, expired}`.
        settle: Remember what became of a letter. ARGV: key, status, '1' if it leaves, fingerprint, device. A status
            never goes back: stored, delivered, expired, acknowledged.
        acknowledge: ARGV: key. Answers the device that sent it; nil if it isn't known, or was acknowledged before.
        expire: Take out what is over, a bounded piece. ARGV: behind which entry. Answers `{from where to go on or '',
            when the next one runs out or '', expired}`.
        due: Take mailboxes in which something is over. KEYS: `keys.EXPIRING`. ARGV: how many, for how long (ms) they
            are leased. Answers their members.
        keep: Keep a receipt. KEYS: `keys.kept`. ARGV: desktop, message_id, status, latest.
        paced: Whether users' phones have a limit.

    `expired`: of each letter that was taken out because it is over, its key and its device.
    """

    store: Script
    read: Script
    settle: Script
    acknowledge: Script
    expire: Script
    due: Script
    keep: Script
    paced: bool

    @property
    def all(self) -> tuple[Script, ...]:
        """Every script, for `Calls`."""
        return (self.store, self.read, self.settle, self.acknowledge, self.expire, self.due, self.keep)


def build(limits: MailLimits) -> MailScripts:
    """Write the limits into the scripts."""
    base = lua.constants(limits) + lua.NOW
    receipts = base + lua.RECEIPTS
    sorting = receipts + lua.SORTING
    return MailScripts(
        store=Script(receipts + lua.ADD + lua.pacing(limits) + _STORE),
        read=Script(sorting + _READ),
        settle=Script(receipts + _SETTLE),
        acknowledge=Script(receipts + _ACKNOWLEDGE),
        expire=Script(sorting + _EXPIRE),
        due=Script(base + _DUE),
        keep=Script(base + lua.ADD + _KEEP),
        paced=limits.rate is not None,
    )
