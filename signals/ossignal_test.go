//go:build (!amd64 && !arm64) || purego

package signals

// notReceivable lists the signals from -1 to 66 for which CheckReceivable returns an error.
const notReceivable = "signal -1 signal 0 SIGKILL SIGPIPE SIGCHLD SIGSTOP SIGURG SIGXFSZ SIGPROF signal 32 signal 33 SIGRTMIN signal 65 signal 66"
