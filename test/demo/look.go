package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// readLogs waits until the visitor has been answered, and shows its log.
func (d *demo) readLogs(ctx context.Context) error {
	d.print.command("crictl logs %s", short(d.visitor))
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	lines, err := awaitLines(ctx, filepath.Join(d.dir, "visitor.log"), func(lines []string) bool {
		return len(lines) >= 3 && strings.Contains(lines[len(lines)-1], "Hello from")
	})
	for _, l := range lines {
		d.print.line("%s", l)
	}
	return err
}

// awaitLines returns the messages of a log in the CRI's format once done says
// that they are all there.
func awaitLines(ctx context.Context, name string, done func([]string) bool) ([]string, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	defer watcher.Close()
	if err := watcher.Add(name); err != nil {
		return nil, err
	}
	for {
		lines, err := messages(name)
		if err != nil || done(lines) {
			return lines, err
		}
		select {
		case <-watcher.Events:
		case err := <-watcher.Errors:
			return lines, err
		case <-ctx.Done():
			return lines, errors.New("the expected lines did not come")
		}
	}
}

// messages reads a log, whose lines are TIME STREAM TAG MESSAGE.
func messages(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if parts := strings.SplitN(s.Text(), " ", 4); len(parts) == 4 {
			lines = append(lines, parts[3])
		}
	}
	return lines, s.Err()
}

func (d *demo) curl(ctx context.Context) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/", d.hostPort)
	d.print.command("curl %s", url)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil}} // a proxy has no way to this port
	defer client.CloseIdleConnections()
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, body)
	}
	d.print.text(string(body))
	return nil
}

func (d *demo) stats(ctx context.Context) error {
	d.print.command("crictl stats --pod %s", short(d.podID))
	answer, err := d.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{
		Filter: &runtimeapi.ContainerStatsFilter{PodSandboxId: d.podID},
	})
	if err != nil {
		return err
	}
	if len(answer.GetStats()) != 2 {
		return fmt.Errorf("there are figures of %d containers, not of 2", len(answer.GetStats()))
	}
	d.print.line("%-14s %-8s %10s %12s %12s", "CONTAINER", "NAME", "CPU TIME", "MEMORY", "DISK")
	for _, s := range answer.GetStats() {
		d.print.line("%-14s %-8s %10s %12s %12s", short(s.GetAttributes().GetId()), s.GetAttributes().GetMetadata().GetName(),
			time.Duration(s.GetCpu().GetUsageCoreNanoSeconds().GetValue()).Round(100*time.Microsecond),
			size(s.GetMemory().GetWorkingSetBytes().GetValue()), size(s.GetWritableLayer().GetUsedBytes().GetValue()))
	}
	return nil
}
