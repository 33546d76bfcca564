// A server that shuts down on a stop signal, with signal.NotifyContext as in the documentation
// of os/signal.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "started")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(1200 * time.Millisecond)
		fmt.Fprintln(w, "finished")
		log.Println(r.Method, r.URL.Path, r.UserAgent())
	})}
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	stop() // restores the default action: a second SIGTERM kills the process
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("server closed")
}
