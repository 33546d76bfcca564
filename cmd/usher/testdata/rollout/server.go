// A server of the rollout benchmark. It responds after the number of milliseconds in the
// query. With the argument "exit" it exits at once on SIGTERM. Otherwise it calls
// http.Server.Shutdown, and exits when all open requests have ended.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		ms, _ := strconv.Atoi(r.URL.RawQuery)
		time.Sleep(time.Duration(ms) * time.Millisecond)
		fmt.Fprintln(w, "finished")
	})}
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	if len(os.Args) > 1 && os.Args[1] == "exit" {
		os.Exit(0)
	}
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
