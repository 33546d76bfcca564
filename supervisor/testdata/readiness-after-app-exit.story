The app exits while a probe for Readiness and a post-start hook are running. As soon as the
app has exited, Ask and AskServing return "stopping".

-- usher --
usher --ready tcp://self:1 --post-start register -- app
-- processes --
app: exits 0 after 3s
register: on a stop signal exits 0 after 500ms
-- targets --
tcp://self:1: ready after 1s
-- events --
1.5s ready?
1.5s serving?
2.5s ready?
2.5s serving?
3.2s ready?
3.2s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
      1s tcp://self:1 is ready
      1s post-start
      1s   fork register APP_PID=2
      3s app exited 0
      3s   kill group of register SIGTERM
    3.5s hook register finished: the app has exited
    3.5s exit
    3.5s shutdown took 500ms: drain 0s, stop 0s, leftovers 0s, post-stop 0s
    3.5s exit code 0: <nil>
    1.5s ready? answered at 1.5s: ok
    1.5s serving? answered at 1.5s: ok
    2.5s ready? answered at 3s: stopping
    2.5s serving? answered at 3s: stopping
    3.2s ready? answered at 3.2s: stopping
    3.2s serving? answered at 3.2s: stopping
