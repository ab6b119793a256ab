package podtask

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// removeTimeout bounds the cleaning up after one container.
	removeTimeout = 30 * time.Second
	// exitUnknown is the exit code of a task whose end nobody saw. containerd uses the same.
	exitUnknown = 255
)

// removeDead ends and removes what is left of a task whose shim does not know it any more. Where the shim removed the
// task before, only the bundle is left. The caller holds the task's turn.
func (r *Runtime) removeDead(ctx context.Context, k *known) (*runtime.Exit, error) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.WithoutCancel(ctx), k.namespace), removeTimeout)
	defer cancel()
	exit := &runtime.Exit{Status: exitUnknown, Timestamp: time.Now()}
	if !k.bundle.isEmptied() {
		resp, err := r.cleanUp(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("clean up after task %s, which no shim has: %w", k.id, err)
		}
		*exit = runtime.Exit{Pid: resp.GetPid(), Status: resp.GetExitStatus(), Timestamp: resp.GetExitedAt().AsTime()}
		if k.created {
			r.publish(ctx, k, exit)
		}
	}
	return exit, r.forget(ctx, k)
}

// isEmptied reports whether the shim has removed the container: the shim leaves its options in the bundle until then.
func (b bundle) isEmptied() bool {
	_, err := os.Lstat(filepath.Join(string(b), "options.json"))
	return os.IsNotExist(err)
}

// cleanUp runs the shim's binary to end the container and clean up after it, as
// containerd does with shims that died.
func (r *Runtime) cleanUp(ctx context.Context, k *known) (*taskapi.DeleteResponse, error) {
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, r.o.Shim, "-namespace", k.namespace, "-id", k.id, "-bundle", string(k.bundle), "delete")
	cmd.Dir, cmd.Stdout, cmd.Stderr = string(k.bundle), &out, &complaints
	err := cmd.Run()
	if err == nil && complaints.Len() > 0 {
		// containerd forgets the task here. Berth tries again: the message says that something is left.
		err = errors.New("it could not be removed")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(complaints.Bytes()))
	}
	var resp taskapi.DeleteResponse
	return &resp, proto.Unmarshal(out.Bytes(), &resp)
}

// publish sends the exit and the removal of the task to the listeners of containerd's events. The shim, which
// sends these events otherwise, is gone.
func (r *Runtime) publish(ctx context.Context, k *known, exit *runtime.Exit) {
	at := timestamppb.New(exit.Timestamp)
	err := errors.Join(
		r.o.Events.Publish(ctx, runtime.TaskExitEventTopic, &eventtypes.TaskExit{
			ContainerID: k.id, ID: k.id, Pid: exit.Pid, ExitStatus: exit.Status, ExitedAt: at,
		}),
		r.o.Events.Publish(ctx, runtime.TaskDeleteEventTopic, &eventtypes.TaskDelete{
			ContainerID: k.id, Pid: exit.Pid, ExitStatus: exit.Status, ExitedAt: at,
		}))
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", k.id).Debug("could not publish the exit of a task")
	}
}
