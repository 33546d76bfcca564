The app handles its stop signal and does not forward it. Then it raises the signal again, as
the runtimes of Node and Go do. 100ms later the app's child still has its own handler, which
shows that it got no signal. So usher signals it.

-- usher --
usher --grace 10s -- launcher
-- processes --
launcher: on a stop signal exits 0; raises it again; children node
node: on a stop signal exits 0 after 2s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s start
      0s   fork launcher
      0s run
      1s received SIGTERM
      1s stop
      1s   kill launcher SIGTERM
      1s app was killed by SIGTERM
      1s leftovers
    1.1s   kill node SIGTERM
    1.1s   kill node SIGCONT
    1.1s leftovers get SIGTERM: node
    3.1s orphan 3 exited 0
    3.1s exit
    3.1s shutdown took 2.1s: drain 0s, stop 0s, leftovers 2.1s, post-stop 0s
    3.1s exit code 143: stopped by SIGTERM
