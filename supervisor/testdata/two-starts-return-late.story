A post-start hook, an orphan and a command of --ready exit while the starts of the hook and
of the command have not returned. When the first start returns, the exit status of the other
command is kept. The orphan is reported when no start is under way.

-- usher --
usher --ready check --post-start register --health :8086 --grace 10s -- app
-- processes --
app: exits 0 after 20s
check: exits 0 after 100ms; its start is reported 2s later
register: exits 0 after 100ms; its start is reported 3s later; daemons daemon
daemon: exits 4 after 2500ms
-- events --
4s ready?
-- trace --
      0s start
      0s   fork app
      0s ready
      0s   fork check
      2s check is ready
      2s post-start
      2s   fork register APP_PID=2
      4s   fork check
      5s hook register finished: ok
      5s run
      6s orphan 5 exited 4
     20s app exited 0
     20s exit
     20s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
     20s exit code 0: <nil>
      4s ready? answered at 6s: ok
