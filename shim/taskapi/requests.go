package taskapi

import "github.com/berth-run/berth/shim/pb"

// Mount is containerd.types.Mount.
type Mount struct {
	Type, Source, Target string
	Options              []string
}

func readMount(b []byte) (m Mount, err error) {
	err = pb.Each(b, func(f pb.Field) error {
		switch f.Num {
		case 1:
			m.Type = f.String()
		case 2:
			m.Source = f.String()
		case 3:
			m.Target = f.String()
		case 4:
			m.Options = append(m.Options, f.String())
		}
		return nil
	})
	return m, err
}

// Stdio are the stream addresses of a process.
type Stdio struct {
	Stdin, Stdout, Stderr string
	Terminal              bool
}

// CreateRequest is CreateTaskRequest.
type CreateRequest struct {
	ID, Bundle string
	Rootfs     []Mount
	Stdio
	Checkpoint string
	Options    pb.Any
}

// ReadCreateRequest reads a CreateTaskRequest.
func ReadCreateRequest(b []byte) (r CreateRequest, err error) {
	err = pb.Each(b, func(f pb.Field) (err error) {
		switch f.Num {
		case 1:
			r.ID = f.String()
		case 2:
			r.Bundle = f.String()
		case 3:
			m, err := readMount(f.Bytes())
			r.Rootfs = append(r.Rootfs, m)
			return err
		case 4:
			r.Terminal = f.Bool()
		case 5:
			r.Stdin = f.String()
		case 6:
			r.Stdout = f.String()
		case 7:
			r.Stderr = f.String()
		case 8:
			r.Checkpoint = f.String()
		case 10:
			r.Options, err = pb.ReadAny(f.Bytes())
		}
		return err
	})
	return r, err
}

// ExecRequest is ExecProcessRequest.
type ExecRequest struct {
	ID, ExecID string
	Stdio
	Spec pb.Any
}

// ReadExecRequest reads an ExecProcessRequest.
func ReadExecRequest(b []byte) (r ExecRequest, err error) {
	err = pb.Each(b, func(f pb.Field) (err error) {
		switch f.Num {
		case 1:
			r.ID = f.String()
		case 2:
			r.ExecID = f.String()
		case 3:
			r.Terminal = f.Bool()
		case 4:
			r.Stdin = f.String()
		case 5:
			r.Stdout = f.String()
		case 6:
			r.Stderr = f.String()
		case 7:
			r.Spec, err = pb.ReadAny(f.Bytes())
		}
		return err
	})
	return r, err
}

// Process names a process; it is all that most requests have: StateRequest, StartRequest,
// DeleteRequest, WaitRequest, and without an exec ID PauseRequest, ResumeRequest, PidsRequest,
// StatsRequest, ConnectRequest and ShutdownRequest.
type Process struct{ ID, ExecID string }

// ReadProcess reads what names the process in a request whose other fields do not matter.
func ReadProcess(b []byte) (p Process, err error) {
	err = pb.Each(b, func(f pb.Field) error {
		switch f.Num {
		case 1:
			p.ID = f.String()
		case 2:
			p.ExecID = f.String()
		}
		return nil
	})
	return p, err
}

// ReadID reads a request that has no exec ID.
func ReadID(b []byte) (id string, err error) {
	err = pb.Each(b, func(f pb.Field) error {
		if f.Num == 1 {
			id = f.String()
		}
		return nil
	})
	return id, err
}

// KillRequest asks for a signal.
type KillRequest struct {
	Process
	Signal uint32
	All    bool
}

// ReadKillRequest reads a KillRequest.
func ReadKillRequest(b []byte) (r KillRequest, err error) {
	if r.Process, err = ReadProcess(b); err != nil {
		return r, err
	}
	err = pb.Each(b, func(f pb.Field) error {
		switch f.Num {
		case 3:
			r.Signal = uint32(f.Uint())
		case 4:
			r.All = f.Bool()
		}
		return nil
	})
	return r, err
}

// ResizeRequest is ResizePtyRequest.
type ResizeRequest struct {
	Process
	Width, Height uint32
}

// ReadResizeRequest reads a ResizePtyRequest.
func ReadResizeRequest(b []byte) (r ResizeRequest, err error) {
	if r.Process, err = ReadProcess(b); err != nil {
		return r, err
	}
	err = pb.Each(b, func(f pb.Field) error {
		switch f.Num {
		case 3:
			r.Width = uint32(f.Uint())
		case 4:
			r.Height = uint32(f.Uint())
		}
		return nil
	})
	return r, err
}

// UpdateRequest is UpdateTaskRequest.
type UpdateRequest struct {
	ID        string
	Resources pb.Any
}

// ReadUpdateRequest reads an UpdateTaskRequest.
func ReadUpdateRequest(b []byte) (r UpdateRequest, err error) {
	err = pb.Each(b, func(f pb.Field) (err error) {
		switch f.Num {
		case 1:
			r.ID = f.String()
		case 2:
			r.Resources, err = pb.ReadAny(f.Bytes())
		}
		return err
	})
	return r, err
}
