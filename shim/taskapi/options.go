package taskapi

import (
	"fmt"

	"github.com/berth-run/berth/shim/pb"
	"github.com/containerd/errdefs"
)

// OptionsURL is the type of Options in an Any.
const OptionsURL = "containerd.runc.v1.Options"

// Options are the options of containerd's runc shim, containerd.runc.v1.Options. The JSON form is what
// that shim keeps as options.json in a bundle.
type Options struct {
	NoPivotRoot   bool   `json:"no_pivot_root,omitempty"`
	NoNewKeyring  bool   `json:"no_new_keyring,omitempty"`
	IoUID         uint32 `json:"io_uid,omitempty"`
	IoGID         uint32 `json:"io_gid,omitempty"`
	BinaryName    string `json:"binary_name,omitempty"`
	Root          string `json:"root,omitempty"`
	SystemdCgroup bool   `json:"systemd_cgroup,omitempty"`
}

// ReadOptions reads the options of a CreateTaskRequest; an empty Any means the defaults.
// errdefs.ErrInvalidArgument: they are another runtime's.
func ReadOptions(a pb.Any) (o Options, err error) {
	if len(a.Value) == 0 {
		return o, nil
	}
	if a.URL != OptionsURL {
		return o, fmt.Errorf("runtime options of type %s, want %s: %w", a.URL, OptionsURL, errdefs.ErrInvalidArgument)
	}
	err = pb.Each(a.Value, func(f pb.Field) error {
		switch f.Num {
		case 1:
			o.NoPivotRoot = f.Bool()
		case 2:
			o.NoNewKeyring = f.Bool()
		case 4:
			o.IoUID = uint32(f.Uint())
		case 5:
			o.IoGID = uint32(f.Uint())
		case 6:
			o.BinaryName = f.String()
		case 7:
			o.Root = f.String()
		case 9:
			o.SystemdCgroup = f.Bool()
		}
		return nil
	})
	return o, err
}
