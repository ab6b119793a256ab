package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-run/berth/test/images"
)

// emptyDirPod asks what NodeConformance's EmptyDir specs ask: an emptyDir in a pod with SELinux options,
// of one medium and for one user, holds files with the modes that they are given. NAME, MEDIUM and UID are
// replaced by the test.
const emptyDirPod = `apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: default}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: UID, seLinuxOptions: {level: "s0"}}
  containers:
  - name: test-container
    image: BUSYBOX
    securityContext: {seLinuxOptions: {level: "s0"}}
    command:
    - sh
    - -ec
    - |
      stat -c "volume %a" /test-volume
      stat -f -c "type %T" /test-volume
      for mode in 644 666 777; do
        f=/test-volume/$mode
        echo "mount-tester new file" >$f
        chmod $mode $f
        stat -c "%a %u" $f
        cat $f
      done
    volumeMounts: [{name: v, mountPath: /test-volume}]
  volumes:
  - name: v
    emptyDir: {medium: MEDIUM}
`

// updatePod is started with one image and given others. Its UID is fixed: without one, a changed manifest
// would be another pod.
const updatePod = `apiVersion: v1
kind: Pod
metadata: {name: update, namespace: default, uid: 7d1c1f5e-5f0b-4a53-9f0e-2a2d1c9d4e01}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, "echo started; exec sleep 1000"]
`

// testEmptyDir runs a pod for each medium and user.
func testEmptyDir(t *testing.T, k *Kubelet) {
	var removals []func()
	pods := map[string]string{} // name: what its log has to be
	for _, medium := range []string{"", "Memory"} {
		for _, uid := range []string{"0", "1001"} {
			name := strings.ToLower("emptydir-" + medium + uid)
			manifest := strings.NewReplacer("NAME", name, "MEDIUM", `"`+medium+`"`, "UID", uid, "BUSYBOX", images.Busybox).Replace(emptyDirPod)
			removals = append(removals, k.AddPod(t, name, manifest))
			want := ""
			for _, mode := range []string{"644", "666", "777"} {
				want += mode + " " + uid + "\nmount-tester new file\n"
			}
			pods[name] = want
		}
	}
	for name, want := range pods {
		awaitPod(t, k, name, "to succeed", func(p *Pod) string {
			if p.Status.Phase != "Succeeded" {
				return "its phase is " + p.Status.Phase
			}
			return ""
		})
		logs, err := k.Logs(t.Context(), name, "test-container", "")
		volume, files, _ := strings.Cut(logs, "\n")
		// The sticky bit is of a tmpfs that the kubelet mounts without a mode.
		if err != nil || volume != "volume 777" && volume != "volume 1777" || !strings.HasSuffix(files, want) {
			t.Errorf("%s says %q (%v), want %q at its end", name, logs, err, want)
		}
		if memory := strings.Contains(logs, "type tmpfs\n"); memory != strings.Contains(name, "memory") {
			t.Errorf("%s has the wrong medium: %q", name, logs)
		}
	}
	for _, remove := range removals {
		remove()
	}
}

// testImageUpdate gives a running pod other images, as NodeConformance does: the container is made anew in the same
// pod, and its status has the name of the image that a person knows.
func testImageUpdate(t *testing.T, k *Kubelet) {
	var remove func()
	restarts := -1
	run := func(image, want string) ContainerStatus {
		remove = k.AddPod(t, "update", strings.ReplaceAll(updatePod, "IMAGE", image))
		pod := awaitPod(t, k, "update", "to run "+image, func(p *Pod) string {
			c := p.Container("main")
			switch {
			case c.State.Running == nil:
				return "it does not run"
			case c.RestartCount <= restarts:
				return fmt.Sprintf("it was restarted %d times", c.RestartCount)
			}
			return ""
		})
		c := pod.Container("main")
		if c.Image != want {
			t.Errorf("the status of a container of %s says image %q, want %q", image, c.Image, want)
		}
		if pod.Metadata.UID != "7d1c1f5e-5f0b-4a53-9f0e-2a2d1c9d4e01" {
			t.Errorf("another pod was made: %s", pod.Metadata.UID)
		}
		restarts = c.RestartCount
		return c
	}
	first := run(images.Busybox, images.Busybox)
	second := run(images.Tools, images.Tools)
	if first.ImageID == second.ImageID || first.ContainerID == second.ContainerID {
		t.Errorf("the container was %+v and is %+v", first, second)
	}
	// By digest: the image has a tag on this node too, and the tag is what people know.
	_, digest, ok := strings.Cut(first.ImageID, "@")
	if !ok {
		t.Fatalf("image ID %q is no digest", first.ImageID)
	}
	repository, _, _ := strings.Cut(images.Busybox, ":")
	third := run(repository+"@"+digest, images.Busybox)
	if third.ImageID != first.ImageID {
		t.Errorf("by digest the image ID is %q, by tag %q", third.ImageID, first.ImageID)
	}
	remove()
}
