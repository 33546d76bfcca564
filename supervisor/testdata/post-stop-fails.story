A post-stop hook fails. The next one runs nevertheless, and the app's exit status counts.

-- usher --
usher --post-stop report --post-stop more -- app
-- processes --
app: exits 2 after 1ns
more: exits 0 after 1ns
report: exits 1 after 1ns
-- trace --
      0s start
      0s   fork app
      0s run
     1ns app exited 2
     1ns post-stop
     1ns   fork report REASON=exit EXIT_CODE=2 TIME_LEFT=10
     2ns hook report finished: exit status 1
     2ns   fork more REASON=exit EXIT_CODE=2 TIME_LEFT=10
     3ns hook more finished: ok
     3ns exit
     3ns shutdown took 2ns: drain 0s, stop 0s, leftovers 0s, post-stop 2ns
     3ns exit code 2: <nil>
