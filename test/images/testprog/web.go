package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
)

// becomeMaster starts the web server again under the title that nginx gives its
// first process, which the validation suite looks for.
func becomeMaster(args []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(exe, append([]string{"nginx: master process nginx"}, args...), os.Environ())
}

// serveWeb answers requests with the host's name, and /status/NNN with that status.
// Once it listens it writes its process ID to /var/run/nginx.pid, if it may.
func serveWeb(args []string) error {
	flags := flag.NewFlagSet("httpd", flag.ExitOnError)
	listen := flags.String("listen", ":80", "address to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	http.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprintf(w, "<h1>Welcome</h1> to %s, %s\n", host, req.RemoteAddr)
	})
	http.HandleFunc("/status/{code}", func(w http.ResponseWriter, req *http.Request) {
		code := http.StatusBadRequest
		_, _ = fmt.Sscan(req.PathValue("code"), &code)
		w.WriteHeader(code)
	})
	pid := fmt.Appendf(nil, "%d\n", os.Getpid())
	if err := os.WriteFile("/var/run/nginx.pid", pid, 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "httpd goes on without its pid file:", err)
	}
	fmt.Println("httpd: listening on", listener.Addr())
	go func() {
		<-ended()
		listener.Close()
	}()
	if err := http.Serve(listener, nil); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
