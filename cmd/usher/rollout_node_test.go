package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	replicas     = 3
	warmUp       = time.Second      // clients send requests for this long before the first rolling update, so that they have open connections to reuse
	killTimeout  = 30 * time.Second // from the start of a stop to SIGKILL; Kubernetes' default
	faultTime    = 2 * time.Second  // how long the front has a wrong address, if rolloutJob.Fault is set; nginx needs a part of it to reload
	readyTimeout = time.Minute
)

// rolloutMain runs the jobs of a plan, and prints a rolloutResult for each. runRollout starts
// the test binary by a link with the name rollout, and then TestMain calls rolloutMain instead
// of running tests. This process is PID 1 in new namespaces (PIDs, network, mounts). When it
// exits or is killed, the kernel kills all processes that it has started, and removes the
// bridge and the networks.
func rolloutMain() {
	var n node
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(text, &n.plan)
	}
	if err == nil {
		// Without a MAC address of its own, the bridge takes the lowest one of its ports. Then
		// a new backend could change the bridge's address, and packets to the old address would
		// be lost.
		err = sh("ip link set lo up && ip link add pods address 02:00:00:00:00:01 type bridge && ip addr add 10.77.0.1/16 dev pods && ip link set pods up")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rollout:", err)
		os.Exit(1)
	}
	queue := make(chan int)
	var workers sync.WaitGroup
	var printing sync.Mutex
	for range n.plan.Parallel {
		workers.Go(func() {
			for id := range queue {
				r := n.run(id)
				printing.Lock()
				_ = json.NewEncoder(os.Stdout).Encode(r)
				printing.Unlock()
			}
		})
	}
	for id := range n.plan.Jobs {
		queue <- id
	}
	close(queue)
	workers.Wait()
	os.Exit(0)
}

// node is the machine on which the backends, the proxies and the load run. Each backend is a
// pod: PID 1 of its own PID namespace, with a network namespace and an address of its own.
type node struct {
	plan rolloutPlan
	last atomic.Int64 // the number of the backend that was started last
}

// run does the rolling updates of a job, while clients send requests.
func (n *node) run(id int) (r rolloutResult) {
	job := n.plan.Jobs[id]
	r.Job = id
	log, err := os.Create(filepath.Join(n.plan.Dir, fmt.Sprintf("job%d.log", id)))
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer log.Close()
	d := &deployment{node: n, job: job, log: log}
	defer d.end()
	if err := d.roll(id, &r); err != nil {
		text, _ := os.ReadFile(log.Name())
		r.Error = fmt.Sprintf("%v\n%s", err, lastLines(string(text)))
	}
	return r
}

// deployment holds the backends of a job, and the job's front, to which the clients
// connect.
type deployment struct {
	*node
	job     rolloutJob
	log     *os.File
	front   front
	current []*backend // the backends that serve
	all     []*backend // all backends that were started
	stops   sync.WaitGroup
}

func (d *deployment) roll(id int, r *rolloutResult) error {
	for range replicas {
		b, err := d.start(nil)
		if err != nil {
			return err
		}
		d.current = append(d.current, b)
	}
	front, err := d.newFront(d.job.Front, id, d.endpoints())
	if err != nil {
		return err
	}
	d.front = front
	l := &load{dial: front.dial, rate: d.plan.Rate, keepAlive: d.plan.KeepAlive && front.keepsClients()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		l.run(ctx)
		close(ended)
	}()
	<-time.After(warmUp)
	for n := range d.plan.Rolls {
		for i := range d.current {
			if err = d.replace(i); err != nil {
				break
			}
		}
		d.stops.Wait() // the next rolling update starts only when the old backends have stopped
		if !d.job.Control {
			// The backends that earlier rolling updates have replaced no longer have
			// connections, so their networks can be removed.
			for _, b := range d.all[:n*replicas] {
				b.network.Close()
			}
		}
	}
	cancel()
	<-ended
	for _, b := range d.all {
		if b.gone != 0 {
			r.Gone = append(r.Gone, b.gone.Seconds())
		}
	}
	r.Sent, r.Failed, r.P50, r.P99 = l.sent, l.failed, l.latency(0.5), l.latency(0.99)
	return err
}

// replace is one step of a rolling update. It starts a new backend, and begins to stop the
// old one once the new one is ready. After a random time (from LagMin to LagMax) it changes the
// endpoints of the front, because load balancers are notified late.
func (d *deployment) replace(i int) error {
	old := d.current[i]
	fault := func(b *backend) error {
		if !d.job.Fault {
			return nil
		}
		if err := d.front.setEndpoints(append(d.endpoints(), b.addr)); err != nil {
			return err
		}
		<-time.After(faultTime)
		return d.front.setEndpoints(d.endpoints())
	}
	b, err := d.start(fault)
	if err != nil {
		return err
	}
	d.current[i] = b
	if !d.job.Control {
		d.stops.Go(func() { old.stop(d.job.Sleep) })
	}
	<-time.After(d.plan.LagMin + rand.N(d.plan.LagMax-d.plan.LagMin+1))
	return d.front.setEndpoints(d.endpoints())
}

func (d *deployment) endpoints() (addrs []string) {
	for _, b := range d.current {
		addrs = append(addrs, b.addr)
	}
	return addrs
}

// end stops the front, and kills the backends that still run.
func (d *deployment) end() {
	if d.front != nil {
		d.front.close()
	}
	for _, b := range d.all {
		_ = b.cmd.Process.Kill()
		<-b.exited
		b.network.Close()
	}
}

// backend is an app with its init, or without one.
type backend struct {
	addr    string // with its port
	cmd     *exec.Cmd
	exited  chan struct{} // closed when PID 1 has exited
	network *os.File      // keeps the network namespace after PID 1 has exited, as in a pod, so that the kernel refuses connections to addr
	gone    time.Duration // from the start of the stop to the exit of PID 1; 0: it was not stopped
}

// start starts a backend and waits until it responds. If beforeApp is not nil, start calls
// it when the backend has its address, before the app is started.
func (d *deployment) start(beforeApp func(*backend) error) (*backend, error) {
	number := int(d.last.Add(1))
	host := fmt.Sprintf("10.77.%d.%d", number/250, number%250+2)
	// The shell is PID 1 until the network exists. Then it executes the init, or the app if
	// there is no init.
	cmd := exec.Command("sh", append([]string{"-c", `read -r _ && mount -t proc proc /proc && ip addr add "$0/16" dev eth0 &&
		ip link set lo up && ip link set eth0 up && echo ready && read -r _ && exec "$@" </dev/null >&2`, host},
		slices.Concat(d.job.Init, d.job.App)...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS}
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	out, stdout, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer out.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, stdout, d.log
	err = cmd.Start()
	in.Close()
	stdout.Close()
	if err != nil {
		return nil, err
	}
	b := &backend{addr: net.JoinHostPort(host, "8080"), cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(b.exited)
	}()
	d.all = append(d.all, b)
	if b.network, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)); err != nil {
		return nil, err
	}
	if err := sh(fmt.Sprintf("ip link add pod%d type veth peer name eth0 netns %d && ip link set pod%[1]d master pods up", number, cmd.Process.Pid)); err != nil {
		return nil, err
	}
	_, _ = io.WriteString(stdin, "go\n")
	if _, err := out.Read(make([]byte, 16)); err != nil {
		return nil, errors.New("a backend has no network")
	}
	if beforeApp != nil {
		if err := beforeApp(b); err != nil {
			return nil, err
		}
	}
	_, _ = io.WriteString(stdin, "go\n")
	return b, retry(b.probe)
}

// probe makes a request to the backend.
func (b *backend) probe() error {
	conn, err := net.DialTimeout("tcp", b.addr, loadTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(loadTimeout))
	_, err = newClientConn(conn).exchange(rolloutRequest{close: true})
	return err
}

// stop stops the backend as the kubelet does: first the preStop hook sleeps, then PID 1 gets
// SIGTERM. If PID 1 has not exited killTimeout after the start of the stop, it gets SIGKILL.
func (b *backend) stop(sleep time.Duration) {
	began := time.Now()
	<-time.After(sleep)
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(killTimeout - sleep):
		_ = b.cmd.Process.Kill()
		<-b.exited
	}
	b.gone = time.Since(began)
}

// retry calls f until it succeeds, or readyTimeout has passed.
func retry(f func() error) (err error) {
	for began := time.Now(); time.Since(began) < readyTimeout; <-time.After(20 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

func sh(script string) error {
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", script, err, bytes.TrimSpace(out))
	}
	return err
}
