package probes_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/usher-init/usher/probes"
)

// A program waits until its database is ready.
func Example() {
	database, err := net.Listen("tcp", "127.0.0.1:0") // stands for a database server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer database.Close()

	target, err := probes.Parse("name=db tcp://"+database.Addr().String(), probes.ForWait)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = probes.Wait(ctx, []probes.Target{target}, probes.Attempt{}, func(u probes.Update) {
		if u.Kind == probes.TargetReady {
			fmt.Println(u.Status.Target.Name, "is ready")
		}
	})
	fmt.Println(err)
	// Output:
	// db is ready
	// <nil>
}

// Parse reports all errors of a text at once.
func ExampleParse() {
	for _, text := range []string{"status=204 timeout=2s https://auth/healthz", "retries=3 timeout=soon db:5432"} {
		target, err := probes.Parse(text, probes.ForWait)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(target.Kind, target.Name, target.Timeout)
	}
	// Output:
	// https https://auth/healthz 2s
	// "db:5432" has no scheme: write tcp://db:5432
	// retries= is for --pre-start and --post-start and --drain and --post-stop only, not for --wait
	// timeout= "soon" is not a duration, like 30s, 1m30s or a number of seconds: write for example timeout=2s
}

// If the context ends before all targets are ready, the error of Wait lists the targets that
// are not ready, with the error of each target's last attempt.
func ExampleWait() {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	closed.Close() // now its port refuses connections

	var targets []probes.Target
	for _, text := range []string{"name=db tcp://" + closed.Addr().String(), "name=root file:///", "name=flag file:///no/such/flag"} {
		target, err := probes.Parse(text, probes.ForWait)
		if err != nil {
			fmt.Println(err)
			return
		}
		targets = append(targets, target)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	tried := map[string]bool{}
	err = probes.Wait(ctx, targets, probes.Attempt{}, func(u probes.Update) {
		if u.Kind == probes.TargetTried {
			tried[u.Status.Target.Name] = true
		}
		if len(tried) == len(targets) {
			cancel(errors.New("each target has been tried"))
		}
	})

	var pending *probes.PendingError
	if errors.As(err, &pending) {
		fmt.Println(pending.Cause)
		for _, s := range pending.Pending {
			fmt.Printf("%s: %v: %s\n", s.Target.Name, s.Last, probes.Hint(s.Last))
		}
	}
	// Output:
	// each target has been tried
	// db: connection refused: is it listening on that port? localhost is this container or pod; if it is on ::1, write localhost
	// flag: no such file: is the path right, and its volume mounted here?
}

// Ask probes each target once. It is meant for health checks.
func ExampleAsk() {
	root, err := probes.Parse("name=root file:///", probes.ForProbe)
	if err != nil {
		fmt.Println(err)
		return
	}
	flag, err := probes.Parse("name=flag file:///no/such/flag", probes.ForProbe)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(probes.Ask(context.Background(), []probes.Target{root, flag}, probes.Attempt{}))
	// Output: flag: no such file
}

// RunHook runs a hook. If the hook fails, RunHook runs it again, up to retries= times.
func ExampleRunHook() {
	hook, err := probes.Parse("retries=2 timeout=10s file:///no/such/flag", probes.ForEnd)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(probes.RunHook(context.Background(), hook, probes.Attempt{}))
	// Output: no such file
}

// The package starts no process itself. It passes commands to a Runner, which the program
// provides. A Runner can use os/exec, unless the program is an init that reaps all processes.
// HookVars are environment variables for the command.
func ExampleRunner() {
	run := func(ctx context.Context, c probes.Command) error {
		command := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
		command.Env = os.Environ()
		for _, f := range c.HookVars {
			command.Env = append(command.Env, f.Name+"="+f.Value)
		}
		out, err := command.CombinedOutput()
		fmt.Printf("%s| %s", c.Name, out)
		return err
	}
	hook, err := probes.Parse(`sh -c 'echo "because of $USHER_REASON"'`, probes.ForEnd)
	if err != nil {
		fmt.Println(err)
		return
	}
	vars := []probes.HookVar{{Name: "USHER_REASON", Value: "signal"}}
	fmt.Println(probes.RunHook(context.Background(), hook, probes.Attempt{Run: run, HookVars: vars}))
	// Output:
	// sh| because of signal
	// <nil>
}

// A program can implement Probe itself.
func ExampleProbe() {
	target := probes.Target{Name: "counter", Probe: &counter{}, Interval: time.Second, Successes: 1}
	err := probes.Wait(context.Background(), []probes.Target{target}, probes.Attempt{}, func(u probes.Update) {
		if u.Kind == probes.TargetTried {
			fmt.Println(u.Status.Attempts, u.Status.Last)
		}
	})
	fmt.Println(err)
	// Output:
	// 1 not yet
	// 2 not yet
	// 3 <nil>
	// <nil>
}

// A counter is a Probe that is ready at the third attempt.
type counter struct{ attempts int }

func (c *counter) Ask(context.Context, probes.Attempt) error {
	if c.attempts++; c.attempts < 3 {
		return errors.New("not yet")
	}
	return nil
}
