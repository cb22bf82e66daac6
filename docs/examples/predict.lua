-- Load of wrk on /predict, each request with another row:
--   wrk --threads 1 --connections 16 --duration 10s --latency --script docs/examples/predict.lua http://localhost:5000
-- A closed loop: it finds what a server can do, not how long callers wait; `tickline load` measures that.

local count = 0

function request()
  count = count + 1
  local row = {}
  for feature = 1, 22 do
    row[feature] = string.format("%.4f", 100 + math.sin(count * 22 + feature))
  end
  local body = '{"features":[' .. table.concat(row, ",") .. "]}"
  return wrk.format("POST", "/predict", { ["Content-Type"] = "application/json" }, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "%.0f predictions a second, p99 %.3f ms, %d not answered by 200\n",
    summary.requests / summary.duration * 1e6, latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout
  ))
end
