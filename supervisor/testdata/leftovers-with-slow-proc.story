Reading /proc takes longer than the tenth of a second that usher waits for it before the
stop signal. The app handles that signal and may have signalled its children, so they are
not signalled at once.

-- usher --
usher --grace 10s -- sh
-- machine --
reading /proc takes 300ms
-- processes --
sh: on a stop signal exits 0; forwards it to its children; children node
node: on a stop signal exits 0 after 2s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s start
      0s   fork sh
      0s run
      1s received SIGTERM
      1s stop
    1.1s   kill sh SIGTERM
    1.1s   sh forwards SIGTERM to node
    1.1s app exited 0
    1.1s leftovers
    3.1s orphan 3 exited 0
    3.1s exit
    3.1s shutdown took 2.1s: drain 0s, stop 100ms, leftovers 2s, post-stop 0s
    3.1s exit code 0: stopped by SIGTERM
