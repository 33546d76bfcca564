The start of a hook hangs, and an orphan exits meanwhile. The next hook gets the pid of that
orphan. The hook's result is the hook's exit status, not the orphan's.

-- usher --
usher --grace 10s --post-stop report --post-stop 'timeout=1s hangs' --post-stop flush -- app
-- machine --
pids are reused
-- processes --
app: exits 0 after 1s
report: exits 0 after 1s; daemons daemon
daemon: exits 0 after 1500ms
hangs: its start takes 3s
flush: exits 3 after 2s
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 0
      1s post-stop
      1s   fork report REASON=exit EXIT_CODE=0 TIME_LEFT=10
      2s hook report finished: ok
      2s   fork hangs REASON=exit EXIT_CODE=0 TIME_LEFT=1
    4.1s hook hangs finished: timed out after 1s
    4.1s   fork flush REASON=exit EXIT_CODE=0 TIME_LEFT=6
      5s   kill group of hangs SIGTERM
      5s orphan 3 exited 0
    6.1s hook flush finished: exit status 3
    6.1s exit
    6.1s shutdown took 5.1s: drain 0s, stop 0s, leftovers 0s, post-stop 5.1s
    6.1s exit code 0: <nil>
