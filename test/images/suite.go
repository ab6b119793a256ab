package images

import (
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Names of images in the CRI validation suite that are of use elsewhere, too.
const (
	// Busybox has a shell and the usual tools.
	Busybox = "registry.k8s.io/e2e-test-images/busybox:1.29-2"
	// Nginx is a web server on port 80.
	Nginx = "registry.k8s.io/e2e-test-images/nginx:1.14-2"
	// Pause does nothing, on 1 MB.
	Pause = "registry.k8s.io/pause:3.9"
)

// stagingPrefix is where the suite keeps images of its own.
const stagingPrefix = "gcr.io/k8s-staging-cri-tools/"

// suite lists stand-ins for all images that critest v1.37.0 asks for. One cannot be
// had: test-image-digest is asked for by the digest of the upstream image.
func (s *Set) suite() []entry {
	staging := func(name string) []string { return []string{stagingPrefix + name} }
	user := func(user string) func() (v1.Image, error) {
		return func() (v1.Image, error) { return s.image(v1.Config{User: user, Cmd: []string{"sh"}}) }
	}
	marked := func(text string) func() (v1.Image, error) {
		return func() (v1.Image, error) {
			return s.image(v1.Config{Cmd: []string{"sh"}}, File{Path: text, Body: []byte(text + "\n")})
		}
	}
	return []entry{
		{[]string{Busybox}, s.Busybox},
		{[]string{Pause, "k8s.gcr.io/pause:3.9"}, s.pause},
		{[]string{Nginx}, func() (v1.Image, error) { return s.WebServer(":80") }},
		{staging("hostnet-nginx-" + runtime.GOARCH), func() (v1.Image, error) { return s.WebServer(":12003") }},
		{[]string{"registry.k8s.io/e2e-test-images/httpd:2.4.39-4"}, s.httpd},
		{[]string{"registry.k8s.io/e2e-test-images/nonewprivs:1.3"}, s.noNewPrivs},

		{staging("test-image-user-uid"), user("1002")},
		{staging("test-image-user-username"), user("www-data")},
		{staging("test-image-user-uid-group"), user("1003:users")},
		{staging("test-image-user-username-group"), user("www-data:100")},
		{staging("test-image-predefined-group"), s.predefinedGroup},

		{staging("test-image-latest:latest"), marked("test-image-latest")},
		{staging("test-image-digest:test"), marked("test-image-digest")},
		{staging("test-image-tag:test"), marked("test-image-tag")},
		{staging("test-image-tag:all"), marked("test-image-tag-all")},
		{staging("test-image-1:latest"), marked("test-image-1")},
		{staging("test-image-2:latest"), marked("test-image-2")},
		{staging("test-image-3:latest"), marked("test-image-3")},
		{[]string{
			stagingPrefix + "test-image-tags:1", stagingPrefix + "test-image-tags:2", stagingPrefix + "test-image-tags:3",
		}, marked("test-image-tags")},
	}
}

// pause is an image with nothing but a program that waits for a signal to end.
func (s *Set) pause() (v1.Image, error) { return s.PauseAs("") }

// PauseAs is the pause image with a label that makes it another image than Pause.
func (s *Set) PauseAs(label string) (v1.Image, error) {
	layer, err := Layer([]File{s.program("pause", 0o755)})
	if err != nil {
		return nil, err
	}
	config := v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"}
	if label != "" {
		config.Labels = map[string]string{"test.berth/pause": label}
	}
	return Build(Spec{Layers: []v1.Layer{layer}, Config: config})
}

func (s *Set) httpd() (v1.Image, error) {
	const path = "usr/local/apache2/bin/httpd"
	return s.image(v1.Config{Cmd: []string{"/" + path}, StopSignal: "SIGWINCH"}, s.program(path, 0o755))
}

// noNewPrivs is a program that becomes root by its set-user-ID bit, unless the
// runtime prevents that.
func (s *Set) noNewPrivs() (v1.Image, error) {
	return s.image(v1.Config{Entrypoint: []string{"/nnp"}}, s.program("nnp", 0o4755))
}

// predefinedGroup has a user with a supplementary group in /etc/group.
func (s *Set) predefinedGroup() (v1.Image, error) {
	return s.image(v1.Config{User: "1000", Cmd: []string{"sh"}},
		File{Path: "etc/passwd", Body: []byte("root:x:0:0:root:/root:/bin/sh\n" +
			"default-user:x:1000:1000:Linux User,,,:/home/default-user:/bin/sh\n")},
		File{Path: "etc/group", Body: []byte("root:x:0:\ndefault-user:x:1000:\n" +
			"group-defined-in-image:x:50000:default-user\n")},
	)
}
