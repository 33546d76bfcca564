The first post-stop hook uses up --grace. Each of the others is reported as skipped.

-- usher --
usher --grace 10s --post-stop one --post-stop two --post-stop three -- app
-- processes --
app: exits 0 after 1s
one: ignores signals
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 0
      1s post-stop
      1s   fork one REASON=exit EXIT_CODE=0 TIME_LEFT=10
     11s   kill group of one SIGTERM
     11s hook one finished: its share of --grace is used up
     11s hook two skipped: no time left
     11s hook three skipped: no time left
     11s   kill group of one SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 0s, leftovers 0s, post-stop 10s
     11s exit code 0: <nil>
