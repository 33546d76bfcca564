A stop signal is received while the command of a --ready target runs again for Readiness.
The command is terminated at once.

-- usher --
usher --ready check --health :8086 --grace 20s --drain-delay 5s -- app
-- processes --
app: on a stop signal exits 0 after 1s
check: exits 0 after 2s
-- events --
10s ready?
11s TERM
-- trace --
      0s start
      0s   fork app
      0s ready
      0s   fork check
      2s check is ready
      2s run
     10s   fork check
     11s   kill group of check SIGTERM
     11s received SIGTERM
     11s drain
     16s delay over
     16s stop
     16s   kill app SIGTERM
     17s app exited 0
     17s exit
     17s shutdown took 6s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
     17s exit code 0: stopped by SIGTERM
     10s ready? answered at 11s: stopping
