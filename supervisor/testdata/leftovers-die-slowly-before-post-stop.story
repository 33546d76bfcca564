A subreaper waits only briefly for the processes that it has killed before it runs the
post-stop hook. It waits for the rest of them after the hook.

-- machine --
not PID 1
-- usher --
usher --grace 4s --post-stop report -- app
-- processes --
app: ignores signals; daemons server
server: ignores signals; exits 900ms after SIGKILL
report: exits 0 after 300ms
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
   3.56s   kill server SIGTERM
   3.56s   kill server SIGCONT
   3.56s last call: SIGTERM: server
    4.2s   kill app SIGKILL
    4.2s   kill everything SIGKILL
    4.2s app gets SIGKILL at the deadline
    4.2s app was killed by SIGKILL
    4.2s leftovers
    4.2s leftovers get SIGKILL at the deadline
    4.2s   kill everything SIGKILL
   4.25s   kill everything SIGKILL
    4.3s post-stop
    4.3s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=0
    4.6s hook report finished: ok
    4.6s   kill everything SIGKILL
   4.65s   kill everything SIGKILL
   4.75s   kill everything SIGKILL
   4.95s   kill everything SIGKILL
    5.1s orphan 3 was killed by SIGKILL
    5.1s exit
    5.1s shutdown took 4.1s: drain 0s, stop 3.2s, leftovers 100ms, post-stop 300ms
    5.1s exit code 137: stopped by SIGTERM
