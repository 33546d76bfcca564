The log suggests --stop-on 5s after a forwarded SIGQUIT that has not stopped the app, and
not again when the app exits.

-- usher --
usher --grace 10s -- app
-- processes --
app: ignores signals; exits 0 after 20s
-- events --
1s QUIT
2s WINCH
10s USR1
-- trace --
      0s start
      0s   fork app
      0s run
      1s   kill app SIGQUIT
      2s   kill app SIGWINCH
      6s hint: --stop-on SIGQUIT
     10s   kill app SIGUSR1
     20s app exited 0
     20s exit
     20s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
     20s exit code 0: <nil>
