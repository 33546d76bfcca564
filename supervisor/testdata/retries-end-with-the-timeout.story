A drain hook that cannot be started is retried until its timeout.

-- usher --
usher --grace 25s --drain 'retries=1000 timeout=1s flaky' -- app
-- processes --
app: on a stop signal exits 0 after 2s
flaky: cannot be forked
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     11s hook flaky finished: timed out after 1s, the try before failed: cannot run flaky: resource temporarily unavailable
     11s stop
     11s   kill app SIGTERM
     13s app exited 0
     13s exit
     13s shutdown took 3s: drain 1s, stop 2s, leftovers 0s, post-stop 0s
     13s exit code 0: stopped by SIGTERM
