usher may not signal a post-stop hook, and exits at the deadline. The hook exits at the same
instant. No goroutine is left that waits for the hook's result.

-- usher --
usher --grace 2s --post-stop report -- app
-- processes --
report: runs as another user
app: exits 0 after 1s
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 0
      1s post-stop
      1s   fork report REASON=exit EXIT_CODE=0 TIME_LEFT=2
      3s   kill group of report SIGTERM: not permitted
      3s cannot send SIGTERM to report: operation not permitted
      3s hook report finished: its share of --grace is used up
      3s   kill group of report SIGKILL: not permitted
      3s   kill everything SIGKILL
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 0s, post-stop 2s
      3s exit code 0: <nil>
