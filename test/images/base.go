package images

import (
	"archive/tar"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// searchPath is the PATH of the images.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Set has what images are put together from.
type Set struct {
	busybox  v1.Layer
	testprog []byte
}

// New builds or finds the programs that go into the images.
func New() (*Set, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	path, err := busyboxPath(root)
	if err != nil {
		return nil, err
	}
	s := &Set{}
	if s.busybox, err = busyboxLayer(path); err != nil {
		return nil, err
	}
	if s.testprog, err = buildTestprog(root); err != nil {
		return nil, err
	}
	return s, nil
}

// busyboxLayer is the root filesystem that all images begin with. The applets are
// hard links, as in the official image: a mount over /bin/ls must not follow a
// symbolic link to all the others.
func busyboxLayer(path string) (v1.Layer, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	names, err := applets(path)
	if err != nil {
		return nil, err
	}
	files := Skeleton()
	files = append(files, File{Path: "bin/busybox", Mode: 0o755, Body: binary})
	for _, name := range names {
		if name != "busybox" {
			files = append(files, File{Path: "bin/" + name, Type: tar.TypeLink, Link: "bin/busybox", Mode: 0o755})
		}
	}
	return Layer(files)
}

// Skeleton is everything in the root filesystem of a small image that is no program:
// directories, and the users and groups of the official busybox image.
func Skeleton() []File {
	dir := func(path string) File { return File{Path: path + "/", Type: tar.TypeDir} }
	text := func(path string, lines ...string) File {
		return File{Path: path, Body: []byte(strings.Join(lines, "\n") + "\n")}
	}
	files := []File{dir("bin"), dir("dev"), dir("etc"), dir("home"), dir("proc"), dir("sys")}
	return append(files,
		File{Path: "root/", Type: tar.TypeDir, Mode: 0o700},
		File{Path: "tmp/", Type: tar.TypeDir, Mode: 0o1777},
		dir("usr"), dir("usr/bin"), dir("usr/sbin"), dir("usr/local"), dir("usr/local/bin"), dir("usr/local/sbin"),
		dir("var"), dir("var/run"), dir("var/spool"), dir("var/www"),
		File{Path: "usr/bin/env", Type: tar.TypeSymlink, Link: "../../bin/env", Mode: 0o777},
		text("etc/passwd",
			"root:x:0:0:root:/root:/bin/sh",
			"daemon:x:1:1:daemon:/usr/sbin:/bin/false",
			"www-data:x:33:33:www-data:/var/www:/bin/false",
			"nobody:x:65534:65534:nobody:/home:/bin/false"),
		text("etc/group",
			"root:x:0:", "daemon:x:1:", "tty:x:5:", "www-data:x:33:", "users:x:100:", "nogroup:x:65534:"),
	)
}

// image is busybox with files added, at the end of its layers.
func (s *Set) image(config v1.Config, files ...File) (v1.Image, error) {
	spec := Spec{Layers: []v1.Layer{s.busybox}, Config: config}
	if len(spec.Config.Env) == 0 {
		spec.Config.Env = []string{searchPath}
	}
	if len(files) > 0 {
		layer, err := Layer(files)
		if err != nil {
			return nil, err
		}
		spec.Layers = append(spec.Layers, layer)
	}
	return Build(spec)
}

// program is testprog under the given path.
func (s *Set) program(path string, mode int64) File {
	return File{Path: path, Mode: mode, Body: s.testprog}
}

// Busybox is the image that most tests run: a shell and the usual tools.
func (s *Set) Busybox() (v1.Image, error) {
	return s.image(v1.Config{Cmd: []string{"sh"}})
}

// WebServer is an image whose program looks like nginx, listening on the address.
func (s *Set) WebServer(listen string) (v1.Image, error) {
	return s.image(v1.Config{
		Entrypoint: []string{"/usr/sbin/nginx"}, Cmd: []string{"-listen", listen},
		ExposedPorts: map[string]struct{}{"80/tcp": {}}, StopSignal: "SIGQUIT",
	}, s.program("usr/sbin/nginx", 0o755))
}
