The app has exited, and a process below a leftover gets its pid. The last call includes that
process.

-- usher --
usher --grace 10s -- app
-- machine --
pids are reused
-- processes --
app: on a stop signal exits 0; children master
master: ignores signals; after 3s forks worker
worker: on a stop signal exits 0
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      1s app exited 0
      1s leftovers
      6s   kill master SIGTERM
      6s   kill master SIGCONT
      6s leftovers get SIGTERM: master
      9s   kill worker SIGTERM
      9s last call: SIGTERM: worker
     11s leftovers get SIGKILL at the deadline
     11s   kill everything SIGKILL
     11s orphan 3 was killed by SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 0s, leftovers 10s, post-stop 0s
     11s exit code 0: stopped by SIGTERM
