//go:build (!amd64 && !arm64) || purego

package signals

// What os/signal cannot deliver, beside what nobody can.
const notReceivable = "signal -1 signal 0 SIGKILL SIGPIPE SIGCHLD SIGSTOP SIGURG SIGPROF signal 32 signal 33 SIGRTMIN signal 65 signal 66"
