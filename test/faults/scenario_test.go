package faults

import (
	"context"
	"fmt"
	"strings"
)

// scenario is how a failpoint is reached.
type scenario struct {
	// prepare makes what the operation works on.
	prepare func(context.Context) error
	// also is a point that fails with an error, so that an undo is reached.
	also string
	// call is the request; again is what a client does after it failed, the same request
	// if nil.
	call, again func(context.Context) error
	// atStart reports whether the point is reached when the daemon starts.
	atStart bool
	// background reports whether the point is reached after the request was answered.
	background bool
}

func nothing(context.Context) error { return nil }

// scenarioOf finds the scenario for a point by its operation. A new step needs no
// mention here, a new operation does.
func (w *world) scenarioOf(point string) (scenario, error) {
	operation, rest, _ := strings.Cut(point, "/")
	undo := strings.Contains(rest, "/undo/")
	also := func(p string) string {
		if undo {
			return p
		}
		return ""
	}
	switch operation {
	case "RunPodSandbox":
		return scenario{prepare: nothing, also: also("RunPodSandbox/ready/do/before"), call: w.run}, nil
	case "StopPodSandbox":
		return scenario{prepare: w.running, call: w.stopPod}, nil
	case "RemovePodSandbox":
		return scenario{prepare: w.running, call: w.removePod}, nil
	case "RecoverPodSandbox":
		return scenario{prepare: w.halfMade("RunPodSandbox/ready/do/before", w.run), call: w.run, atStart: true}, nil
	case "CreateContainer":
		return scenario{prepare: w.run, also: also("CreateContainer/created/do/before"), call: w.create}, nil
	case "StartContainer":
		return scenario{prepare: w.created, also: also("StartContainer/start/do/after"), call: w.start, again: w.startAgain}, nil
	case "StopContainer":
		return scenario{prepare: w.running, call: w.stop}, nil
	case "RemoveContainer":
		return scenario{prepare: w.running, call: w.remove}, nil
	case "ContainerExit":
		w.container.Config.Command = []string{"sh", "-c", "exit 7"}
		return scenario{prepare: w.created, call: w.exit, background: true}, nil
	case "Exec":
		s := scenario{prepare: w.running, call: w.exec}
		if strings.HasPrefix(rest, "start/undo") {
			s.also = "Exec/wait/do/before"
		}
		return s, nil
	case "PullImage":
		return scenario{prepare: w.removeImage, call: w.pull}, nil
	case "RemoveImage":
		return scenario{prepare: w.pull, call: w.removeImage}, nil
	case "Recover":
		prepare := func(ctx context.Context) error {
			return chain(ctx, w.running, w.halfMade("CreateContainer/created/do/before", w.second))
		}
		return scenario{prepare: prepare, call: w.still, atStart: true}, nil
	}
	return scenario{}, fmt.Errorf("no scenario reaches %s: add one here", point)
}

// halfMade makes a call that the daemon does not survive.
func (w *world) halfMade(point string, call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := w.d.Arm(ctx, point, "kill"); err != nil {
			return err
		}
		if err := call(ctx); err == nil {
			return fmt.Errorf("%s was not reached", point)
		}
		<-w.d.Exited()
		return nil
	}
}

// second makes another container.
func (w *world) second(ctx context.Context) error {
	first := w.ctrID
	defer func() { w.ctrID = first }()
	w.container.Config.Metadata.Name = "second"
	return w.create(ctx)
}

// still expects the pod and its container as they were: the same request for the pod
// gives the same pod.
func (w *world) still(ctx context.Context) error {
	id := w.podID
	if err := w.run(ctx); err != nil {
		return err
	}
	if w.podID != id {
		return fmt.Errorf("the same request gave pod %s, before it was %s", w.podID, id)
	}
	st, err := w.status(ctx)
	if err == nil && st.GetState().String() != "CONTAINER_RUNNING" {
		err = fmt.Errorf("the container is %s (%s)", st.GetState(), st.GetMessage())
	}
	if err != nil {
		return err
	}
	return chain(ctx, w.exec, w.second)
}
