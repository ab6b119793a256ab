package main

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// programs are the parts of busybox that the demonstration needs.
var programs = []string{"cat", "hostname", "httpd", "id", "ls", "ps", "sh", "sleep", "uname", "wget"}

// scripts are what the containers run. As process 1 of its container each has to
// see to its end itself.
var scripts = map[string]string{
	"web": `#!/bin/sh
echo "Hello from pod $(hostname)" >/www/index.html
httpd -f -v -p 8080 -h /www &
trap "kill $!; exit 0" TERM
wait
`,
	"visitor": `#!/bin/sh
trap "exit 0" TERM
i=1
while [ $i -le 9 ]; do
	echo "visit $i: $(wget -q -O - http://localhost:8080/ || echo nobody there yet)"
	i=$((i + 1))
	sleep 0.3
done
while :; do sleep 1; done
`,
}

// push builds the demonstration's image and stores it in the registry.
func push(reg *registry.Registry, ref string) error {
	root, err := images.Root()
	if err != nil {
		return err
	}
	path := filepath.Join(root, "build", "busybox")
	busybox, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w; run: make busybox", err)
	}
	system := []images.File{
		{Path: "bin", Type: tar.TypeDir},
		{Path: "bin/busybox", Mode: 0o755, Body: busybox},
		{Path: "etc", Type: tar.TypeDir},
		{Path: "etc/passwd", Body: []byte("root:x:0:0:root:/root:/bin/sh\n")},
		{Path: "etc/group", Body: []byte("root:x:0:\n")},
		{Path: "tmp", Type: tar.TypeDir, Mode: 0o1777},
	}
	for _, p := range programs {
		system = append(system, images.File{Path: "bin/" + p, Type: tar.TypeSymlink, Link: "busybox"})
	}
	site := []images.File{{Path: "www", Type: tar.TypeDir}}
	for _, name := range []string{"visitor", "web"} {
		site = append(site, images.File{Path: "bin/" + name, Mode: 0o755, Body: []byte(scripts[name])})
	}
	var layers []v1.Layer
	for _, files := range [][]images.File{system, site} {
		layer, err := images.Layer(files)
		if err != nil {
			return fmt.Errorf("building a layer of the demonstration's image: %w", err)
		}
		layers = append(layers, layer)
	}
	image, err := images.Build(images.Spec{
		Layers: layers,
		Config: v1.Config{Env: []string{"PATH=/bin"}, Cmd: []string{"sh"}},
	})
	if err != nil {
		return fmt.Errorf("building the demonstration's image: %w", err)
	}
	if err := reg.Push(ref, image); err != nil {
		return fmt.Errorf("pushing the demonstration's image: %w", err)
	}
	return nil
}
