After the stop signal every signal is forwarded unchanged, stop signals too.

-- usher --
usher --grace 10s --rewrite HUP:USR1 -- app
-- processes --
app: on a stop signal exits 0 after 3s
-- events --
5s TERM
6s TERM
6.5s HUP
7s INT
-- trace --
      0s start
      0s   fork app
      0s run
      5s received SIGTERM
      5s stop
      5s   kill app SIGTERM
      6s   kill app SIGTERM
    6.5s   kill app SIGHUP
      7s   kill app SIGINT
      8s app exited 0
      8s exit
      8s shutdown took 3s: drain 0s, stop 3s, leftovers 0s, post-stop 0s
      8s exit code 0: stopped by SIGTERM
