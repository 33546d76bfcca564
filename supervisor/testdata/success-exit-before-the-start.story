--success-exit applies to the exit code of an app. If a stop signal ends the wait, there was
no app, and the exit code stays.

-- usher --
usher --wait tcp://db:1 --success-exit 143 -- app
-- processes --
app: exits 0 after 1s
-- targets --
tcp://db:1: never ready
-- events --
1s TERM
-- trace --
      0s wait
      1s received SIGTERM
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 143: stopped by SIGTERM
