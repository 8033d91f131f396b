-- For wrk: asks for the paths of a file (its first argument after --), one a line, in random order.
local requests = {}

init = function(arguments)
  for path in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
  math.randomseed(os.time())
end

request = function()
  return requests[math.random(#requests)]
end
