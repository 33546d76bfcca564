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

// A program that needs its database waits for it, and says when it is there.
func Example() {
	database, err := net.Listen("tcp", "127.0.0.1:0") // plays the database
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
			fmt.Println(u.Status.Target.Name, "says yes")
		}
	})
	fmt.Println(err)
	// Output:
	// db says yes
	// <nil>
}

// All mistakes of a text are told at once, each with the form that is right.
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

// A wait that fails names exactly those that have not said yes, each with its
// last answer.
func ExampleWait() {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	closed.Close() // so that its port refuses

	var targets []probes.Target
	for _, text := range []string{"name=db tcp://" + closed.Addr().String(), "name=root file:///", "name=flag file:///no/such/flag"} {
		target, err := probes.Parse(text, probes.ForWait)
		if err != nil {
			fmt.Println(err)
			return
		}
		targets = append(targets, target)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, errors.New("100ms are over"))
	defer cancel()
	err = probes.Wait(ctx, targets, probes.Attempt{}, nil)

	var pending *probes.PendingError
	if errors.As(err, &pending) {
		fmt.Println(pending.Cause)
		for _, s := range pending.Pending {
			fmt.Printf("%s: %v: %s\n", s.Target.Name, s.Last, probes.Hint(s.Last))
		}
	}
	// Output:
	// 100ms are over
	// db: connection refused: is it listening on that port, and not only on its own localhost?
	// flag: no such file: is the path right, and its volume mounted here?
}

// A check of health asks once.
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

// A hook is done once, or as often as its retries= allow.
func ExampleRunHook() {
	hook, err := probes.Parse("retries=2 timeout=10s file:///no/such/flag", probes.ForEnd)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(probes.RunHook(context.Background(), hook, probes.Attempt{}))
	// Output: no such file
}

// The package starts no process itself. A program that waits for its children by
// os/exec, and not in one loop as an init does, runs commands like this. The
// facts are what a hook is told of its reason.
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
	facts := []probes.HookVar{{Name: "USHER_REASON", Value: "signal"}}
	fmt.Println(probes.RunHook(context.Background(), hook, probes.Attempt{Run: run, HookVars: facts}))
	// Output:
	// sh| because of signal
	// <nil>
}

// Anything can be waited for that can be asked.
func ExampleProbe() {
	target := probes.Target{Name: "the third time", Probe: &third{}, Interval: time.Second, Successes: 1}
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

// A third says yes when it is asked the third time.
type third struct{ asked int }

func (t *third) Ask(context.Context, probes.Attempt) error {
	if t.asked++; t.asked < 3 {
		return errors.New("not yet")
	}
	return nil
}
