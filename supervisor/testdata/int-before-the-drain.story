A SIGINT is received after the stop signal and before the drain, while usher waits for the
command of a ready probe. The SIGINT skips the drain.

-- usher --
usher --ready 'timeout=30s check' --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: on a stop signal exits 0 after 2s
check: ignores signals
flush: exits 0 after 1s
leave: exits 0 after 1s
-- events --
10s TERM
10.5s INT
-- trace --
      0s start
      0s   fork app
      0s ready
      0s   fork check
      5s still waiting for 1
     10s received SIGTERM
     10s   kill group of check SIGTERM
     11s   kill group of check SIGKILL
     11s drain
     11s the rest of the drain is skipped
     11s delay over
     11s hook leave skipped: SIGINT skipped the drain
     11s hook flush skipped: SIGINT skipped the drain
     11s stop
     11s   kill app SIGTERM
     13s app exited 0
     13s exit
     13s shutdown took 3s: drain 0s, stop 2s, leftovers 0s, post-stop 0s
     13s exit code 0: stopped by SIGTERM
