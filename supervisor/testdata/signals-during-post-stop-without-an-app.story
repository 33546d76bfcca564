The app was not started. A signal that is received while a post-stop hook runs is ignored,
because there will be no app that could get it.

-- usher --
usher --wait tcp://db:1 --wait-timeout 2s --grace 10s --post-stop report -- app
-- processes --
app: exits 0 after 1s
report: exits 0 after 3s
-- targets --
tcp://db:1: never ready
-- events --
3s USR1
4s TERM
-- trace --
      0s wait
      2s failed: wait: timed out after 2s; tcp://db:1: no answer yet (1 attempt in 2s)
      2s post-stop
      2s   fork report REASON=wait EXIT_CODE=124 TIME_LEFT=10
      3s SIGUSR1 ignored
      4s SIGTERM ignored
      5s hook report finished: ok
      5s exit
      5s shutdown took 3s: drain 0s, stop 0s, leftovers 0s, post-stop 3s
      5s exit code 124: wait: timed out after 2s; tcp://db:1: no answer yet (1 attempt in 2s)
