A stop signal is received while a pre-start hook sends a request. The request is cancelled,
and no process has got a stop signal, so none can have passed it on. So usher signals the
process that an earlier hook has left at once.

-- usher --
usher --grace 20s --pre-start setup --pre-start http://registry -- app
-- processes --
setup: exits 0 after 1s; leaves worker running
worker: on a stop signal exits 0 after 3s
-- targets --
http://registry: ready after 10s
-- events --
2s TERM
-- trace --
      0s pre-start
      0s   fork setup
      1s hook setup finished: ok
      2s received SIGTERM
      2s hook http://registry finished: interrupted by SIGTERM
      2s leftovers
      2s   kill worker SIGTERM
      2s   kill worker SIGCONT
      2s leftovers get SIGTERM: worker
      5s orphan 3 exited 0
      5s exit
      5s shutdown took 3s: drain 0s, stop 0s, leftovers 3s, post-stop 0s
      5s exit code 143: stopped by SIGTERM
