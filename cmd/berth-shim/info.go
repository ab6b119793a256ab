package main

import (
	"io"
	"os/exec"

	"github.com/berth-run/berth/shim/pb"
	"github.com/berth-run/berth/shim/taskapi"
)

// featuresURL is the type of the OCI runtime's features in an Any, whose value is JSON.
const featuresURL = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

// printInfo answers containerd's question for what the shim is (`-info`), with what the OCI runtime
// can do that the options on stdin name, if they come. containerd asks without options before the
// first task, and without an answer again before every one.
func (c *command) printInfo(in io.Reader, out io.Writer) error {
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	b := pb.String(nil, 1, "berth-shim")
	b = pb.Bytes(b, 2, pb.String(nil, 1, version))
	if len(raw) > 0 {
		b = pb.Bytes(b, 3, raw)
		a, err := pb.ReadAny(raw)
		if err != nil {
			return err
		}
		o, err := taskapi.ReadOptions(a)
		if err != nil {
			return err
		}
		if o.BinaryName == "" {
			o.BinaryName = "runc"
		}
		// A runtime that cannot tell is no error.
		if features, err := exec.Command(o.BinaryName, "features").Output(); err == nil {
			b = pb.Bytes(b, 4, pb.Any{URL: featuresURL, Value: features}.Append(nil))
		}
	}
	_, err = out.Write(b)
	return err
}
