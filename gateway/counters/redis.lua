-- The counters of one tenant in Redis: gateway/quotas restated (SEMANTICS 13-16, 21). A property test holds both alike.
--
-- KEYS  1 the tenant's mark, 2 the calls of one worker incarnation, 3... one key a counter; all tagged {tenant}
-- ARGV  1 operation, 2 call id, 3 counters, 4 the time to use ("" for TIME), 5... what the operation says below
--
-- A counter in ARGV[3] is 88 bytes: key, algorithm, amount, max, window, burst, flags, and three bounds of calendar
-- windows. An entry is five doubles: four words and whether the ledger's sum is in it; a sliding one has 61 cells more.
-- All figures are whole numbers below 2^53, where doubles are exact; what could be larger is never multiplied out.

local CALENDAR, SLIDING, BUCKET, CONCURRENT = 1, 2, 3, 4
local HARD, SHARED, SEEDS = 1, 2, 4
local FORM, WORDS, SIZE = '<c16ddddddddd', '<ddddd', 88
local CELLS = '<' .. string.rep('d', 61)
local NO_CELLS = string.rep('\0', 488)
local BIG = 2 ^ 53
local floor, fmod, max, min = math.floor, math.fmod, math.max, math.min
local call = redis.call

local function over(a, m) -- a / m rounded down, and the rest
  local rest = fmod(a, m)
  if rest < 0 then rest = rest + m end
  return (a - rest) / m, rest
end

local function muldiv(a, b, m) -- a * b / m rounded down, and the rest, where a * b may be beyond 2^53
  local whole, part = over(b, m)
  local product = a * part
  if product < BIG then
    local q, r = over(product, m)
    return a * whole + q, r
  end
  local base = 2
  while m * base * 4 <= BIG do base = base * 2 end
  local digits = {}
  local left = a
  while left > 0 do
    left, digits[#digits + 1] = over(left, base)
  end
  local q, r = 0, 0
  for place = #digits, 1, -1 do
    local more
    more, r = over(r * base + digits[place] * part, m)
    q = q * base + more
  end
  return a * whole + q, r
end

-- sliding windows --------------------------------------------------------------------------------------------------

local function index_at(window, at) -- at * 60 / window, in two steps that stay below 2^53
  local windows, rest = over(at, window)
  local tens, left = over(rest * 6, window)
  return windows * 60 + tens * 10 + floor(left * 10 / window)
end

local function leaves_at(window, index) -- the units of sub-bucket `index` no longer count from here on
  local windows, subs = over(index + 61, 60)
  local width, rest = over(window, 60)
  return windows * window + subs * width + math.ceil(subs * rest / 60)
end

local function cells_of(key)
  local text = call('GETRANGE', key, 40, 527)
  if #text < 488 then text = NO_CELLS end
  return { struct.unpack(CELLS, text) }
end

local function advance(entry, index)
  local c = entry.cells or cells_of(entry.key)
  entry.cells, entry.whole = c, true
  if index - entry[1] > 60 then
    for cell = 1, 61 do c[cell] = 0 end
    entry[1], entry[2], entry[3] = index, 0, 0
    return
  end
  c[fmod(entry[1], 61) + 1] = entry[3]
  for entered = entry[1] + 1, index do
    local cell = fmod(entered, 61) + 1
    entry[2] = entry[2] - c[cell]
    c[cell] = 0
  end
  entry[1], entry[3] = index, 0
end

local function sliding_retry(entry, counter, cost)
  if cost > counter.max then return -1 end
  local excess = entry[2] + cost - counter.max
  local c = entry.cells or cells_of(entry.key)
  for index = entry[1] - 60, entry[1] - 1 do
    excess = excess - c[fmod(index, 61) + 1]
    if excess <= 0 then return leaves_at(counter.window, index) end
  end
  return leaves_at(counter.window, entry[1])
end

-- buckets: the level is units * window + rest -------------------------------------------------------------------------

local function drained(counter, span) -- what leaves in `span` microseconds, as units and rest
  if span <= 0 then return 0, 0 end
  return muldiv(span, counter.max, counter.window)
end

local function minus(units, rest, less, less_rest, window)
  units, rest = units - less, rest - less_rest
  if rest < 0 then units, rest = units - 1, rest + window end
  if units < 0 then return 0, 0 end
  return units, rest
end

local function level_at(entry, counter, at)
  local span = max(0, at - entry[3])
  if counter.max > 0 and span / counter.window * counter.max > entry[1] + 2 then return 0, 0 end
  local units, rest = drained(counter, span)
  return minus(entry[1], entry[2], units, rest, counter.window)
end

local function drains_in(units, rest, counter)
  local rate = max(1, counter.max)
  local q, r = muldiv(units, counter.window, rate)
  local more, left = over(r + rest, rate)
  return min(q + more + (left > 0 and 1 or 0), 4e15)
end

-- calendar windows ----------------------------------------------------------------------------------------------------

local function window_at(counter, at)
  local first, last, after = counter.first, counter.last, counter.after
  if first <= at and at < last then return first, last end
  local from, length = first, last - first
  if at >= last then from, length = last, after - last end
  local windows = over(at - from, length)
  return from + windows * length, from + windows * length + length
end

-- entries -------------------------------------------------------------------------------------------------------------

local function counters()
  local found, blob, place = {}, ARGV[3], 1
  for number = 3, #KEYS do
    local c = {}
    c.id, c.algorithm, c.amount, c.max, c.window, c.burst, c.flags, c.first, c.last, c.after, place =
      struct.unpack(FORM, blob, place)
    c.hard = fmod(c.flags, 2) >= HARD
    c.shared = fmod(c.flags, 4) >= SHARED
    c.seeds = c.flags >= SEEDS
    c.key = KEYS[number]
    found[number - 2] = c
  end
  return found
end

local function load(counter)
  local text = call('GETRANGE', counter.key, 0, 39)
  if #text < 40 then return nil end
  local entry = { struct.unpack(WORDS, text) }
  entry.key = counter.key
  return entry
end

local function blank(counter, at)
  local seeded = counter.seeds and 0 or 1
  local entry
  if counter.algorithm == CALENDAR then
    local first, last = window_at(counter, at)
    entry = { first, last, 0, at, seeded }
  elseif counter.algorithm == SLIDING then
    entry = { index_at(counter.window, at), 0, 0, at, seeded }
    entry.cells = { struct.unpack(CELLS, NO_CELLS) }
  elseif counter.algorithm == BUCKET then
    entry = { 0, 0, at, at, 1 }
  else
    entry = { 0, at, 0, at, 1 }
  end
  entry.key, entry.whole, entry.new = counter.key, true, true
  return entry
end

local function save(entry, counter, at)
  local head = struct.pack(WORDS, entry[1], entry[2], entry[3], entry[4], entry[5])
  if counter.algorithm == CONCURRENT then
    if entry[1] == 0 then call('DEL', entry.key) else call('SET', entry.key, head) end
    return
  end
  local until_us
  if counter.algorithm == BUCKET then
    until_us = entry[4]
  elseif not (entry.whole or entry.rolled) then
    call('SETRANGE', entry.key, 0, head)
    return
  elseif counter.algorithm == CALENDAR then
    until_us = entry[2]
  else
    until_us = leaves_at(counter.window, entry[1])
    head = head .. struct.pack(CELLS, unpack(entry.cells, 1, 61))
  end
  -- Longer than it counts: a clock that is set back must find it again, and a tenant's counter that is made anew
  -- waits for the ledger's sum. A time that is told runs at no pace of Redis's.
  local more = (counter.seeds or ARGV[4] ~= '') and 86400000 or 1000
  call('SET', entry.key, head, 'PX', string.format('%.0f', max(1, min(floor((until_us - at) / 1000), 4e12)) + more))
end

-- take `cost` at `at`: the entry is changed, not saved; room before it, whether it fits, reset, window, retry
local function take(entry, counter, cost, at)
  local algorithm, room, fits = counter.algorithm, 0, true
  if algorithm == CALENDAR then
    if at >= entry[2] then
      entry[1], entry[2] = window_at(counter, at)
      entry[3], entry.rolled = 0, true
    end
    room = counter.max - entry[3]
    fits = cost <= room or cost == 0
    local retry = 0
    if not fits then retry = cost > counter.max and -1 or entry[2] end
    entry[3] = entry[3] + cost
    return room, fits, entry[2], entry[2] - entry[1], retry
  elseif algorithm == SLIDING then
    local index = index_at(counter.window, at)
    if entry[1] < index then advance(entry, index) end
    room = counter.max - entry[2]
    fits = cost <= room or cost == 0
    local retry = fits and 0 or sliding_retry(entry, counter, cost)
    entry[2], entry[3] = entry[2] + cost, entry[3] + cost
    return room, fits, at + counter.window, counter.window, retry
  elseif algorithm == BUCKET then
    local capacity = counter.burst > 0 and counter.burst or counter.max
    local units, rest = level_at(entry, counter, at)
    room = capacity - units - (rest > 0 and 1 or 0)
    fits = cost <= room or cost == 0
    local retry = 0
    if not fits then
      if cost > capacity or counter.max == 0 then
        retry = -1
      else
        retry = at + drains_in(units + cost - capacity, rest, counter)
      end
    end
    units = units + cost
    entry[1], entry[2], entry[3], entry[4] = units, rest, at, at + drains_in(units, rest, counter)
    return room, fits, entry[4], counter.window, retry
  end
  room = counter.max - entry[1]
  fits = cost <= room or cost == 0
  local retry = 0
  if not fits then retry = cost > counter.max and -1 or at + 1000000 end
  entry[1], entry[2] = entry[1] + cost, at
  return room, fits, at, 0, retry
end

-- correct what a call made at `made` holds by `delta`
local function give(counter, delta, made, at, entry)
  entry = entry or load(counter)
  local algorithm = counter.algorithm
  if entry == nil then
    if algorithm == BUCKET and delta > 0 then entry = blank(counter, at) else return end
  end
  if algorithm == CALENDAR then
    if not (entry[1] <= made and made < entry[2]) then return end
    entry[3] = max(0, entry[3] + delta)
  elseif algorithm == SLIDING then
    local index = index_at(counter.window, made)
    if index == entry[1] then
      delta = max(delta, -entry[3])
      entry[3] = entry[3] + delta
    elseif entry[1] - 60 <= index and index < entry[1] then
      local cell = fmod(index, 61)
      local c, place = entry.cells, 40 + 8 * cell
      local held = c and c[cell + 1] or struct.unpack('<d', call('GETRANGE', counter.key, place, place + 7))
      delta = max(delta, -held)
      if c then
        c[cell + 1], entry.whole = held + delta, true
      else
        call('SETRANGE', counter.key, place, struct.pack('<d', held + delta))
      end
    else
      return
    end
    entry[2] = entry[2] + delta
  elseif algorithm == BUCKET then
    local units, rest = level_at(entry, counter, at)
    if delta >= 0 then
      units = units + delta
    else
      local gone, gone_rest = drained(counter, max(0, at - made))
      local back, back_rest = minus(-delta, 0, gone, gone_rest, counter.window)
      units, rest = minus(units, rest, back, back_rest, counter.window)
    end
    entry[1], entry[2], entry[3], entry[4] = units, rest, at, at + drains_in(units, rest, counter)
  else
    entry[1], entry[2] = max(0, entry[1] + delta), at
  end
  save(entry, counter, at)
end

-- operations ------------------------------------------------------------------------------------------------------------

local function raw_time()
  if ARGV[4] ~= '' then return tonumber(ARGV[4]) end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

local mark = call('GET', KEYS[1])
local cut, last, whole, agreed = 0, 0, BIG, nil
if mark and #mark >= 16 then
  cut, last = struct.unpack('<dd', mark)
  if #mark >= 24 then whole = struct.unpack('<d', mark, 17) end
else
  if mark and #mark == 8 then agreed = struct.unpack('<d', mark) end
  mark = false
end
local raw = raw_time()
local now = max(raw, last)
local operation, call_id = ARGV[1], ARGV[2]

if operation == 'R' then -- reserve. 5: not after this time: a call that nobody waits for any more takes nothing
  if not mark then return 'unseeded' end
  if ARGV[5] ~= '' and raw > tonumber(ARGV[5]) then return 'late' end
  local asked, entries = counters(), {}
  for number, counter in ipairs(asked) do
    entries[number] = load(counter) or false
  end
  for number, counter in ipairs(asked) do
    -- A counter begins at a time that no call has had: those before it are the ledger's to add.
    if not entries[number] and counter.seeds and now == last then now = now + 1 end
  end
  local admitted, figures = true, {}
  for number, counter in ipairs(asked) do
    local entry = entries[number]
    if not entry then
      entry = blank(counter, now)
      entries[number] = entry
    end
    local room, fits, reset, window, retry = take(entry, counter, counter.amount, now)
    if not fits and counter.hard then admitted = false end
    figures[number] = { room, reset, fits and 0 or 1, retry, window }
  end
  local reply = { struct.pack('<ll', admitted and 1 or 0, now) }
  for number, counter in ipairs(asked) do
    local entry, figure = entries[number], figures[number]
    local left = figure[1] - (admitted and counter.amount or 0)
    local new = admitted and entry.new and counter.seeds and not counter.shared
    reply[number + 1] = struct.pack('<llllll', left, figure[2], figure[3], figure[4], figure[5], new and 1 or 0)
    if admitted and not counter.shared then save(entry, counter, now) end
  end
  if admitted then call('HSET', KEYS[2], call_id, struct.pack('<d', now) .. ARGV[3]) end
  if now > last then call('SETRANGE', KEYS[1], 8, struct.pack('<d', now)) end
  return table.concat(reply)
end

if operation == 'S' then -- settle or release. 5: actual units; 6: what to leave behind; 7: the call's time, if not here
  local held = call('HGET', KEYS[2], call_id)
  if not held then return 'unknown' end
  local made = struct.unpack('<d', held)
  local told = tonumber(ARGV[7] or '') or 0
  if told > 0 then made = made < 0 and -told or told end -- a part of a long call counts where the call began
  if made < 0 then -- swept: it was given back when its worker's lease ended, and is counted again
    made = -made
    for number, counter in ipairs(counters()) do
      local actual = struct.unpack('<l', ARGV[5], number * 8 - 7)
      if actual ~= 0 and not counter.shared then give(counter, actual, made, now) end
    end
    call('HDEL', KEYS[2], call_id)
    return 'again'
  end
  for number, counter in ipairs(counters()) do
    local actual = struct.unpack('<l', ARGV[5], number * 8 - 7)
    local delta = actual - counter.amount
    if delta ~= 0 and not counter.shared then
      local entry = load(counter)
      if entry and counter.seeds and made < entry[4] then -- made anew since: it holds nothing of this call
        delta = entry[5] == 1 and actual or 0 -- what is not seeded yet is the ledger's to add, this call with it
      end
      if delta ~= 0 then give(counter, delta, made, now, entry) end
    end
  end
  if ARGV[6] == 'swept' then
    call('HSET', KEYS[2], call_id, struct.pack('<d', -made) .. ARGV[3])
    call('EXPIRE', KEYS[2], 2592000)
  else
    call('HDEL', KEYS[2], call_id)
  end
  return 'settled'
end

if operation == 'T' then -- take again what a call held in an earlier life: its place among the calls at once. 5: its time
  if call('HEXISTS', KEYS[2], call_id) == 1 then return 'known' end
  for number, counter in ipairs(counters()) do
    if not counter.shared then
      local entry = load(counter) or blank(counter, now)
      entry[1], entry[2] = entry[1] + counter.amount, now
      save(entry, counter, now)
    end
  end
  call('HSET', KEYS[2], call_id, struct.pack('<d', tonumber(ARGV[5])) .. ARGV[3])
  return 'taken'
end

-- count what a call made at `made` cost, that was let pass without being counted; whether a counter was made for it.
-- `late`: it is from before the cut, and its record was not in the ledger yet when that was added
local function count(counter, actual, made, late)
  local entry, is_new = load(counter), false
  if entry == nil then
    entry, is_new = blank(counter, now), counter.seeds
    save(entry, counter, now)
  end
  if counter.seeds and made < entry[4] and not (late and entry[4] <= cut) then
    return is_new -- from before the counter began: the ledger's to add
  end
  if counter.algorithm == CALENDAR and made >= entry[2] then
    entry[1], entry[2] = window_at(counter, made)
    entry[3], entry.rolled = 0, true
  elseif counter.algorithm == SLIDING and index_at(counter.window, made) > entry[1] then
    advance(entry, index_at(counter.window, made))
  end
  give(counter, actual, made, now, entry)
  return is_new
end

if operation == 'A' then -- count calls that were let pass. 5: of each its id, its time, its actual units a counter
  if not mark then return 'unseeded' end
  local asked, rows, place, began = counters(), ARGV[5], 1, {}
  while place <= #rows do
    local id, made, ended, actual
    id, made, ended, place = struct.unpack('<c16ll', rows, place)
    local late = made < cut and ended >= whole
    local is_new = (late or made >= cut) and call('HSETNX', KEYS[2], id, '') == 1
    for number, counter in ipairs(asked) do
      actual, place = struct.unpack('<l', rows, place)
      if is_new and actual ~= 0 and not counter.shared and count(counter, actual, made, late) then
        began[#began + 1] = number - 1
      end
    end
  end
  call('EXPIRE', KEYS[2], 86400) -- who was not answered asks again long before
  return struct.pack('<l' .. string.rep('l', #began), now, unpack(began))
end

if operation == 'G' then -- add the ledger's rows to one counter, once. 5: (time, units) pairs; 6: "make", "amend", "put" or ""; 7: when it begins
  local counter = counters()[1]
  local entry, begins = load(counter), tonumber(ARGV[7] or '') or now
  if entry and ARGV[6] == 'make' and not mark and entry[4] ~= begins then entry = nil end -- of an earlier attempt
  if entry == nil then
    if ARGV[6] ~= 'make' and ARGV[6] ~= 'put' then return 'unknown' end
    entry = blank(counter, now)
    entry[4] = begins
  elseif entry[5] == 1 and ARGV[6] ~= 'amend' and ARGV[6] ~= 'put' then
    return 'seeded'
  end
  if ARGV[6] == 'put' then
    if now >= entry[2] then entry[1], entry[2] = window_at(counter, now) end
    entry[3] = 0
  end
  local rows, sliding = ARGV[5], counter.algorithm == SLIDING
  if sliding then entry.cells = entry.cells or cells_of(entry.key) end
  for place = 1, #rows, 16 do
    local at, units = struct.unpack('<ll', rows, place)
    if not sliding then
      if entry[1] <= at and at < entry[2] then entry[3] = max(0, entry[3] + units) end
    else
      local index = index_at(counter.window, at)
      if entry[1] - 60 <= index and index <= entry[1] then
        local cell = fmod(index, 61) + 1
        local held = index == entry[1] and entry[3] or entry.cells[cell]
        local change = max(units, -held)
        entry[2] = entry[2] + change
        if index == entry[1] then entry[3] = entry[3] + change else entry.cells[cell] = held + change end
      end
    end
  end
  entry[5], entry.whole = 1, true
  save(entry, counter, now)
  return 'seeded now'
end

if operation == 'P' then -- agree on the cut. 5: this host's proposal; the first one's holds for all
  if mark then return 'marked' end
  if not agreed then
    agreed = tonumber(ARGV[5])
    call('SET', KEYS[1], struct.pack('<d', agreed))
  end
  return string.format('%.0f', agreed)
end

-- the tenant is seeded. 5: the cut: calls from this time on are counted here, those before by the ledger; 6: but for those
-- that ended from this time on ("": the cut was not agreed on)
if operation == 'M' then
  if mark then return 'marked' end
  local from, late = tonumber(ARGV[5]), tonumber(ARGV[6] or '')
  if late and agreed ~= from then return 'emptied' end
  call('SET', KEYS[1], struct.pack('<ddd', from, max(raw, from), late or BIG))
  return 'marked now'
end

if operation == 'L' then -- look: the states without taking
  local reply = { struct.pack('<ll', mark and 1 or 0, now) }
  for number, counter in ipairs(counters()) do
    local entry = load(counter) or blank(counter, now)
    local room, _, reset, window = take(entry, counter, 0, now)
    reply[number + 1] = struct.pack('<llllll', room, reset, 0, 0, window, 0)
  end
  return table.concat(reply)
end

return redis.error_reply('ERR unknown operation')
