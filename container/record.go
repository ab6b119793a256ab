package container

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/engine"
)

// RecordVersion is the version of [Record] that this build writes. A record of a
// newer version is left alone.
const RecordVersion = 1

// extension is the key of the record among the container's extensions.
const extension = "berth.container"

// Phase is where a container is in its life, as the record says it. Whether a
// created one runs is known by its shim, not by the record.
type Phase string

// The phases of a container.
const (
	// Creating: effects may exist; start-up undoes them.
	Creating Phase = "creating"
	// Created: everything exists; it may run.
	Created Phase = "created"
	// Exited: it has run, or could not be started.
	Exited Phase = "exited"
)

// Record is what the metadata store keeps of a container besides containerd's
// own fields.
type Record struct {
	// Version is the RecordVersion of the build that wrote the record.
	Version int `json:"version"`
	// Config is the ContainerConfig of the request, in protobuf's encoding.
	Config []byte `json:"config"`
	// PodID is the sandbox.
	PodID string `json:"podID"`
	// CreatedAt is when the request came.
	CreatedAt time.Time `json:"createdAt"`
	// Phase of the container.
	Phase Phase `json:"phase"`
	// ImageID is the image's configuration digest, ImageRef a repository digest
	// of it where there is one.
	ImageID  string `json:"imageID"`
	ImageRef string `json:"imageRef"`
	// ImageName is a tag of the image, else a repository digest, else the image's ID.
	ImageName string `json:"imageName,omitempty"`
	// StopSignal is the name of the signal that asks the container to end.
	StopSignal string `json:"stopSignal"`
	// User is what ContainerStatus.user reports.
	User *runtimeapi.ContainerUser `json:"user,omitempty"`
	// ImageMounts are the keys of the image views the container mounts.
	ImageMounts []ImageMount `json:"imageMounts,omitempty"`
	// Resources in force, as ContainerStatus reports them.
	Resources *runtimeapi.LinuxContainerResources `json:"resources,omitempty"`
	// Ignored says what of the request was accepted without effect, or had in part, a sentence each.
	Ignored []string `json:"ignored,omitempty"`
	// Exit is set in phase Exited.
	Exit *Exit `json:"exit,omitempty"`
}

// Exit is how a container ended.
type Exit struct {
	// StartedAt is zero for a container that could not be started.
	StartedAt time.Time `json:"startedAt,omitzero"`
	// FinishedAt is when it ended, or when that was noticed.
	FinishedAt time.Time `json:"finishedAt"`
	// Code is the exit code, 128 plus the signal, or 255 when nobody knows.
	Code int32 `json:"code"`
	// Reason is one of the Reason constants.
	Reason string `json:"reason"`
	// Message explains the reason to a person.
	Message string `json:"message,omitempty"`
	// OOMKills counts the processes that were killed for the memory limit.
	OOMKills uint64 `json:"oomKills,omitempty"`
}

// ImageMount is an image that is mounted into the container (CRI Mount.image).
type ImageMount struct {
	// Index of the mount in ContainerConfig.mounts.
	Index int `json:"index"`
	// ImageID is the digest of the image's configuration. Records of earlier versions have none.
	ImageID string `json:"imageID,omitempty"`
	// Key is the name of the image's view.
	Key string `json:"key"`
	// Snapshotter of the view.
	Snapshotter string `json:"snapshotter"`
}

// The reasons of ContainerStatus for exited containers, those that Kubernetes
// shows to its users.
const (
	ReasonCompleted = "Completed"
	ReasonError     = "Error"
	ReasonOOMKilled = "OOMKilled"
	ReasonCannotRun = "ContainerCannotRun"
	ReasonUnknown   = "Unknown"
)

// Exit codes that no process gave: for a container that could not be started, and
// for one whose end nobody saw.
const (
	exitCannotRun = 128
	exitKilled    = 137
	exitUnknown   = 255
)

// parseRecord reads what a record of any version up to ours says; a newer one is
// errdefs.ErrFailedPrecondition. Fuzzed.
func parseRecord(raw []byte) (*Record, *runtimeapi.ContainerConfig, error) {
	r := &Record{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, nil, fmt.Errorf("decode: %w: %w", err, errdefs.ErrDataLoss)
	}
	if r.Version > RecordVersion {
		return nil, nil, fmt.Errorf("version %d was written by a newer berthd, this one knows %d: %w",
			r.Version, RecordVersion, errdefs.ErrFailedPrecondition)
	}
	c := &runtimeapi.ContainerConfig{}
	if err := proto.Unmarshal(r.Config, c); err != nil {
		return nil, nil, fmt.Errorf("decode the container's configuration: %w: %w", err, errdefs.ErrDataLoss)
	}
	if c.GetMetadata() == nil {
		return nil, nil, fmt.Errorf("the container's configuration has no metadata: %w", errdefs.ErrDataLoss)
	}
	if r.Phase == Exited && r.Exit == nil {
		return nil, nil, fmt.Errorf("phase %q without an exit: %w", r.Phase, errdefs.ErrDataLoss)
	}
	return r, c, nil
}

// store keeps records in containerd's container store.
type store struct{ client *containerd.Client }

// rawAny carries bytes that containerd must not interpret.
type rawAny struct{ value []byte }

func (rawAny) GetTypeUrl() string { return "berth.run/container/v1" }
func (a rawAny) GetValue() []byte { return a.value }

func encode(r *Record) (typeurl.Any, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the record: %w", err)
	}
	return rawAny{raw}, nil
}

func (s store) create(ctx context.Context, c containers.Container, r *Record) error {
	ext, err := encode(r)
	if err != nil {
		return err
	}
	if c.Extensions == nil {
		c.Extensions = map[string]typeurl.Any{}
	}
	c.Extensions[extension] = ext
	if _, err := s.client.ContainerService().Create(engine.Context(ctx), c); err != nil {
		return fmt.Errorf("write the container's record: %w", err)
	}
	return nil
}

// update writes the record and, when it is not nil, the OCI spec.
func (s store) update(ctx context.Context, id string, r *Record, spec *specs.Spec) error {
	ext, err := encode(r)
	if err != nil {
		return err
	}
	c := containers.Container{ID: id, Extensions: map[string]typeurl.Any{extension: ext}}
	fields := []string{"extensions." + extension}
	if spec != nil {
		if c.Spec, err = typeurl.MarshalAny(spec); err != nil {
			return fmt.Errorf("encode the OCI spec: %w", err)
		}
		fields = append(fields, "spec")
	}
	if _, err := s.client.ContainerService().Update(engine.Context(ctx), c, fields...); err != nil {
		return fmt.Errorf("update the container's record: %w", err)
	}
	return nil
}

// spec reads the OCI spec of a container from its record.
func (s store) spec(ctx context.Context, id string) (*specs.Spec, error) {
	c, err := s.client.ContainerService().Get(engine.Context(ctx), id)
	if err != nil {
		return nil, fmt.Errorf("read the container's record: %w", err)
	}
	out := &specs.Spec{}
	if err := json.Unmarshal(c.Spec.GetValue(), out); err != nil {
		return nil, fmt.Errorf("decode the container's OCI spec: %w: %w", err, errdefs.ErrDataLoss)
	}
	return out, nil
}

func (s store) delete(ctx context.Context, id string) error {
	err := s.client.ContainerService().Delete(engine.Context(ctx), id)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete the container's record: %w", err)
	}
	return nil
}

// list returns the records that Berth wrote; other containers in the namespace
// are not ours to touch.
func (s store) list(ctx context.Context) ([]containers.Container, error) {
	all, err := s.client.ContainerService().List(engine.Context(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the containers' records: %w", err)
	}
	out := all[:0]
	for _, c := range all {
		if _, ok := c.Extensions[extension]; ok {
			out = append(out, c)
		}
	}
	return out, nil
}
