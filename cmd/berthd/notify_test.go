package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestExtendStart: systemd is asked for more time again and again while the start goes on, and each request is for longer
// than the pause until the next one.
func TestExtendStart(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify.sock")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	ctx, started := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); extendStart(ctx, 10*time.Millisecond) }()
	for range 3 {
		message := make([]byte, 256)
		n, err := systemd.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		if line, _, _ := strings.Cut(string(message[:n]), "\n"); line != "EXTEND_TIMEOUT_USEC=30000" {
			t.Errorf("systemd was told %q", message[:n])
		}
	}
	started()
	<-ended
}
