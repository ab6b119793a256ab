package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | logs.rate | a container writes 1 GiB in lines of 100 bytes: until the last line is in the log file |
// | logs.percpu | the same for a second of the CPU time that the runtime uses for it, the container excepted |
var logs = Measurement{
	Names: []string{"logs"}, Title: "a log of 1 GiB",
	Full: Plan{2, 25 * time.Second},
	Run:  runLogs,
}

// logSize is how much a container writes.
const logSize = 1 << 30

func runLogs(ctx context.Context, e *Env) error {
	return e.rounds(ctx, func(int) error {
		return e.interleaved(ctx, func(s *side.Side) error {
			settle(ctx, 4*pause)
			p, err := pod.New(s, pod.Spec{Command: []string{content.Program, "write", strconv.Itoa(logSize)}})
			if err != nil {
				return err
			}
			if err = p.Run(ctx); err == nil {
				err = p.AwaitReady(ctx)
			}
			if err == nil {
				err = e.timeLog(ctx, p)
			}
			return errors.Join(err, p.End(ctx))
		})
	})
}

func (e *Env) timeLog(ctx context.Context, p *pod.Pod) error {
	settle(ctx, 2*pause)
	inside, err := acct.CPU(p.ContainerCgroup())
	if err != nil {
		return err
	}
	var took time.Duration
	used, err := cpuOf(ctx, p.Side, pause, func() error {
		began := time.Now()
		if err := signalStart(p, unix.SIGUSR1); err != nil {
			return err
		}
		err := awaitEnd(ctx, p.LogFile(), logSize)
		took = time.Since(began)
		return err
	})
	if err != nil {
		return err
	}
	now, err := acct.CPU(p.ContainerCgroup())
	if err != nil {
		return err
	}
	size := mebibytes(logSize)
	used -= now - inside
	e.Result.Add(report.Metric{Name: "logs.rate", Title: "log throughput", Unit: "MiB/s", More: true}, p.Side.Name, size/took.Seconds())
	e.Result.Add(report.Metric{
		Name: "logs.percpu", Title: "log throughput for a CPU second", Unit: "MiB/s", More: true,
	}, p.Side.Name, size/used.Seconds())
	return nil
}

// signalStart makes the container begin to write.
func signalStart(p *pod.Pod, signal unix.Signal) error {
	pid, err := p.ContainerPID()
	if err != nil {
		return err
	}
	return unix.Kill(pid, signal)
}

// awaitEnd returns when the log file has at least so many bytes and ends with the
// workload's last line.
func awaitEnd(ctx context.Context, path string, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tail := make([]byte, 4)
	for {
		if err := readTail(path, tail, size); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if bytes.Equal(tail, []byte("END\n")) {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the last line is not in %s: %w", path, ctx.Err())
		}
	}
}

func readTail(path string, into []byte, atLeast int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < atLeast {
		return err
	}
	_, err = f.ReadAt(into, info.Size()-int64(len(into)))
	return err
}
