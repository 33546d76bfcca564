A subreaper waits until the processes that it has killed have exited, also if they need some
time because the machine is busy. The kernel would not kill them when usher exits.

-- machine --
not PID 1
-- usher --
usher --grace 4s -- app
-- processes --
app: ignores signals; daemons server; exits 200ms after SIGKILL
server: ignores signals; exits 500ms after SIGKILL
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
    4.2s   kill server SIGTERM
    4.2s   kill server SIGCONT
    4.2s last call: SIGTERM: server
      5s   kill app SIGKILL
      5s   kill everything SIGKILL
      5s app gets SIGKILL at the deadline
   5.02s leftovers
   5.02s leftovers get SIGKILL at the deadline
   5.02s   kill everything SIGKILL
   5.07s   kill everything SIGKILL
   5.17s   kill everything SIGKILL
    5.2s app was killed by SIGKILL
    5.2s   kill everything SIGKILL
   5.25s   kill everything SIGKILL
   5.35s   kill everything SIGKILL
    5.5s orphan 3 was killed by SIGKILL
    5.5s exit
    5.5s shutdown took 4.5s: drain 0s, stop 4.02s, leftovers 480ms, post-stop 0s
    5.5s exit code 137: stopped by SIGTERM
