// Devregistry serves the test images on loopback, for trying things by hand:
//
//	go run ./test/devregistry --certs /tmp/certs.d &
//	bin/berthd --registry-config-dir /tmp/certs.d
//	crictl pull registry.k8s.io/e2e-test-images/busybox:1.29-2
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

func main() {
	certs := flag.String("certs", "", "`directory` to write hosts.toml files to")
	flag.Parse()
	if err := serve(*certs); err != nil {
		fmt.Fprintln(os.Stderr, "devregistry:", err)
		os.Exit(1)
	}
}

func serve(certs string) error {
	reg, err := registry.Start(registry.Options{})
	if err != nil {
		return err
	}
	defer reg.Close()
	if err := images.PushAll(reg); err != nil {
		return err
	}
	if certs != "" {
		if err := reg.WriteHosts(certs, images.Upstreams()...); err != nil {
			return err
		}
	}
	fmt.Printf("serving %v at %s\n", images.Upstreams(), reg.Host())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM)
	<-stop
	return nil
}
