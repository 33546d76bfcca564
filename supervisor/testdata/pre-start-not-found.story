The program of a pre-start hook does not exist. The exit code is that of a failed hook, and
not 127, which says that the app does not exist.

-- usher --
usher --pre-start migrate -- app
-- processes --
migrate: is not found
app: exits 0 after 1s
-- trace --
      0s pre-start
      0s hook migrate finished: cannot run migrate: no such file or directory
      0s failed: pre-start: hook migrate failed: cannot run migrate: no such file or directory
      0s exit
      0s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      0s exit code 125: pre-start: hook migrate failed: cannot run migrate: no such file or directory
