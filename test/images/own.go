package images

import (
	"fmt"
	"math/rand/v2"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Images of Berth's own tests.
const (
	// Tools is busybox with the programs memhog (takes memory until it is killed, or
	// -mb of it), netecho (sends back what it gets, -tcp and -udp addresses) and pry
	// (tries to get at another process).
	Tools = "berth.test/tools:1"
	// Full sets everything an image can set: see fullConfig.
	Full = "berth.test/full:1"
	// Groups has the users alice (1000) and bob (1001) in several groups, and runs as
	// alice.
	Groups = "berth.test/groups:1"
	// UserUID, UserName and UserUIDGroup run as 1002, www-data and 1003:100.
	UserUID      = "berth.test/user:uid"
	UserName     = "berth.test/user:name"
	UserUIDGroup = "berth.test/user:uid-group"
	// UserMissing runs as a user who is not in the image's passwd file.
	UserMissing = "berth.test/user:missing"
	// NoPasswd has neither /etc/passwd nor /etc/group, and a program at /pause.
	NoPasswd = "berth.test/nopasswd:1"
	// Volumes declares the volumes /data and /var/cache/app.
	Volumes = "berth.test/volumes:1"
	// StopSignal ends on SIGUSR1 with status 7 and ignores SIGTERM.
	StopSignal = "berth.test/stopsignal:1"
	// StopSignalNumber has the stop signal "37", which is SIGRTMIN+3, and StopSignalNone "65", which is none.
	StopSignalNumber = "berth.test/stopsignal:37"
	StopSignalNone   = "berth.test/stopsignal:65"
	// NoCommand has neither an entrypoint nor a command.
	NoCommand = "berth.test/nocommand:1"
	// Zstd has layers compressed with zstd, Docker uses Docker's media types.
	Zstd   = "berth.test/zstd:1"
	Docker = "berth.test/docker:1"
	// Whiteout removes a file and hides a directory of a lower layer.
	Whiteout = "berth.test/whiteout:1"
	// Big has 24 layers of 1 MB that do not compress.
	Big = "berth.test/big:1"
)

func (s *Set) own() []entry {
	with := func(config v1.Config, files ...File) func() (v1.Image, error) {
		return func() (v1.Image, error) { return s.image(config, files...) }
	}
	shell := []string{"sh"}
	return []entry{
		{[]string{Tools}, with(v1.Config{Cmd: shell},
			s.program("usr/bin/memhog", 0o755), s.program("usr/bin/netecho", 0o755),
			s.program("usr/bin/pry", 0o755))},
		{[]string{Full}, with(fullConfig())},
		{[]string{Groups}, with(v1.Config{User: "alice", Cmd: shell}, groupFiles()...)},
		{[]string{UserUID}, with(v1.Config{User: "1002", Cmd: shell})},
		{[]string{UserName}, with(v1.Config{User: "www-data", Cmd: shell})},
		{[]string{UserUIDGroup}, with(v1.Config{User: "1003:100", Cmd: shell})},
		{[]string{UserMissing}, with(v1.Config{User: "nosuchuser", Cmd: shell})},
		{[]string{NoPasswd}, s.pause},
		{[]string{Volumes}, with(v1.Config{
			Cmd: shell, Volumes: map[string]struct{}{"/data": {}, "/var/cache/app": {}},
		}, File{Path: "data/seed", Body: []byte("from the image\n")})},
		{[]string{StopSignal}, with(v1.Config{
			StopSignal: "SIGUSR1",
			Cmd:        []string{"sh", "-c", "trap 'exit 7' USR1; trap '' TERM; while :; do sleep 0.1; done"},
		})},
		{[]string{StopSignalNumber}, with(v1.Config{StopSignal: "37", Cmd: shell})},
		{[]string{StopSignalNone}, with(v1.Config{StopSignal: "65", Cmd: shell})},
		{[]string{NoCommand}, with(v1.Config{})},
		{[]string{Zstd}, s.zstd},
		{[]string{Docker}, s.docker},
		{[]string{Whiteout}, s.whiteout},
		{[]string{Big}, func() (v1.Image, error) { return s.Sized(1, 24, 1<<20) }},
	}
}

func fullConfig() v1.Config {
	return v1.Config{
		User:         "33:100",
		Env:          []string{searchPath, "FROM_IMAGE=yes", "OVERRIDE=image"},
		Entrypoint:   []string{"/bin/sh", "-c"},
		Cmd:          []string{"id -u; pwd; env; sleep 1000"},
		WorkingDir:   "/var/www",
		Volumes:      map[string]struct{}{"/data": {}},
		StopSignal:   "SIGINT",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Labels:       map[string]string{"test.berth/label": "value"},
	}
}

func groupFiles() []File {
	return []File{
		{Path: "etc/passwd", Body: []byte("root:x:0:0:root:/root:/bin/sh\n" +
			"alice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:100::/home/bob:/bin/sh\n")},
		{Path: "etc/group", Body: []byte("root:x:0:\nusers:x:100:\nalice:x:1000:\n" +
			"staff:x:2000:alice,bob\nwheel:x:3000:alice\nbobs:x:4000:bob\n")},
	}
}

func (s *Set) zstd() (v1.Image, error) {
	layer, err := Layer([]File{{Path: "zstd", Body: []byte("zstd\n")}},
		tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd))
	if err != nil {
		return nil, err
	}
	return Build(Spec{Layers: []v1.Layer{s.busybox, layer}, Config: v1.Config{Env: []string{searchPath}, Cmd: []string{"sh"}}})
}

// docker is busybox in Docker's formats.
func (s *Set) docker() (v1.Image, error) {
	layer, err := Layer([]File{{Path: "docker", Body: []byte("docker\n")}}, tarball.WithMediaType(types.DockerLayer))
	if err != nil {
		return nil, err
	}
	img, err := Build(Spec{Layers: []v1.Layer{layer}, Config: v1.Config{Entrypoint: []string{"/docker"}}})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigMediaType(mutate.MediaType(img, types.DockerManifestSchema2), types.DockerConfigJSON), nil
}

// whiteout has a first layer with files and a second that takes some away.
func (s *Set) whiteout() (v1.Image, error) {
	lower, err := Layer([]File{
		{Path: "gone", Body: []byte("gone\n")}, {Path: "kept", Body: []byte("kept\n")},
		{Path: "opaque/", Type: '5'}, {Path: "opaque/old", Body: []byte("old\n")},
	})
	if err != nil {
		return nil, err
	}
	upper, err := Layer([]File{
		{Path: ".wh.gone"}, {Path: "opaque/", Type: '5'},
		{Path: "opaque/.wh..wh..opq"}, {Path: "opaque/new", Body: []byte("new\n")},
	})
	if err != nil {
		return nil, err
	}
	return Build(Spec{
		Layers: []v1.Layer{s.busybox, lower, upper},
		Config: v1.Config{Env: []string{searchPath}, Cmd: []string{"sh"}},
	})
}

// Sized is busybox with a number of further layers, each a file /layers/N of so many
// bytes that do not compress. Equal arguments give an equal image.
func (s *Set) Sized(seed uint64, layers int, bytes int) (v1.Image, error) {
	spec := Spec{Layers: []v1.Layer{s.busybox}, Config: v1.Config{Env: []string{searchPath}, Cmd: []string{"sh"}}}
	for n := range layers {
		var key [32]byte
		copy(key[:], fmt.Sprintf("berth %d %d", seed, n))
		body := make([]byte, bytes)
		_, _ = rand.NewChaCha8(key).Read(body)
		layer, err := Layer([]File{{Path: fmt.Sprintf("layers/%d", n), Body: body}})
		if err != nil {
			return nil, err
		}
		spec.Layers = append(spec.Layers, layer)
	}
	return Build(spec)
}
