package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// tearDown removes what there is, also after a failure or a Ctrl-C, and so with a
// context of its own.
func (d *demo) tearDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d.print.step("Take it down")
	var errs []error
	do := func(what string, call func() error) {
		start := time.Now()
		if err := call(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
			return
		}
		d.print.line("%s, in %s", what, since(start))
	}
	for _, id := range []string{d.visitor, d.web} {
		if id == "" {
			continue
		}
		d.print.command("crictl stop %s", short(id))
		do("container stopped", func() error {
			_, err := d.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 5})
			return err
		})
	}
	if d.podID != "" {
		d.print.command("crictl stopp %s && crictl rmp %[1]s", short(d.podID))
		do("pod gone, with its containers, network and port", func() error {
			_, stop := d.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: d.podID})
			_, remove := d.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: d.podID})
			return errors.Join(stop, remove)
		})
	}
	if d.pulled {
		d.print.command("crictl rmi %s", d.image)
		do("image gone", func() error {
			_, err := d.images.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: d.image}})
			return err
		})
	}
	return errors.Join(errs...)
}
