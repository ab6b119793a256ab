// Command testprog is what the test images run besides busybox: several
// programs in one static binary, which picks one by the name it is called by.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	programs := map[string]func(args []string) error{
		"httpd":   serveWeb,
		"memhog":  eatMemory,
		"netecho": serveEcho,
		"nginx":   becomeMaster,
		"nginx:":  serveWeb, // what becomeMaster starts
		"nnp":     printEffectiveUID,
		"pause":   pause,
		"pry":     pry,
	}
	name, _, _ := strings.Cut(filepath.Base(os.Args[0]), " ")
	program, ok := programs[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "testprog: there is no program %q\n", name)
		os.Exit(127)
	}
	if err := program(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// printEffectiveUID tells whether the set-user-ID bit of its file had effect.
func printEffectiveUID([]string) error {
	fmt.Printf("Effective uid: %d\n", os.Geteuid())
	return nil
}

// pause waits for a signal to end.
func pause([]string) error {
	<-ended()
	return nil
}

// ended is closed by a signal to end. As process 1 of a container a program has
// to handle those itself: the kernel does not.
func ended() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	return c
}
