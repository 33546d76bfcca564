The start of the app never returns, because its file system does not respond. After a stop
signal usher still exits by the deadline.

-- usher --
usher --grace 5s --post-stop report -- app
-- processes --
app: its start takes 100h
report: exits 0 after 500ms
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      1s received SIGTERM
    2.5s leftovers
    2.5s   kill app SIGTERM
    2.5s   kill app SIGCONT
    2.5s leftovers get SIGTERM: app
      5s leftovers get SIGKILL at the deadline
      5s   kill everything SIGKILL
      5s post-stop
      5s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=143 TIME_LEFT=1
    5.5s hook report finished: ok
    5.5s exit
    5.5s shutdown took 4.5s: drain 0s, stop 0s, leftovers 2.5s, post-stop 500ms
    5.5s exit code 143: stopped by SIGTERM
