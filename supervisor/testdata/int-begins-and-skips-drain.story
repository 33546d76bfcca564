The first SIGINT begins the shutdown, the second one skips the rest of the drain.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
-- events --
10s INT
11s INT
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGINT
     10s drain
     11s the rest of the drain is skipped
     11s delay over
     11s hook leave skipped: SIGINT skipped the drain
     11s hook flush skipped: SIGINT skipped the drain
     11s stop
     11s   kill app SIGINT
     13s app exited 0
     13s exit
     13s shutdown took 3s: drain 1s, stop 2s, leftovers 0s, post-stop 0s
     13s exit code 0: stopped by SIGINT
