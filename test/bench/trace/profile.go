// Package trace shows where a runtime's time goes: CPU profiles, and what strace sees of
// pod cycles.
package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/side"
)

// Profile writes what it finds out about every side into the directory: SIDE.pprof, the
// CPU profile of a daemon that has a pprof endpoint; SIDE.timeline, which programs ran when
// while a pod was started and torn down; SIDE.strace, every system call of a few pods that
// starts, syncs or mounts something; and SIDE.txt, how often each of them was made.
func Profile(ctx context.Context, h *side.Host, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, s := range h.Sides {
		if ctx.Err() != nil {
			break
		}
		file := func(suffix string) string { return filepath.Join(dir, s.Name+suffix) }
		if s.Debug != "" {
			errs = append(errs, cpuProfile(ctx, s, file(".pprof")))
		}
		errs = append(errs, writeTimeline(ctx, s, file(".timeline")))
		summary, err := syscalls(ctx, s, file(".strace"))
		if err == nil {
			fmt.Printf("%s\n%s\n", s.Name, summary)
			err = os.WriteFile(file(".txt"), []byte(summary), 0o644)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func writeTimeline(ctx context.Context, s *side.Side, path string) error {
	text, err := timeline(ctx, s)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s\n", s.Name, text)
	return os.WriteFile(path, []byte(text), 0o644)
}

// profiled is how long a daemon is profiled while pods come and go.
const profiled = 15 * time.Second

func cpuProfile(ctx context.Context, s *side.Side, path string) error {
	ctx, stop := context.WithTimeout(ctx, profiled+10*time.Second)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- fetchProfile(ctx, s.Debug, path) }()
	for {
		select {
		case err := <-done:
			if err == nil {
				fmt.Printf("%s: go tool pprof -top bin/berthd %s\n", s.Name, path)
			}
			return err
		default:
			if _, err := pod.Cycle(ctx, s, pod.Spec{}); err != nil {
				return errors.Join(err, <-done)
			}
		}
	}
}

func fetchProfile(ctx context.Context, socket, path string) error {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	url := fmt.Sprintf("http://debug/debug/pprof/profile?seconds=%d", int(profiled.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("CPU profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("CPU profile: %s", resp.Status)
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}
