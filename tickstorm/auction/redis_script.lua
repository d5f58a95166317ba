-- One step of one auction: everything that it reads and writes is done at one moment.
--
-- KEYS: the auction (a hash), the ids of bids of even and of odd spans of time (hashes of answers),
-- the record (a stream; the id of an entry is the sequence of its last bid). All of one {id}, so of
-- one slot of a Cluster.
-- ARGV: the operation, the last moment at which it may begin, the auction's id, the most entries of
-- the record (0: all), the channel on which changes are told, what the operation takes.
-- It returns the time, and behind it the auction, and behind that the answers to bids; only the
-- time if there is no such auction, or if one was to be added and its id is taken. Packed numbers
-- are big-endian and whole, at most 2^53.
--
-- The first write of an operation is the only one that can be refused (out of memory, a replica, an
-- entry out of order): so either all is done, or nothing.

local ACCEPTED, TOO_LOW, EQUAL, CLOSED, NOT_OPEN = 1, 2, 3, 4, 5
local BID_BYTES = 20
local NO_ID = string.rep('\0', 8)
local FIELDS = {
  'opens_ms', 'closes_ms', 'start', 'increment', 'reserve', 'soft_close_ms',
  'price', 'bidder', 'sequence', 'ends_ms', 'at_ms', 'settled',
}
local AT_ONCE = 1000 -- even; what unpack() can put on Lua's stack has a limit

local operation, not_after, id, most = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local channel = ARGV[5]

local function digits(number)
  return string.format('%.0f', number)
end

local function server_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function load()
  local values = redis.call('HMGET', KEYS[1], unpack(FIELDS))
  if not values[1] then
    return nil
  end
  local auction = {}
  for at, name in ipairs(FIELDS) do
    auction[name] = tonumber(values[at])
  end
  return auction
end

local function packed(auction, now_ms)
  return struct.pack('>I8I8I8I8I8I8I8I8I8I8I8', now_ms,
    auction.opens_ms, auction.closes_ms, auction.start, auction.increment, auction.reserve,
    auction.soft_close_ms, auction.price, auction.bidder, auction.sequence, auction.ends_ms)
end

local function publish(state)
  redis.call('PUBLISH', channel, struct.pack('>I4', tonumber(id)) .. state)
end

local function record(entry, fields)
  if most > 0 then
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', most, entry, unpack(fields))
  else
    redis.call('XADD', KEYS[4], entry, unpack(fields))
  end
end

-- Bids.

local function decide(auction, cents, at_ms)
  if at_ms >= auction.ends_ms then
    return CLOSED
  end
  if at_ms < auction.opens_ms then
    return NOT_OPEN
  end
  local leads = cents >= auction.start
  if auction.sequence > 0 then -- a difference is exact where a sum may not be
    leads = cents - auction.price >= auction.increment
  end
  if leads then
    return ACCEPTED
  end
  return cents == auction.price and EQUAL or TOO_LOW
end

local function led_by(auction, bidder, cents, at_ms)
  auction.price, auction.bidder, auction.sequence = cents, bidder, auction.sequence + 1
  if auction.soft_close_ms > 0 then
    auction.ends_ms = math.max(auction.ends_ms, at_ms + auction.soft_close_ms)
  end
end

local function hex(bytes)
  return (bytes:gsub('.', function(byte) return string.format('%02x', byte:byte()) end))
end

-- The part of an answer behind the amount.
local function standing(auction, retry_after_ms)
  return struct.pack('>I8I4I8I8I8',
    auction.price, auction.bidder, auction.sequence, auction.ends_ms, retry_after_ms)
end

local function remembered(key, bids, answers)
  for from = 1, #bids, AT_ONCE do
    local some = {unpack(bids, from, math.min(from + AT_ONCE - 1, #bids))}
    for at, answer in ipairs(redis.call('HMGET', key, unpack(some))) do
      if answer then
        answers[some[at]] = answer
      end
    end
  end
end

local function ids_of(bids)
  local ids = {}
  for at = 1, #bids, BID_BYTES do
    if bids:sub(at + 12, at + 19) ~= NO_ID then
      ids[#ids + 1] = bids:sub(at + 8, at + 19)
    end
  end
  return ids
end

local function remember(key, fields, until_ms)
  for from = 1, #fields, AT_ONCE do
    redis.call('HSET', key, unpack(fields, from, math.min(from + AT_ONCE - 1, #fields)))
  end
  redis.call('PEXPIREAT', key, digits(until_ms))
end

local function note(leading, auction, at_ms)
  for from = 1, #leading, AT_ONCE do
    local to = math.min(from + AT_ONCE - 1, #leading)
    record(leading[to - 1] .. '-0', {'at_ms', digits(at_ms), unpack(leading, from, to)})
  end
  redis.call('HSET', KEYS[1],
    'price', digits(auction.price), 'bidder', digits(auction.bidder),
    'sequence', digits(auction.sequence), 'ends_ms', digits(auction.ends_ms),
    'at_ms', digits(at_ms))
end

-- ARGV[6]: for how many ms an answer is remembered at least. ARGV[7]: the bids, each its cents in 8
-- bytes, the user in 4, the id in 8.
local function bid(auction, now_ms, at_ms)
  local keep_ms, bids = tonumber(ARGV[6]), ARGV[7]
  local span = math.floor(at_ms / keep_ms)
  local young, old = KEYS[2 + span % 2], KEYS[3 - span % 2]
  local ids, known = ids_of(bids), {}
  if #ids > 0 then
    remembered(old, ids, known)
    remembered(young, ids, known)
  end
  local answers, fresh, leading = {}, {}, {}
  local behind = standing(auction, 0)
  for at = 1, #bids, BID_BYTES do
    local key = bids:sub(at + 8, at + 19)
    local has_id = bids:sub(at + 12, at + 19) ~= NO_ID
    local answer = has_id and known[key]
    if not answer then
      local cents, user = struct.unpack('>I8I4', bids, at)
      local outcome = decide(auction, cents, at_ms)
      if outcome == ACCEPTED then
        led_by(auction, user, cents, at_ms)
        behind = standing(auction, 0)
        leading[#leading + 1] = digits(auction.sequence)
        leading[#leading + 1] = digits(user) .. ' ' .. digits(cents) .. ' ' .. hex(key:sub(5))
      end
      local tail = outcome == NOT_OPEN and standing(auction, auction.opens_ms - at_ms) or behind
      answer = string.char(outcome) .. bids:sub(at, at + 7) .. tail
      if has_id then
        known[key] = answer
        fresh[#fresh + 1] = key
        fresh[#fresh + 1] = answer
      end
    end
    answers[#answers + 1] = answer
  end
  local state = packed(auction, now_ms)
  if #leading > 0 then
    note(leading, auction, at_ms)
  end
  if #fresh > 0 then
    remember(young, fresh, (span + 2) * keep_ms)
  end
  if #leading > 0 then
    publish(state)
  end
  return state .. table.concat(answers)
end

-- The life of an auction.

-- ARGV[6] to ARGV[11]: opens_ms, closes_ms, start, increment, reserve, soft_close_ms.
local function create(_, now_ms)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4]) -- of an auction of this id that was taken away
  redis.call('HSET', KEYS[1],
    'opens_ms', ARGV[6], 'closes_ms', ARGV[7], 'start', ARGV[8], 'increment', ARGV[9],
    'reserve', ARGV[10], 'soft_close_ms', ARGV[11],
    'price', '0', 'bidder', '0', 'sequence', '0', 'ends_ms', ARGV[7], 'at_ms', '0')
  local state = packed(load(), now_ms)
  publish(state)
  return state
end

local function close(auction, now_ms, at_ms)
  if at_ms < auction.ends_ms then
    auction.ends_ms = at_ms
    redis.call('HSET', KEYS[1], 'ends_ms', digits(at_ms), 'at_ms', digits(at_ms))
    publish(packed(auction, now_ms))
  end
  return packed(auction, now_ms)
end

-- The last entry of the record, once, behind that of the last bid.
local function settle(auction, now_ms, at_ms)
  if at_ms >= auction.ends_ms and not auction.settled then
    local sold = auction.sequence > 0 and auction.price >= auction.reserve
    record(digits(auction.sequence) .. '-1', {
      'at_ms', digits(auction.ends_ms), 'final', string.format('%s %s %s',
        sold and 'sold' or 'unsold', digits(auction.bidder), digits(auction.price)),
    })
    redis.call('HSET', KEYS[1], 'settled', '1')
  end
  return packed(auction, now_ms)
end

local function read(auction, now_ms)
  return packed(auction, now_ms)
end

local function nothing(_, now_ms)
  return struct.pack('>I8', now_ms)
end

-- By operation, for an auction that there is, and for one that there is not.
local there = {
  bid = bid, create = read, add = nothing, read = read, close = close, settle = settle,
}
local missing = {create = create, add = create}

local now_ms = server_ms()
if now_ms > not_after then
  return redis.error_reply('PASTDUE ' .. digits(now_ms) .. ' this was to begin earlier')
end
local auction = load()
if not auction then
  return (missing[operation] or nothing)(nil, now_ms)
end
-- The clock of another server, that took this one's place, may be behind.
local at_ms = math.max(now_ms, auction.at_ms)
if at_ms >= auction.ends_ms and auction.at_ms < auction.ends_ms then
  redis.call('HSET', KEYS[1], 'at_ms', digits(at_ms)) -- somebody is about to hear that it is closed
end
return there[operation](auction, now_ms, at_ms)
