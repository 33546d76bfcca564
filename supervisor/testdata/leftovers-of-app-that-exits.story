An app that exits by itself has not signalled its children. They may run for the reserve,
counted from the app's exit. The last call is after four fifths of that time.

-- usher --
usher --grace 20s --stop-reserve 5s -- app
-- processes --
app: exits 3 after 1s; children master
master: on a stop signal exits 0; waits for its children; children worker
worker: on a stop signal exits 0 after 500ms
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 3
      1s leftovers
      1s still running: master worker
      1s   kill master SIGTERM
      1s   kill master SIGCONT
      1s leftovers get SIGTERM: master
      5s   kill worker SIGTERM
      5s   kill worker SIGCONT
      5s last call: SIGTERM: worker
    5.5s orphan 3 exited 0
    5.5s exit
    5.5s shutdown took 4.5s: drain 0s, stop 0s, leftovers 4.5s, post-stop 0s
    5.5s exit code 3: <nil>
