package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// notifier sends messages to the service manager by the protocol of sd_notify(3): READY=1
// when the app is ready, STOPPING=1 when the shutdown begins, and at each step a STATUS=,
// which systemctl(1) shows. The service manager is systemd, or conmon for podman.
//
// observe runs in the goroutine of the supervisor and never blocks: it only records what
// has to be sent. run sends the messages in a goroutine of its own, because sending may take
// long: the socket's path may be on a file system that does not respond, and the queue of
// the receiver may be full.
type notifier struct {
	address  syscall.SockaddrUnix
	log      *logger
	config   *supervisor.Config
	wake     chan struct{} // capacity 1; a value means that there may be something to send
	sent     chan struct{} // capacity 1; a value means that a message was sent or dropped
	warned   bool          // a failure was logged, so later ones are not; only the method run uses it, so it needs no lock
	ready    bool          // READY=1 was recorded; only observe uses ready and stopping, so they need no lock
	stopping bool          // STOPPING=1 was recorded

	mu     sync.Mutex
	states []string // states to send, in order: READY=1, STOPPING=1
	status string   // the text of the STATUS= to send; "": none. A newer one replaces it.
}

const (
	notifyVariable = "NOTIFY_SOCKET"
	// The address of a socket has room for 108 bytes (unix(7)). As in libsystemd, the last
	// byte is a NUL.
	maxNotifyAddress = 107
	// A longer status is cut, because systemd ignores a message of more than 4096 bytes.
	maxStatus = 1024
	// If a message cannot be sent now (isTemporary), for example because the receiver's queue
	// is full, the next attempt comes after notifyMinPause. The pause is then doubled up to
	// notifyMaxPause, because the receiver may never read.
	notifyMinPause = 10 * time.Millisecond
	notifyMaxPause = time.Second
	// Before usher exits, it waits at most this long for its last messages to be sent.
	notifyFlushLimit = 100 * time.Millisecond
)

// readNotifySocket returns the address of the service manager's socket, and the environment
// without NOTIFY_SOCKET. usher uses the socket only with --ready, because otherwise only the
// app knows when it is ready. If usher does not use the socket, the address is "", and the
// environment still has NOTIFY_SOCKET, for the app. With --ready and a value that usher does
// not support, err is errNotifySocket.
func readNotifySocket(c *supervisor.Config) (address string, env []string, err error) {
	isSocket := func(entry string) bool { return strings.HasPrefix(entry, notifyVariable+"=") }
	i := slices.IndexFunc(c.Env, isSocket) // if there are several entries, the first one counts, as for getenv(3)
	if i < 0 || len(c.Ready) == 0 {
		return "", c.Env, nil
	}
	address = strings.TrimPrefix(c.Env[i], notifyVariable+"=")
	switch {
	case address == "":
		return "", c.Env, nil
	case address[0] != '/' && address[0] != '@', len(address) < 2, len(address) > maxNotifyAddress:
		return "", c.Env, errNotifySocket
	}
	return address, slices.DeleteFunc(slices.Clone(c.Env), isSocket), nil
}

// errNotifySocket does not contain the value of NOTIFY_SOCKET, because usher prints no values
// of the environment.
var errNotifySocket = fmt.Errorf("%s is neither an absolute path nor @name, of at most %d bytes (vsock is not supported); the app gets the variable", notifyVariable, maxNotifyAddress)

func newNotifier(address string, log *logger, c *supervisor.Config) *notifier {
	return &notifier{address: syscall.SockaddrUnix{Name: address}, log: log, config: c,
		wake: make(chan struct{}, 1), sent: make(chan struct{}, 1)}
}

// observe handles an event of package supervisor.
func (n *notifier) observe(e *supervisor.Event) {
	state := ""
	switch {
	case n.stopping:
	case shutdownStarts(e):
		n.stopping = true
		state = "STOPPING=1"
	// PostStart or Running is the first phase after all --ready targets have become ready.
	// /readyz is 200 from the same moment.
	case e.Kind == supervisor.Entered && (e.Phase == supervisor.PostStart || e.Phase == supervisor.Running) && !n.ready:
		n.ready = true
		state = "READY=1"
	}
	status := n.statusOf(e)
	if state == "" && status == "" {
		return
	}
	n.mu.Lock()
	if state != "" {
		n.states = append(n.states, state)
	}
	if status != "" {
		n.status = status
	}
	n.mu.Unlock()
	signalTo(n.wake)
}

// notifyKinds are the kinds of events that show which step of the timeline usher is in. For
// such an event STATUS= has the text of its log line, so it contains no secret.
var notifyKinds = []supervisor.Kind{
	supervisor.WaitProgress, supervisor.HookStarted, supervisor.HookInterrupted, supervisor.ReadinessChanged,
	supervisor.StopRequested, supervisor.StartupFailed, supervisor.DelayStarted, supervisor.IdleStarted,
	supervisor.StopSignalSent, supervisor.AppKilled, supervisor.AppExited, supervisor.LeftoversSignalled,
	supervisor.LastCall, supervisor.LeftoversKilled, supervisor.Exited,
}

// statusOf returns the text of the STATUS= for an event, or "" if usher sends none for it.
func (n *notifier) statusOf(e *supervisor.Event) string {
	text := ""
	switch {
	case slices.Contains(notifyKinds, e.Kind):
		r := findRow(e)
		text = levelPrefix(r.level) + r.message(n.log, e)
	case e.Kind == supervisor.Entered:
		text = n.phaseStatus(e.Phase)
	}
	if text == "" {
		return ""
	}
	text = strings.TrimSuffix(cut(text, maxStatus), "\n")
	text = strings.ReplaceAll(text, "\n", " ") // a newline would end STATUS=, and begin another variable
	return strings.ToValidUTF8(text, "?")      // systemd ignores a status that is not UTF-8
}

// phaseStatus returns the status at the start of a phase. It returns "" for a phase that needs
// none, because an event of notifyKinds says what usher does in that phase.
func (n *notifier) phaseStatus(phase supervisor.Phase) string {
	switch phase {
	case supervisor.Wait:
		return "wait: waiting for " + joinTargetNames(n.config.Wait)
	case supervisor.Start:
		return "start: starting " + n.log.app
	case supervisor.Ready:
		return "ready: waiting for " + joinTargetNames(n.config.Ready)
	case supervisor.Running:
		return "run: " + n.log.app + " is running"
	case supervisor.Leftovers:
		return "leftovers: waiting for the remaining processes to exit"
	}
	return ""
}

func joinTargetNames(targets []probes.Target) string {
	var names []string
	for i := range targets {
		names = append(names, targets[i].Name)
	}
	return strings.Join(names, ", ")
}

// run sends what observe has recorded. It never returns.
func (n *notifier) run() {
	for range n.wake {
		pause := notifyMinPause
		for message := n.next(); message != ""; message = n.next() {
			err := n.send(message)
			if isTemporary(err) {
				select {
				case <-time.After(pause):
					pause = min(2*pause, notifyMaxPause)
				case <-n.wake: // observe has recorded something new, or flush was called
					pause = notifyMinPause
				}
				continue
			}
			if err != nil && !n.warned {
				n.warned = true
				n.log.log(supervisor.Event{Kind: notifyFailed, Err: fmt.Errorf("cannot send to the socket of %s: %w", notifyVariable, err)})
			}
			n.remove(message)
			signalTo(n.sent)
		}
	}
}

// next returns the next message, or "" if there is nothing to send. It does not remove the
// message; remove does. The newest status is sent together with the last state. READY=1 and
// STOPPING=1 are never in one message, because systemd would use only the last of them.
func (n *notifier) next() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case len(n.states) > 1, len(n.states) == 1 && n.status == "":
		return n.states[0]
	case len(n.states) == 1:
		return n.states[0] + "\nSTATUS=" + n.status
	case n.status != "":
		return "STATUS=" + n.status
	}
	return ""
}

// remove removes the state and the status of a message that was sent or dropped. If observe
// has recorded a newer status meanwhile, that status stays.
func (n *notifier) remove(message string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	state, status, _ := strings.Cut(message, "STATUS=")
	if state != "" {
		n.states = n.states[1:]
	}
	if status == n.status {
		n.status = ""
	}
}

// flush waits until every message was sent or dropped, but at most for notifyFlushLimit.
func (n *notifier) flush() {
	limit := time.After(notifyFlushLimit)
	signalTo(n.wake)
	for n.next() != "" {
		select {
		case <-n.sent:
		case <-limit:
			return
		}
	}
}

// send sends a message and never waits for the receiver. It uses a new socket each time,
// as libsystemd does, so usher keeps no descriptor, and a receiver that was restarted gets
// the next message.
func (n *notifier) send(message string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Sendto(fd, []byte(message), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, &n.address)
}

// isTemporary reports whether sending may succeed later: the queue of the receiver is full,
// memory or descriptors are used up, or a signal interrupted the call.
func isTemporary(err error) bool {
	return slices.ContainsFunc([]error{syscall.EAGAIN, syscall.ENOBUFS, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EINTR},
		func(temporary error) bool { return errors.Is(err, temporary) })
}
