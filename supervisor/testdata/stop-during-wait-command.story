The command of a wait probe ignores the SIGTERM after a stop signal. It gets SIGKILL a
second later.

-- usher --
usher --wait 'timeout=20s check' -- app
-- processes --
check: ignores signals
-- events --
1s TERM
-- trace --
      0s wait
      0s   fork check
      1s received SIGTERM
      1s   kill group of check SIGTERM
      2s   kill group of check SIGKILL
      2s exit
      2s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      2s exit code 143: stopped by SIGTERM
