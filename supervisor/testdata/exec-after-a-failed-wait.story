With --exec the app does not replace usher if a target is not ready in time.

-- usher --
usher --wait tcp://db:1 --wait-timeout 2s --exec -- app
-- processes --
app: exits 0 after 1s
-- targets --
tcp://db:1: never ready
-- trace --
      0s wait
      2s failed: wait: timed out after 2s; tcp://db:1: no answer yet (1 attempt in 2s)
      2s exit
      2s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      2s exit code 124: wait: timed out after 2s; tcp://db:1: no answer yet (1 attempt in 2s)
