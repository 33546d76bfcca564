# A task of Nomad's docker driver. Nomad takes the task out of the service catalogue, waits
# for shutdown_delay, sends kill_signal, and after kill_timeout SIGKILL. kill_timeout is 5 s by
# default, and at most the client's max_kill_timeout, which is 30 s by default.
# Run this, with the image of examples/compose in a registry of yours:
#
#     nomad job run examples/nomad/web.nomad.hcl
#     nomad job stop web
#     nomad alloc logs -stderr -job web
#
# Expect this log:
#
#     usher: start: httpd started, pid 7
#     usher: received SIGTERM, shutting down (deadline 18s)
#     usher: stop: sent SIGTERM to httpd
#     usher: app was killed by SIGTERM after 22s; shutdown took 6ms of 18s: app 6ms
#
# shutdown_delay takes the place of --drain-delay, and does not count against
# kill_timeout.
job "web" {
  group "web" {
    network {
      port "http" {
        to = 8080
      }
    }

    service {
      name     = "web"
      port     = "http"
      provider = "nomad"
    }

    task "web" {
      driver         = "docker"
      shutdown_delay = "5s"
      kill_signal    = "SIGTERM"
      kill_timeout   = "20s"

      config {
        image      = "registry.example/web:1.0"
        ports      = ["http"]
        entrypoint = ["/usher"]
        args       = ["--grace=18s", "--", "httpd", "-f", "-p", "8080"] # at most kill_timeout - 2
      }
    }
  }
}
