package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	api "github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/engine"
)

// RecordVersion is the version of [Record] that this build writes. A record of a
// newer version is left alone.
const RecordVersion = 1

// extension is the key of the record among the sandbox's extensions.
const extension = "berth.sandbox"

// Phase is where a sandbox is in its life, as the record says it.
type Phase string

// The phases of a sandbox.
const (
	// Creating: effects may exist; start-up undoes them.
	Creating Phase = "creating"
	// Ready: everything exists.
	Ready Phase = "ready"
	// Stopped: nothing runs; files, containers' records and the record remain.
	Stopped Phase = "stopped"
	// Removed: gone for clients; only a CNI DEL is still owed.
	Removed Phase = "removed"
)

// Record is what the metadata store keeps of a pod besides containerd's own
// fields.
type Record struct {
	// Version is the RecordVersion of the build that wrote the record.
	Version int `json:"version"`
	// Config is the PodSandboxConfig of the request, in protobuf's encoding.
	Config []byte `json:"config"`
	// Handler is the runtime handler of the request, "" for the default.
	Handler string `json:"handler,omitempty"`
	// CreatedAt is when the request came.
	CreatedAt time.Time `json:"createdAt"`
	// Phase of the sandbox.
	Phase Phase `json:"phase"`
	// IPs of the pod, the primary one first.
	IPs []string `json:"ips,omitempty"`
	// Interface is the pod's main interface.
	Interface string `json:"interface,omitempty"`
	// Detached is set when CNI DEL has succeeded.
	Detached bool `json:"detached,omitempty"`
	// ProcessLabel and MountLabel are the pod's SELinux labels.
	ProcessLabel string `json:"processLabel,omitempty"`
	MountLabel   string `json:"mountLabel,omitempty"`
	// Ignored says what of the request was accepted without effect, a sentence each.
	Ignored []string `json:"ignored,omitempty"`
}

func (r *Record) config() (*runtimeapi.PodSandboxConfig, error) {
	c := &runtimeapi.PodSandboxConfig{}
	if err := proto.Unmarshal(r.Config, c); err != nil {
		return nil, fmt.Errorf("decode the pod's configuration: %w", err)
	}
	return c, nil
}

// parseRecord reads what a record of any version up to ours says; a newer one is
// errdefs.ErrFailedPrecondition. Fuzzed.
func parseRecord(raw []byte) (*Record, *runtimeapi.PodSandboxConfig, error) {
	r := &Record{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, nil, fmt.Errorf("decode: %w: %w", err, errdefs.ErrDataLoss)
	}
	if r.Version > RecordVersion {
		return nil, nil, fmt.Errorf("version %d was written by a newer berthd, this one knows %d: %w",
			r.Version, RecordVersion, errdefs.ErrFailedPrecondition)
	}
	c, err := r.config()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", err, errdefs.ErrDataLoss)
	}
	if c.GetMetadata() == nil {
		return nil, nil, fmt.Errorf("the pod's configuration has no metadata: %w", errdefs.ErrDataLoss)
	}
	return r, c, nil
}

// store keeps records in containerd's sandbox store.
type store struct{ client *containerd.Client }

// rawAny carries bytes that containerd must not interpret.
type rawAny struct{ value []byte }

func (rawAny) GetTypeUrl() string { return "berth.run/sandbox/v1" }
func (a rawAny) GetValue() []byte { return a.value }

func encode(r *Record) (typeurl.Any, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the record: %w", err)
	}
	return rawAny{raw}, nil
}

func (s store) create(ctx context.Context, id, runtime string, r *Record, labels map[string]string) error {
	ext, err := encode(r)
	if err != nil {
		return err
	}
	_, err = s.client.SandboxStore().Create(engine.Context(ctx), api.Sandbox{
		ID:         id,
		Labels:     labels,
		Runtime:    api.RuntimeOpts{Name: runtime},
		Sandboxer:  "berth",
		Extensions: map[string]typeurl.Any{extension: ext},
	})
	if err != nil {
		return fmt.Errorf("write the pod's record: %w", err)
	}
	return nil
}

func (s store) update(ctx context.Context, id string, r *Record) error {
	ext, err := encode(r)
	if err != nil {
		return err
	}
	_, err = s.client.SandboxStore().Update(engine.Context(ctx),
		api.Sandbox{ID: id, Extensions: map[string]typeurl.Any{extension: ext}}, "extensions."+extension)
	if err != nil {
		return fmt.Errorf("update the pod's record: %w", err)
	}
	return nil
}

func (s store) delete(ctx context.Context, id string) error {
	err := s.client.SandboxStore().Delete(engine.Context(ctx), id)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete the pod's record: %w", err)
	}
	return nil
}

// stored is a record as found at start-up.
type stored struct {
	id  string
	raw []byte
}

// list returns the records that Berth wrote; sandboxes of other owners in the
// same store are not ours to touch.
func (s store) list(ctx context.Context) ([]stored, error) {
	all, err := s.client.SandboxStore().List(engine.Context(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the pods' records: %w", err)
	}
	var out []stored
	for _, sb := range all {
		if ext, ok := sb.Extensions[extension]; ok {
			out = append(out, stored{id: sb.ID, raw: ext.GetValue()})
		}
	}
	return out, nil
}
