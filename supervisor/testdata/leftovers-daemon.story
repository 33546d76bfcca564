A daemon was usher's child before the app got its signal, so the app cannot have signalled
it. It is signalled as soon as the app has exited.

-- usher --
usher --grace 10s -- app
-- processes --
app: on a stop signal exits 0 after 1s; children worker; daemons agent
worker: on a stop signal exits 0
agent: on a stop signal exits 0 after 1s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      2s app exited 0
      2s leftovers
      2s   kill agent SIGTERM
      2s   kill agent SIGCONT
      2s leftovers get SIGTERM: agent
      3s orphan 3 exited 0
    6.5s   kill worker SIGTERM
    6.5s leftovers get SIGTERM: worker
    6.5s orphan 4 exited 0
    6.5s exit
    6.5s shutdown took 5.5s: drain 0s, stop 1s, leftovers 4.5s, post-stop 0s
    6.5s exit code 0: stopped by SIGTERM
