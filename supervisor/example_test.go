package supervisor_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// targets parses texts, and panics if one of them is not valid.
func targets(use probes.Use, texts ...string) (list []probes.Target) {
	for _, text := range texts {
		target, err := probes.Parse(text, use)
		if err != nil {
			panic(err)
		}
		list = append(list, target)
	}
	return list
}

// The app is started when its dependency is ready, and exits by itself.
func ExampleRun() {
	database, err := net.Listen("tcp", "127.0.0.1:0") // stands for a database server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer database.Close()

	code, reason := supervisor.Run(context.Background(), supervisor.Config{
		Command:  []string{"sh", "-c", "exit 3"},
		Wait:     targets(probes.ForWait, "name=db tcp://"+database.Addr().String()),
		PreStart: targets(probes.ForStart, "name=migrate true"),
		PostStop: targets(probes.ForEnd, "name=report true"),
		Observe: func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.TargetReady:
				fmt.Printf("%v: %s is ready\n", e.Phase, e.Target.Name)
			case supervisor.HookFinished:
				fmt.Printf("%v: %s finished: %v\n", e.Phase, e.Target.Name, e.Err)
			case supervisor.AppStarted:
				fmt.Printf("%v: the app started\n", e.Phase)
			case supervisor.AppExited:
				fmt.Printf("the app %v\n", e.Exit)
			}
		},
	})
	fmt.Println(code, reason)
	// Output:
	// wait: db is ready
	// pre-start: migrate finished: <nil>
	// start: the app started
	// the app exited 3
	// post-stop: report finished: <nil>
	// 3 <nil>
}

// When the context is cancelled, the app is stopped as after a SIGTERM. The app keeps
// serving while the drain hook runs.
func ExampleRun_stop() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	code, reason := supervisor.Run(ctx, supervisor.Config{
		Command: []string{"sleep", "1000"},
		Drain:   targets(probes.ForEnd, `sh -c 'echo leaving because of $USHER_SIGNAL'`),
		Grace:   8 * time.Second,
		Output: func(l supervisor.Line) {
			fmt.Printf("%v %s| %s\n", l.Phase, l.Name, l.Text)
		},
		Observe: func(e supervisor.Event) {
			switch e.Kind {
			case supervisor.AppStarted:
				stop()
			case supervisor.Exited:
				fmt.Println("the app", e.Summary.App)
			}
		},
	})
	fmt.Println(code, reason)
	// Output:
	// drain sh| leaving because of SIGTERM
	// the app was killed by SIGTERM
	// 143 stopped by SIGTERM
}

// Validate returns all errors at once.
func ExampleConfig_Validate() {
	config := supervisor.Config{
		Drain:       targets(probes.ForEnd, "true"),
		SuccessExit: []int{256},
	}
	fmt.Println(config.Validate())
	// Output:
	// 3 errors occurred:
	// 	* no command (ENTRYPOINT clears the image's CMD)
	// 	* Drain needs Grace: 25s under Kubernetes' 30s, 8s under docker stop's 10s
	// 	* SuccessExit: 256 is not an exit code: write numbers from 0 to 255, such as 143
}

// A health check that probes a file and runs a command.
func ExampleAsk() {
	err := supervisor.Ask(context.Background(), supervisor.Config{}, targets(probes.ForProbe, "name=root file:///", "name=check sh -c 'exit 2'"))
	fmt.Println(err)
	// Output: check: exit status 2
}
