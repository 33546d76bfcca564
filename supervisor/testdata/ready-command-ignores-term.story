The command of a ready probe ignores SIGTERM. usher does not wait for it longer than the
drain's share, so that the app has its reserve.

-- usher --
usher --ready 'timeout=30s check' --grace 800ms -- app
-- processes --
app: on a stop signal exits 0 after 300ms
check: ignores signals
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s ready
      0s   fork check
      5s still waiting for 1
     10s received SIGTERM
     10s   kill group of check SIGTERM
   10.4s stop
   10.4s   kill app SIGTERM
   10.7s app exited 0
   10.7s leftovers
   10.8s leftovers get SIGKILL at the deadline
   10.8s   kill everything SIGKILL
   10.8s exit
   10.8s shutdown took 800ms: drain 0s, stop 300ms, leftovers 100ms, post-stop 0s
   10.8s exit code 0: stopped by SIGTERM
